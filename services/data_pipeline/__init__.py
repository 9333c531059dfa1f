"""Data Pipeline: storage of every event, imports, pipelines, datasets, features.

Calls inference (Predict, BatchPredict). Consumes every event of the platform; publishes
PipelineExecutionStarted, …Completed, …Failed. Reading order: domain/, ports, handlers/ (ingest first), wire,
consumers, servicer, adapters/ (duck first), compose.
"""
