"""Buses of a test, crashed or closed at the end, and something to collect what they deliver."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TextIO

from google.protobuf.message import Message

from services.runtime.bus import Link, NatsBus, RetryPolicy
from services.runtime.clock import WallClock
from services.runtime.ports import Delivery
from tests.kit.events import quiet_log, service
from tests.kit.nats import NatsServer

QUICK = RetryPolicy(attempts=3, first_delay_s=0.01, longest_delay_s=0.05, hold_s=0.5)
"""Gives up after a moment instead of minutes."""


class Process:
    """The bus of one service process, which can end as a crash does: no drain, nothing acknowledged."""

    def __init__(
        self,
        server: NatsServer,
        name: str,
        retry: RetryPolicy = QUICK,
        patience_s: float = 30.0,
        file: TextIO | None = None,
    ) -> None:
        log = quiet_log(file)
        self.link = Link(server.url, name, log)
        self.link.open()
        self.bus = NatsBus(self.link, service(name), WallClock(), log, retry=retry, patience_s=patience_s)

    async def crash(self) -> None:
        """Vanish."""
        await self.link.close()

    async def close(self) -> None:
        """Go in good order."""
        await self.bus.drain()
        await self.link.close()


@asynccontextmanager
async def process(
    server: NatsServer, name: str = "market_data", retry: RetryPolicy = QUICK, patience_s: float = 30.0
) -> AsyncIterator[Process]:
    """A process that is gone, in good order, at the end of the block."""
    running = Process(server, name, retry, patience_s)
    try:
        yield running
    finally:
        await running.close()


class Collector:
    """A handler that keeps what it is given."""

    def __init__(self) -> None:
        self.batches: list[list[Delivery]] = []

    async def __call__(self, deliveries: Sequence[Delivery]) -> None:
        self.batches.append(list(deliveries))

    @property
    def deliveries(self) -> list[Delivery]:
        return [delivery for batch in self.batches for delivery in batch]

    @property
    def events(self) -> list[Message]:
        return [delivery.event for delivery in self.deliveries]

    @property
    def ids(self) -> list[str]:
        return [delivery.id for delivery in self.deliveries]
