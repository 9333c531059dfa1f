"""Settings of the pipeline: FXMESH_DATA_PIPELINE_<FIELD>."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from services.runtime.settings import CommaSeparated, service_config


class Settings(BaseSettings):
    """What one can set, with unit and consequence."""

    model_config = service_config("data_pipeline")

    commit_events: int = Field(default=400, ge=1, le=2000)
    """Most events of one commit."""
    commit_seconds: float = Field(default=0.4, ge=0, le=5)
    """How long a commit waits for more events; adds as much to the time until one can be queried. A commit
    costs 10 to 20 ms of processor time whatever it holds: this is what the pipeline costs when idle.
    """
    memory_mb: int = Field(default=256, ge=64)
    """Most memory the database may take for caches and sorting; more makes big queries faster."""
    score_timeframes: CommaSeparated = ("1h",)
    """Timeframes whose live bars are sent to inference as they are stored; empty: none."""
    keep_quotes_hours: float = Field(default=168.0, gt=0)
    """How long conflated quotes and order books are kept; ticks, bars and all other events stay for good."""
