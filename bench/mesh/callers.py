"""The four ways to make the same call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import grpc

from bench.mesh import rest, stack
from bench.mesh.measure import Call, Way
from bench.mesh.servers import serving
from bench.mesh.sidecars import sidecars
from services.runtime.channels import static_channels
from tests.fakes.echo import SERVICE, service_pb2, service_pb2_grpc

Open: TypeAlias = Callable[[Path, float], AbstractAsyncContextManager[Way]]
REQUEST = service_pb2.EchoRequest(text=rest.TEXT)


@asynccontextmanager
async def _bare(secrets: Path, sample: float) -> AsyncIterator[Way]:
    with serving("bare", secrets, sample) as (port, server):
        async with _plain(port) as call:
            yield Way(call, (server,))


@asynccontextmanager
async def _mesh(secrets: Path, sample: float) -> AsyncIterator[Way]:
    with serving("mesh", secrets, sample) as (port, server):
        channels = static_channels({SERVICE: f"127.0.0.1:{port}"}, stack.calling(secrets, sample))
        unary = service_pb2_grpc.EchoServiceStub(channels.to(SERVICE)).Unary
        yield Way(lambda: unary(REQUEST), (server,))
        await channels.close()


@asynccontextmanager
async def _sidecars(secrets: Path, sample: float) -> AsyncIterator[Way]:
    with serving("bare", secrets, sample) as (port, server), sidecars(port) as (first, envoys):
        async with _plain(first) as call:
            yield Way(call, (server, *envoys))


@asynccontextmanager
async def _rest(secrets: Path, sample: float) -> AsyncIterator[Way]:
    with serving("rest", secrets, sample) as (port, server):
        async with rest.calling(port) as call:
            yield Way(call, (server,))


@asynccontextmanager
async def _plain(port: int) -> AsyncIterator[Call]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        unary = service_pb2_grpc.EchoServiceStub(channel).Unary
        yield lambda: unary(REQUEST, timeout=5.0)


WAYS: Mapping[str, Open] = {"bare": _bare, "mesh": _mesh, "sidecars": _sidecars, "rest": _rest}
