"""What a service is handed (`Mesh`) and what it hands back (`Service`): all that `compose(settings, mesh)`
knows.

The live process (`run`) and the in-process platform (services/replay) build the same two values, so a service
is the same code in both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

from services.runtime.health import Health
from services.runtime.memory_leadership import SoleLeadership
from services.runtime.policy import ServicePolicy
from services.runtime.ports import (
    NOBODY,
    Bus,
    Candidate,
    Channels,
    Clock,
    Ids,
    Leadership,
    Registry,
    Subscription,
)
from services.runtime.traces import ContextTracer
from services.tracing import Tracer

Action: TypeAlias = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Mesh:
    """The surroundings of one service process."""

    service: ServicePolicy
    """Its own entry in the contracts: names, ports, whom it calls, what it consumes and publishes."""
    bus: Bus
    channels: Channels
    registry: Registry
    clock: Clock
    ids: Ids
    health: Health
    data_dir: Path
    """A folder of its own that exists and can be written."""
    metrics: CollectorRegistry
    """What `/metrics` shows: create the service's own metrics with `registry=mesh.metrics`."""
    log: FilteringBoundLogger
    tracer: Tracer = field(default_factory=ContextTracer)
    """Steps of the service's own work, for whoever reads its traces."""
    leadership: Leadership = field(default_factory=SoleLeadership)
    """For a service of several instances that has work for one of them: `campaign()` in `start`."""
    candidate: Candidate = NOBODY
    """This process, for a leadership of the service's own."""


async def nothing() -> None:
    """The action of a service that has nothing to do there."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """Something the service owns and cannot work without, e.g. its store.

    `check` raises when it does not work; it runs before the service is ready and every few seconds after.
    What is not `required` only degrades. Bus, registry and peers are looked after already.
    """

    name: str
    check: Action
    required: bool = True


@dataclass(frozen=True, slots=True)
class Service:
    """A composed service, not yet running. Things happen in the order of the fields."""

    servicer: object
    add_to_server: Callable[[Any, Any], None]
    """The generated `add_…Servicer_to_server`."""
    dependencies: Sequence[Dependency] = ()
    start: Action = nothing
    """Awaited before the first call and event: recover, warm up from own stores. Not the place to wait for a
    peer.
    """
    background: Sequence[Action] = ()
    """Loops that run until cancelled, from before the first call until calls and consumers are done. One that
    fails ends the process; one that returns is simply done.
    """
    subscriptions: Sequence[Subscription] = ()
    close: Action = nothing
    """Awaited last, with the bus still up: flush, commit, close the store."""
