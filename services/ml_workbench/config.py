"""Settings of the workbench: FXMESH_ML_WORKBENCH_<FIELD>."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from services.runtime.settings import service_config


class Settings(BaseSettings):
    """What one can set, with unit and consequence."""

    model_config = service_config("ml_workbench")

    threads: int = Field(default=1, ge=1, le=64)
    """Threads of a training run. One thread gives the same model byte for byte on every machine."""
    early_stopping_rounds: int = Field(default=50, ge=1)
    """Training ends when validation has not improved for so many rounds."""
