"""`python -m services.analysis_engine`."""

from services.analysis_engine.compose import compose
from services.analysis_engine.config import Settings
from services.runtime.run import run

if __name__ == "__main__":
    run("fxmesh.analysis.v1.AnalysisService", Settings, compose)
