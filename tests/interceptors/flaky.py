"""An echo service that fails on order, and clients with the parts of the mesh that a test is about."""

# ruff: noqa: N802 the contract's names

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import grpc
from prometheus_client import CollectorRegistry

from interceptors.calls import ClientCall
from interceptors.errors import PUSHBACK_KEY
from interceptors.plan import Concern, Place
from interceptors.standard import server_concerns, steady_client_concerns
from services.errors import FxError, Kind
from services.runtime.channels import MeshChannels, static_channels
from services.runtime.health import Health
from services.runtime.ids import CountedIds
from services.runtime.serve import MeshServer
from tests.fakes.echo import SERVICE, service_pb2_grpc
from tests.fakes.echo.service import EchoServicer

Order: TypeAlias = Callable[[Any], Awaitable[None]]


class Flaky(EchoServicer):
    """Carries out one order a call, before it answers, as long as there are any; `always` after that."""

    def __init__(self) -> None:
        super().__init__()
        self.orders: deque[Order] = deque()
        self.always: Order | None = None
        self.metadata: list[dict[str, str | bytes]] = []
        """What came with each call."""
        self.left_s: list[float] = []
        """How long each call had."""

    @property
    def calls(self) -> int:
        return len(self.metadata)

    async def Unary(self, request: Any, context: Any) -> Any:
        await self._obey(context)
        return await super().Unary(request, context)

    async def Record(self, request: Any, context: Any) -> Any:
        await self._obey(context)
        return await super().Record(request, context)

    async def Append(self, request: Any, context: Any) -> Any:
        await self._obey(context)
        return await super().Append(request, context)

    async def Look(self, request: Any, context: Any) -> Any:
        await self._obey(context)
        return await super().Look(request, context)

    async def Gather(self, requests: Any, context: Any) -> Any:
        await self._obey(context)
        return await super().Gather(requests, context)

    async def Follow(self, request: Any, context: Any) -> AsyncIterator[Any]:
        await self._obey(context)
        async for answer in super().Follow(request, context):
            yield answer

    async def Converse(self, requests: Any, context: Any) -> None:
        await self._obey(context)
        await super().Converse(requests, context)

    async def _obey(self, context: Any) -> None:
        self.metadata.append(dict(context.invocation_metadata()))
        self.left_s.append(context.time_remaining())
        order = self.orders.popleft() if self.orders else self.always
        if order is not None:
            await order(context)


async def fine(_: Any) -> None:
    """Answer."""


async def unavailable(_: Any) -> None:
    """Refuse as a domain error does."""
    raise FxError(Kind.UNAVAILABLE, "STORE_UNAVAILABLE", "the store is away")


async def broken(_: Any) -> None:
    """Fail with INTERNAL."""
    raise ValueError("a defect")


async def not_found(_: Any) -> None:
    """Give a business answer."""
    raise FxError(Kind.NOT_FOUND, "UNKNOWN_ORDER", "no such order")


async def hang(_: Any) -> None:
    """Say nothing."""
    await asyncio.Event().wait()


def pushing_back(text: str) -> Order:
    """Refuse and say when to come back."""

    async def order(context: Any) -> None:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "busy", ((PUSHBACK_KEY, text),))

    return order


def after_headers(*headers: tuple[str, str]) -> Order:
    """Send headers, let them arrive, then refuse."""

    async def order(context: Any) -> None:
        await context.send_initial_metadata(headers)
        await asyncio.sleep(0.05)  # lets the headers travel apart from the refusal
        await unavailable(context)

    return order


@asynccontextmanager
async def serving(servicer: EchoServicer, name: str = "s") -> AsyncIterator[str]:
    """Serves on a port of this process; gives the address."""
    server = MeshServer("127.0.0.1", 0, server_concerns(CountedIds(name), CollectorRegistry()), Health())
    server.add(service_pb2_grpc.add_EchoServiceServicer_to_server, servicer)
    await server.start()
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        await server.close()


def concerns(
    extra: Mapping[Place, Concern[ClientCall]], registry: CollectorRegistry | None = None
) -> dict[Place, Concern[ClientCall]]:
    """The steady ones and `extra`."""
    return {**steady_client_concerns(CountedIds("c"), registry or CollectorRegistry()), **extra}


@asynccontextmanager
async def calling(
    address: str, extra: Mapping[Place, Concern[ClientCall]], registry: CollectorRegistry | None = None
) -> AsyncIterator[Any]:
    """A stub for the service at `address`."""
    channels = static_channels({SERVICE: address}, concerns(extra, registry))
    try:
        yield stub(channels)
    finally:
        await channels.close()


def stub(channels: MeshChannels) -> Any:
    """A stub of the echo service."""
    return service_pb2_grpc.EchoServiceStub(channels.to(SERVICE))


class Wire:
    """A way to `address` that can be cut under the calls on it."""

    def __init__(self, address: str) -> None:
        self._host, _, port = address.partition(":")
        self._port = int(port)
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Reset every connection; new ones can be made."""
        writers, self._writers = self._writers, []
        for writer in writers:
            writer.transport.abort()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward_writer = await asyncio.open_connection(self._host, self._port)
        self._writers += (writer, onward_writer)
        for source, sink in ((reader, onward_writer), (onward_reader, writer)):
            task = asyncio.ensure_future(_pump(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
    except OSError:
        pass
    finally:
        sink.close()


@asynccontextmanager
async def wire(address: str) -> AsyncIterator[tuple[str, Wire]]:
    """(address, the wire behind it)."""
    carried = Wire(address)
    server = await asyncio.start_server(carried.carry, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", carried
    finally:
        carried.cut()
        server.close()
