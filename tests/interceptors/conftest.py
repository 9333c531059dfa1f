"""The echo service behind the standard plans, on both transports: every promise of the mesh holds on each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
import pytest
from prometheus_client import CollectorRegistry

from interceptors.standard import client_concerns, server_concerns
from services.runtime.channels import static_channels
from services.runtime.health import Health
from services.runtime.identity.identity import Identity
from services.runtime.identity.token_file import TokenFile
from services.runtime.ids import CountedIds
from services.runtime.limits import Limits
from services.runtime.memory_channels import MemoryChannels
from services.runtime.serve import MeshServer
from tests.fakes.echo import SERVICE, service_pb2_grpc
from tests.fakes.echo.service import EchoServicer

LIMITS = Limits()
"""Those of a process that says nothing else."""


@dataclass
class Echo:
    """A served echo service and a way to it."""

    servicer: EchoServicer
    stub: Any
    server_metrics: CollectorRegistry
    client_metrics: CollectorRegistry
    address: str = ""


Serve: TypeAlias = Callable[..., AbstractAsyncContextManager[Echo]]


@asynccontextmanager
async def networked(
    onward: Any = None,
    spans: Any = None,
    servicer: EchoServicer | None = None,
    limits: Limits | None = LIMITS,
    calling: Limits | None = LIMITS,
    drill: str = "",
    identity: Identity | None = None,
    own: TokenFile | None = None,
) -> AsyncIterator[Echo]:
    servicer = servicer or EchoServicer(onward)
    served, called = CollectorRegistry(), CollectorRegistry()
    serving = server_concerns(CountedIds("server"), served, spans, identity, limits, drill)
    server = MeshServer("127.0.0.1", 0, serving, Health())
    server.add(service_pb2_grpc.add_EchoServiceServicer_to_server, servicer)
    await server.start()
    address = f"127.0.0.1:{server.port}"
    concerns = client_concerns(CountedIds("client"), called, spans, own, calling)
    channels = static_channels({SERVICE: address}, concerns)
    stub = service_pb2_grpc.EchoServiceStub(channels.to(SERVICE))
    try:
        yield Echo(servicer, stub, served, called, address)
    finally:
        await channels.close()
        await server.close()


@asynccontextmanager
async def in_memory(
    onward: Any = None,
    spans: Any = None,
    servicer: EchoServicer | None = None,
    limits: Limits | None = LIMITS,
    calling: Limits | None = LIMITS,
    drill: str = "",
    identity: Identity | None = None,
    own: TokenFile | None = None,
) -> AsyncIterator[Echo]:
    servicer = servicer or EchoServicer(onward)
    served, called = CollectorRegistry(), CollectorRegistry()
    channels = MemoryChannels(
        server_concerns(CountedIds("server"), served, spans, identity, limits, drill),
        client_concerns(CountedIds("client"), called, spans, own, calling),
    )
    channels.serve(service_pb2_grpc.add_EchoServiceServicer_to_server, servicer)
    yield Echo(servicer, service_pb2_grpc.EchoServiceStub(channels.to(SERVICE)), served, called)


@asynccontextmanager
async def outside(address: str) -> AsyncIterator[Any]:
    """A caller outside the mesh, like grpcurl: a plain channel, bytes in and bytes out, of any size."""
    async with grpc.aio.insecure_channel(address, (("grpc.max_send_message_length", -1),)) as channel:
        yield channel


@pytest.fixture(params=[networked, in_memory], ids=["network", "memory"])
def serve(request: pytest.FixtureRequest) -> Serve:
    """Serves another echo: for second hops and other concerns."""
    made: Serve = request.param
    return made


@pytest.fixture
async def echo(serve: Serve) -> AsyncIterator[Echo]:
    """The echo service on either transport."""
    async with serve() as served:
        yield served


@pytest.fixture
async def network_echo() -> AsyncIterator[Echo]:
    """The echo service on a real connection, for what only bytes can show."""
    async with networked() as served:
        yield served
