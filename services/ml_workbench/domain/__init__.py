"""Pure values of the workbench: training runs, model versions, endpoints, and the figures of a model."""
