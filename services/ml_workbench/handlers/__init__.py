"""Use cases of the workbench over ports: `training` runs, the `registry` of versions, `serving` endpoints."""

from services.ml_workbench.handlers.registry import Registry
from services.ml_workbench.handlers.serving import Serving
from services.ml_workbench.handlers.training import Training

__all__ = ["Registry", "Serving", "Training"]
