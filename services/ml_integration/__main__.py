"""`python -m services.ml_integration`."""

from services.ml_integration.compose import compose
from services.ml_integration.config import Settings
from services.runtime.run import run

if __name__ == "__main__":
    run("fxmesh.inference.v1.InferenceService", Settings, compose)
