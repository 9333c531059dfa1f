"""ML Workbench: training runs, the model registry, serving endpoints.

Calls the pipeline (CreateDataset, GetDataset, GetDatasetFeatures). Publishes ModelTrainingStarted,
…Completed, …Failed and ModelDeployed through an outbox; consumes nothing. Reading order: domain/, ports,
handlers/ (training first), wire, servicer, adapters/, compose.
"""
