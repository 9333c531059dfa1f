"""ML Integration: predictions, batch predictions, importance, drift and performance of the models that serve.

Calls the workbench (ListEndpoints, GetEndpoint, GetModelVersion, DownloadModel) and the pipeline
(GetFeatures, ListBars). Consumes ModelTrainingStarted, …Completed, …Failed and ModelDeployed; publishes
ModelPredictionCompleted, ModelPerformanceUpdated and ModelDriftDetected. Reading order: domain/, ports,
handlers/ (models first), wire, consumers, servicer, adapters/, compose.
"""
