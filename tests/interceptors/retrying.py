"""A client that retries without really waiting, on both transports."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from prometheus_client import CollectorRegistry

from interceptors.plan import Place
from interceptors.retry import Retries
from interceptors.standard import server_concerns
from services.runtime.ids import CountedIds
from services.runtime.memory_channels import MemoryChannels
from tests.fakes.echo import SERVICE, service_pb2_grpc
from tests.interceptors.flaky import Flaky, calling, concerns, serving

SEED = 20260710


class Client:
    """A servicer, a stub whose retries do not really wait, and what they would have waited."""

    def __init__(self, servicer: Flaky) -> None:
        self.servicer = servicer
        sys.stdout.write(f"seed {SEED}\n")
        self.slept: list[float] = []
        self.retries = Retries(sleep=self._sleep, random=Random(SEED))
        self.stub: Any = None

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def made(self, how: str, method: str = "Unary") -> int:
        return self.retries.made[f"/{SERVICE}/{method}", how]

    def withheld(self, why: str, method: str = "Unary") -> int:
        return self.retries.withheld[f"/{SERVICE}/{method}", why]


@asynccontextmanager
async def networked() -> AsyncIterator[Client]:
    client = Client(Flaky())
    async with (
        serving(client.servicer) as address,
        calling(address, {Place.RETRY: client.retries.hook}) as client.stub,
    ):
        yield client


@asynccontextmanager
async def in_memory() -> AsyncIterator[Client]:
    client = Client(Flaky())
    channels = MemoryChannels(
        server_concerns(CountedIds("s"), CollectorRegistry()), concerns({Place.RETRY: client.retries.hook})
    )
    channels.serve(service_pb2_grpc.add_EchoServiceServicer_to_server, client.servicer)
    client.stub = service_pb2_grpc.EchoServiceStub(channels.to(SERVICE))
    yield client
