"""Settings of monitoring: FXMESH_MONITORING_ALERTING_<FIELD>."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from services.runtime.settings import service_config


class Settings(BaseSettings):
    """What one can set, with unit and consequence."""

    model_config = service_config("monitoring_alerting")

    scrape_seconds: float = Field(default=2.0, ge=0.1, le=300)
    """Time between scrapes; a service that dies is noticed within this and the rule's hold."""
    scrape_timeout_seconds: float = Field(default=1.5, gt=0, le=60)
    """An instance that has not answered by then counts as unreachable."""
    keep_minutes: float = Field(default=60.0, gt=0, le=1440)
    """How long samples are held in memory; about 16 bytes a sample and series."""
