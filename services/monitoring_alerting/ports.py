"""What monitoring needs from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services.monitoring_alerting.domain.alerts import Alert, AlertState, Silence
from services.monitoring_alerting.domain.health import ServiceHealth
from services.monitoring_alerting.domain.rules import AlertRule
from services.monitoring_alerting.domain.series import Definition, Sample
from services.requests import Answers


@dataclass(frozen=True, slots=True)
class Target:
    """An instance to scrape; `address` is `host:port` of its HTTP port."""

    service: str
    instance_id: str
    address: str


@dataclass(frozen=True, slots=True)
class Scrape:
    """What one instance answered."""

    health: ServiceHealth
    samples: Sequence[Sample]
    definitions: Sequence[Definition]


class Scraper(Protocol):
    """Reads /health and /metrics. Never raises: an instance that does not answer is UNREACHABLE."""

    async def scrape(self, target: Target) -> Scrape:
        """One instance."""


class Directory(Protocol):
    """Who should run and who does."""

    def services(self) -> Sequence[str]:
        """Folder names of all services."""

    def targets(self) -> Sequence[Target]:
        """Instances known to live."""


class Store(Answers, Protocol):
    """Rules of people, alerts, silences, answered requests."""

    async def rules(self) -> list[AlertRule]:
        """Rules that people added."""

    async def add_rule(self, rule: AlertRule) -> bool:
        """False when there is one of that name."""

    async def delete_rule(self, name: str) -> bool:
        """False when there is none."""

    async def heard(self, event_id: str) -> bool:
        """True when an event has had its effect before."""

    async def save_alerts(self, alerts: Sequence[Alert], event_id: str = "") -> None:
        """Insert or replace."""

    async def open_alerts(self) -> list[Alert]:
        """Pending and firing."""

    async def alert(self, alert_id: str) -> Alert | None:
        """One."""

    async def alerts(self, states: Sequence[AlertState], rule: str, after: str, limit: int) -> list[Alert]:
        """Newest first."""

    async def add_silence(self, silence: Silence) -> None:
        """Keep it."""

    async def silence(self, silence_id: str) -> Silence:
        """One that was added, also when it is over."""

    async def silences(self, now_s: float) -> list[Silence]:
        """Those that still hold."""


class Clock(Protocol):
    """Wall time."""

    def now_ns(self) -> int:
        """Now."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class Ids(Protocol):
    """Unique ids."""

    def new(self) -> str:
        """A new one."""
