"""Settings of inference: FXMESH_ML_INTEGRATION_<FIELD>."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from services.runtime.settings import service_config


class Settings(BaseSettings):
    """What one can set, with unit and consequence."""

    model_config = service_config("ml_integration")

    reconcile_seconds: float = Field(default=15.0, gt=0)
    """How often the workbench is asked what serves; a deployment whose event was missed waits so long."""
    outcome_seconds: float = Field(default=10.0, gt=0)
    """How often the pipeline is asked for bars that tell how predictions came out."""
    outcomes_per_report: int = Field(default=50, ge=1)
    """ModelPerformanceUpdated is published each time so many more outcomes of a model are known."""
    drift_window: int = Field(default=2000, ge=10)
    """Predictions that drift looks at, the last ones; 8 bytes a feature each. More: steadier and slower."""
    drift_minimum: int = Field(default=200, ge=10)
    """With fewer predictions nothing is called drift. Fewer: sooner, and more often by chance."""
    drift_threshold: float = Field(default=0.25, gt=0)
    """A population stability index of any feature above it is drift; 0.25 is the usual line."""
    kept_predictions: int = Field(default=10_000, ge=100)
    """Predictions held for ListPredictions and for telling a repeated request; about 1 KB each."""
    publish_room: int = Field(default=1000, ge=1)
    """Events that may wait for the bus; with more a prediction waits with its answer."""
