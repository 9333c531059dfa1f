"""Health of the services as last scraped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class ServiceStatus(Enum):
    """How a service is."""

    SERVING = "serving"
    DEGRADED = "degraded"
    STARTING = "starting"
    NOT_SERVING = "not_serving"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """One instance; `address` is its HTTP address, empty when no instance is known."""

    service: str
    instance_id: str
    address: str
    status: ServiceStatus
    dependencies: Sequence[tuple[str, str]]
    checked_s: float
    latency_s: float
    detail: str = ""

    @property
    def well(self) -> bool:
        """Serves, degraded or not."""
        return self.status in (ServiceStatus.SERVING, ServiceStatus.DEGRADED)
