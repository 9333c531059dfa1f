"""What the runtime rests on, as Protocols: each has a networked and an in-process implementation.

    Bus, Registry         services/runtime/bus, registry.py          memory_bus.py, memory_registry.py
    Leadership            leadership.py                              memory_leadership.py
    Channels              channels.py                                memory_channels.py
    Clock, Ids            clock.py, ids.py

A bus or registry that cannot be reached raises `FxError` UNAVAILABLE `BUS_UNAVAILABLE`; what waiting cannot
cure (a stream configured otherwise) raises `FatalError`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import grpc
from google.protobuf.message import Message


class Clock(Protocol):
    """Wall and monotonic time of this process. Market time is another thing and comes with the data."""

    def now_ns(self) -> int:
        """Wall time, nanoseconds since 1970 UTC."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; only differences mean anything."""

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of this clock."""


class Ids(Protocol):
    """Source of ids that need only be unique. What has an identity derives its id from that instead."""

    def new(self) -> str:
        """A new id, sortable by time of making."""


@dataclass(slots=True, eq=False)
class Delivery:
    """One event as it reached a consumer. `headers` are the CloudEvents and tracing headers it came with.

    Nobody changes one. It is not frozen all the same: one is made for every event, and a frozen one takes
    four times as long.
    """

    event: Message
    id: str
    subject: str
    key: str
    stream_sequence: int
    redelivered: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    source: object = None
    """What the bus has of it until it is settled; nobody else's business."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a service consumes and with what. An event class belongs to one subscription of a service at most.

    `handler` gets deliveries of one partition in order, at most `max_batch` at once, possibly of several keys
    and of all `events`; partitions run concurrently. Returning means that their effects are committed;
    raising means try again, the batch in parts if need be, and in the end dead-letter what keeps failing.
    """

    events: tuple[type[Message], ...]
    handler: Callable[[Sequence[Delivery]], Awaitable[None]]
    max_batch: int = 64
    merge: bool = False
    """One worker for all partitions: the handler runs once at a time, on batches of all of them in order of
    arrival (which keeps the order within a partition). For a store that commits by time and size.
    """
    max_wait_s: float = 0.0
    """How long a batch may wait for more deliveries after its first; 0 takes what is there."""


@dataclass(frozen=True, slots=True)
class Observation:
    """Events that a process wants to hear of as they pass, to drop what they make untrue: not to be relied on
    for effects. The functions are called on the event loop and must not raise.
    """

    events: tuple[str, ...]
    """Full message names. None is allowed: then only the way to the bus is watched."""
    heard: Callable[[str], None]
    """Told the name of each event that is published."""
    listening: Callable[[], None]
    """Called when every event from now on is heard."""
    deaf: Callable[[], None]
    """Called when some may pass unheard; possibly more than once."""


class Bus(Protocol):
    """Events in and out. Subject, stream and id of an event follow from the policy on its message."""

    async def publish(self, event: Message, *, causation_id: str | None = None) -> None:
        """Return once the event is stored. `causation_id` names the event that led to this one."""

    async def publish_many(self, events: Iterable[Message], *, causation_id: str | None = None) -> None:
        """Publish in order with acknowledgements pipelined; return once all are stored."""

    async def subscribe(self, *subscriptions: Subscription) -> None:
        """Begin to consume. Give all of a service's subscriptions at once: what no subscription wants is
        acknowledged unseen, so a stream cannot get a second one later (ValueError), unless after `drain`.
        """

    async def observe(self, observation: Observation) -> None:
        """Begin to hear events, until the bus is closed. Returns at once: `listening` tells when it works."""

    async def pending(self, consumer: str, event: type[Message], key: str = "") -> int:
        """How many events of the stream of `event` the service named `consumer` (its folder) has still to
        handle.
        """

    async def drain(self) -> None:
        """Stop fetching, let the batches in hand finish and be acknowledged. Publishing still works."""

    async def close(self) -> None:
        """Flush and leave. Nothing works afterwards."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One running process of a service as the registry knows it. Addresses are `host:port`."""

    id: str
    service: str
    """Full gRPC name, e.g. `fxmesh.trading.v1.TradingService`."""
    name: str
    """Folder and process name, e.g. `trading_gateway`."""
    grpc_address: str
    http_address: str
    started_ns: int
    version: str = ""
    priority_address: str = ""
    """Where the group `cancels` is served beside `grpc_address`; empty: nowhere else."""


class Registry(Protocol):
    """Who serves what, and where, judged by beats heard on our own clock."""

    def endpoints(self, service: str) -> tuple[str, ...]:
        """GRPC addresses of the live instances of a service (full gRPC name), in a stable order."""

    def priority_endpoints(self, service: str) -> tuple[str, ...]:
        """Priority addresses of those of them that have one, in the same order."""

    def instances(self) -> tuple[Instance, ...]:
        """All live instances of all services."""

    async def changed(self) -> None:
        """Return when the set of live instances next changes."""

    async def register(self, instance: Instance) -> None:
        """Announce an instance of this process and keep beating for it."""

    async def deregister(self) -> None:
        """Withdraw what was announced, so that followers stop choosing it at once."""

    async def close(self) -> None:
        """Stop beating and following."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A process that may lead its service. `holder` names its data folder: who has the folder knows that the
    process before it is gone. `instance` is its id; `address` its gRPC `host:port`.
    """

    role: str
    holder: str
    instance: str
    address: str


NOBODY = Candidate("", "", "", "")
"""Where there is one process and never another."""


class Leadership(Protocol):
    """Which instance of this service does what only one may do at a time. Nobody stands for it unasked."""

    @property
    def held(self) -> bool:
        """True while this process may act as the leader. Look before each act: it lapses while the lease
        cannot be renewed, and comes back in the same term when nobody else took it.
        """

    @property
    def term(self) -> int:
        """Above zero from taking the lease until another instance is known to have it; a new number each
        time it changes hands.
        """

    @property
    def leader(self) -> str:
        """GRPC address of the instance that leads; empty while it is this one or nobody is known."""

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once `condition` holds, judged now and after each change of `term` or `leader`."""

    async def campaign(self) -> None:
        """Lead from now on whenever nobody else does. Returns after the first attempt."""

    async def close(self) -> None:
        """Give the lease back."""


class Channels(Protocol):
    """Ways to the peers: `TradingServiceStub(channels.to("fxmesh.trading.v1.TradingService"))`.

    Calls through such a stub raise `FxError`, never `AioRpcError`, and always carry a deadline.
    """

    def to(self, service: str) -> grpc.aio.Channel:
        """The channel of a service by full gRPC name, the same each time. Picks an instance per call."""

    def at(self, service: str, address: str) -> grpc.aio.Channel:
        """The channel of the one instance of a service at `address` (`host:port`)."""

    async def close(self) -> None:
        """Close every connection."""
