"""`python -m services.data_pipeline`."""

from services.data_pipeline.compose import compose
from services.data_pipeline.config import Settings
from services.runtime.run import run

if __name__ == "__main__":
    run("fxmesh.pipeline.v1.PipelineService", Settings, compose)
