"""Instances of the echo service as real processes, and a caller that finds them through the registry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.runtime.registry import NatsRegistry
from tests.fakes.echo import SERVICE, service_pb2_grpc
from tests.fakes.echo.service import Request
from tests.kit.nats import NatsServer, until
from tests.kit.service_process import ServiceProcess, calling_by_registry, service_process


@dataclass
class Fleet:
    """The instances of one service, and whoever calls them."""

    instances: list[ServiceProcess]
    stub: Any
    registry: NatsRegistry

    def known(self, process: ServiceProcess) -> bool:
        """Whether it is in rotation."""
        return process.address in self.registry.endpoints(SERVICE)

    async def leaves(self, process: ServiceProcess) -> None:
        """Return once it is out of rotation."""
        await until(lambda: not self.known(process))

    async def comes(self, process: ServiceProcess) -> None:
        """Return once it is in rotation."""
        await until(lambda: self.known(process))

    async def call(self) -> Any:
        return await self.stub.Unary(Request(), timeout=5)

    async def answers(self) -> None:
        """So many calls that every instance in rotation gets some; fails when one of them does."""
        for _ in range(10):
            await self.call()


@asynccontextmanager
async def fleet_of(count: int, folder: Path, nats: NatsServer) -> AsyncIterator[Fleet]:
    """Started together, all in rotation at the start, gone at the end."""
    async with AsyncExitStack() as stack:
        starting = [service_process(folder / str(number), nats) for number in range(count)]
        instances = await asyncio.gather(*(stack.enter_async_context(each) for each in starting))
        channels, registry = await stack.enter_async_context(calling_by_registry(nats))
        made = Fleet(list(instances), service_pb2_grpc.EchoServiceStub(channels.to(SERVICE)), registry)
        await until(lambda: all(map(made.known, instances)))
        yield made
