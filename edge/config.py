"""Settings of the gate's process, from the environment (`FXMESH_EDGE_…`)."""

from __future__ import annotations

from pydantic_settings import BaseSettings

from services.runtime.settings import CommaSeparated, service_config


class Settings(BaseSettings):
    """What the gate needs beside what every process needs (services/runtime/settings.py)."""

    model_config = service_config("edge")

    upstreams: CommaSeparated = ()
    """`service=host:port` each: where health by service name is asked. Default: the contracts' ports here."""
