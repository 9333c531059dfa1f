"""Values and rules of inference: models and endpoints, predictions, drift, performance."""
