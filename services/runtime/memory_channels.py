"""Calls between services composed in one process: the same plans on both sides, no socket between them.

Used by services/replay and by tests. Messages are serialised and parsed as on a connection, so limits,
validation and errors are the same, and no two services ever share a mutable message. A handler runs in a task
of its own with an empty context, as on a server; nothing but the metadata reaches it.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable
from typing import Any, TypeAlias, cast

import grpc

from interceptors.calls import ClientCall, ServerCall
from interceptors.client import PlannedChannel
from interceptors.endpoints import Endpoint
from interceptors.plan import Concerns
from interceptors.server import Registrar
from services.errors import FxError, Kind
from services.runtime.memory_context import MemoryContext

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Metadata: TypeAlias = Iterable[tuple[str, str | bytes]]


class MemoryChannels:
    """Serves and calls within the process. Without the deadline in both concerns it is free of wall time."""

    def __init__(self, server: Concerns[ServerCall], client: Concerns[ClientCall]) -> None:
        self._server = server
        self._client = client
        self._handlers: dict[str, _Handler] = {}
        self._services: set[str] = set()
        self._channels: dict[str, PlannedChannel] = {}

    def serve(self, add_to_server: Callable[[Any, Any], None], servicer: object) -> None:
        """Register a servicer by its generated function. Raises FatalError for a method without a policy."""
        add_to_server(servicer, cast("grpc.aio.Server", Registrar(self, self._server)))

    def withdraw(self, service: str) -> None:
        """Let a service be absent: calls of it fail with PEER_UNAVAILABLE until it is served again."""
        self._services.discard(service)

    def to(self, service: str) -> grpc.aio.Channel:
        """The channel of a service by full gRPC name; the same object each time."""
        channel = self._channels.get(service)
        if channel is None:
            channel = PlannedChannel(_Target(service, self._services, _Wire(self._handlers)), self._client)
            self._channels[service] = channel
        return channel

    def at(self, service: str, address: str) -> grpc.aio.Channel:
        """The same as `to`: there is one instance of everything."""
        del address
        return self.to(service)

    async def close(self) -> None:
        """Nothing is open."""

    def add_registered_method_handlers(self, service_name: str, method_handlers: dict[str, _Handler]) -> None:
        """Where the registrar leaves the wrapped handlers."""
        self._handlers.update((f"/{service_name}/{name}", each) for name, each in method_handlers.items())
        self._services.add(service_name)


class _Target:
    def __init__(self, service: str, services: set[str], wire: _Wire) -> None:
        self._service = service
        self._services = services
        self._endpoint = Endpoint(cast("grpc.aio.Channel", wire))

    def pick(self, tried: tuple[Endpoint, ...] = ()) -> Endpoint | None:
        return self._endpoint if self._service in self._services else None

    def known(self) -> bool:
        return self._service in self._services

    async def wait(self, deadline: float) -> Endpoint:
        # What is not composed will not appear by waiting.
        raise FxError(Kind.UNAVAILABLE, "PEER_UNAVAILABLE", f"no instance of {self._service} is running")


class _Wire:
    """What a connection is elsewhere: gives the callable of a method, bytes in and bytes out."""

    def __init__(self, handlers: dict[str, _Handler]) -> None:
        self._handlers = handlers

    def unary_unary(
        self, path: str, _: None, __: None, **___: Any
    ) -> Callable[..., Coroutine[Any, Any, Any]]:
        def call(data: bytes, timeout: float | None, metadata: _Metadata) -> Coroutine[Any, Any, Any]:
            return _one_answer(self._handlers[path], data, MemoryContext(timeout, metadata, None))

        return call

    stream_unary = unary_unary

    def unary_stream(self, path: str, _: None, __: None, **___: Any) -> Callable[..., _Answers]:
        def call(data: bytes, timeout: float | None, metadata: _Metadata) -> _Answers:
            handler = self._handlers[path]
            return _Answers(handler, data, MemoryContext(timeout, metadata, handler.response_serializer))

        return call

    stream_stream = unary_stream


async def _one_answer(handler: _Handler, requests: Any, context: MemoryContext) -> Any:
    task = _begin(handler, requests, context)
    try:
        data = await task
    except grpc.aio.AbortError:
        data = None
    except asyncio.CancelledError:
        _unless_cancelled_here(context)
        raise
    if (failure := context.failure()) is not None:
        raise failure
    return data


class _Answers:
    """The client's end of a stream of answers."""

    def __init__(self, handler: _Handler, requests: Any, context: MemoryContext) -> None:
        self._context = context
        self._task = _begin(handler, requests, context)

    async def read(self) -> Any:
        try:
            data = await self._context.next_answer()
        except asyncio.CancelledError:
            self._task.cancel()
            raise
        if data is not None:
            return data
        await asyncio.wait((self._task,))
        if (failure := self._context.failure()) is not None:
            raise failure
        if self._task.cancelled():
            raise asyncio.CancelledError
        return grpc.aio.EOF

    async def initial_metadata(self) -> Any:
        return await self._context.headers()

    def cancel(self) -> bool:
        return self._task.cancel()


def _begin(handler: _Handler, requests: Any, context: MemoryContext) -> asyncio.Task[Any]:
    """Start the handler in a task of its own; the context is told when it ends."""
    function: Any = (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )
    if handler.request_streaming:
        context.requests = requests = _parsed(requests, handler.request_deserializer)

    async def serve() -> Any:
        try:
            return await function(requests, context)
        finally:
            await context.end()

    task = asyncio.get_running_loop().create_task(serve(), context=contextvars.Context())
    task.add_done_callback(_retrieve)
    return task


async def _parsed(requests: AsyncIterable[bytes], receive: Any) -> AsyncIterator[Any]:
    iterator = aiter(requests)
    while (data := await _next(iterator)) is not None:
        yield receive(data)


async def _next(iterator: AsyncIterator[bytes]) -> bytes | None:
    try:
        return await anext(iterator, None)
    except Exception:  # noqa: BLE001
        # The caller's own iterator failed, and the caller knows why: the call is cancelled, as gRPC does.
        _current_task().cancel()
        await asyncio.sleep(0)
        return None


def _unless_cancelled_here(context: MemoryContext) -> None:
    """Raise what a connection would show when the handler's task was cancelled though nobody cancelled the
    call.
    """
    if not _current_task().cancelling() and (failure := context.failure()) is not None:
        raise failure


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None  # calls are made and served in tasks
    return task


def _retrieve(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()
