"""Pure values of the pipeline: what is stored, executions, datasets."""
