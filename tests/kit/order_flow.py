"""Orders from a publishing process to a consuming one, and the history of what was promised and happened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from services.errors import FxError, Kind
from tests.fakes.echo import SERVICE, service_pb2_grpc
from tests.fakes.echo.service import Request
from tests.kit.cluster import Cluster
from tests.kit.event_process import effects
from tests.kit.history import History
from tests.kit.nats import NatsServer, until
from tests.kit.service_process import ServiceProcess, calling, service_process

PROGRAM = "tests.kit.event_process"
KEYS = ("demo", "fund-1", "fund-2")
CONSUMER = "consumer"


class OrderFlow:
    """Places orders at a publisher and remembers which were acknowledged."""

    def __init__(self, folder: Path, nats: NatsServer | Cluster, **environment: str) -> None:
        self.folder, self.nats = folder, nats
        self._environment = environment
        self.history = History((CONSUMER,))
        self._number = 0

    @asynccontextmanager
    async def publisher(self, **environment: str) -> AsyncIterator[ServiceProcess]:
        folder = self.folder / "publisher"
        async with service_process(
            folder, self.nats, PROGRAM, "publisher", **self._environment | environment
        ) as running:
            yield running

    @asynccontextmanager
    async def consumer(self, **environment: str) -> AsyncIterator[ServiceProcess]:
        folder = self.folder / CONSUMER
        async with service_process(
            folder, self.nats, PROGRAM, CONSUMER, **self._environment | environment
        ) as running:
            yield running

    async def place(self, publisher: ServiceProcess, count: int, pause_s: float = 0.0) -> None:
        """Orders in turn for all keys, one after the other; ends early when the publisher does."""
        async with calling(publisher.address) as channels:
            stub: Any = service_pb2_grpc.EchoServiceStub(channels.to(SERVICE))
            for _ in range(count):
                self._number += 1
                key = KEYS[self._number % len(KEYS)]
                self.history.sent(key, f"{key}-{self._number}")
                try:
                    await stub.Unary(Request(text=f"{key} {self._number}"), timeout=10)
                except FxError as unknown:  # it may have happened or not
                    if unknown.kind is not Kind.UNAVAILABLE:
                        raise
                    return
                self.history.acknowledged(f"{key}-{self._number}")
                await asyncio.sleep(pause_s)

    async def settled(self) -> None:
        """Wait until as much was consumed as was acknowledged, then judge all of it."""
        seen = partial(effects, self.folder / CONSUMER)
        await until(lambda: not self.history.awaited(each for _, each in seen()), seconds=60)
        for key, each in seen():
            self.history.effected(CONSUMER, key, each)
        self.history.check()
