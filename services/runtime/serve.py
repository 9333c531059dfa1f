"""The gRPC server of a process: options, the plan around every handler, health, reflection, and a drain that
ends.

The groups in `PROTECTED` are served on a priority port too, by a second server of gRPC beside the first: on
the same event loop, by the same handlers, plans and pools, but with connections and a queue that nothing else
can hold up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import grpc
from grpc_health.v1 import health_pb2_grpc

from interceptors.calls import Metadata, ServerCall
from interceptors.drain import Drain
from interceptors.plan import Concerns, Place
from interceptors.server import Registrar
from services.runtime import reflection
from services.runtime.connections import end_connections
from services.runtime.fatal import FatalError
from services.runtime.health import Health
from services.runtime.http import bind_failure
from services.runtime.limits import CANCELS, MAX_PENDING_CALLS, PROTECTED
from services.runtime.policy import BATCH_REQUEST_BYTES, METADATA_BYTES, method_policy
from services.runtime.statuses import Statuses

if TYPE_CHECKING:
    from services.runtime.certificates import Certificates

DRAIN_S = 20.0
_LAST_WORDS_S = 0.2
"""How long open streams live on after NOT_SERVING, so that health watchers are told before they are cut."""
_SENT_S = 0.05
"""How long the last answers have to leave before their connections end."""
_SETTLE_S = 0.05
"""How long the end of a request stream may turn out a cancellation: three times the longest measured."""

SERVER_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.so_reuseport", 0),  # a port that is in use must be an error, not shared
    # Above any bulkhead: at the defaults a burst of a thousand calls gets random CANCELLED (measured).
    ("grpc.server.max_pending_requests", MAX_PENDING_CALLS),
    ("grpc.server.max_pending_requests_hard_limit", 2 * MAX_PENDING_CALLS),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.max_connection_age_ms", 30 * 60_000),  # so that clients come to find new instances
    ("grpc.max_connection_age_grace_ms", 60_000),
    # The size class of each method is checked by the plan; this only bounds what is buffered before.
    ("grpc.max_receive_message_length", BATCH_REQUEST_BYTES + 64 * 1024),
    ("grpc.max_send_message_length", BATCH_REQUEST_BYTES + 64 * 1024),
    ("grpc.max_metadata_size", METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", METADATA_BYTES),
)


def bind(server: grpc.aio.Server, address: str, tls: Certificates | None) -> int:
    """Let a server listen; returns the port. Raises RuntimeError when it is taken."""
    if tls is None:
        return server.add_insecure_port(address)
    return server.add_secure_port(address, tls.server_credentials())


class _OneCall(grpc.RpcMethodHandler):  # type: ignore[type-arg]  # it takes none at run time
    """The handler of a method for one call. It is handed the metadata that gRPC has made to ask for it."""

    request_streaming = response_streaming = False
    request_deserializer = response_serializer = None
    unary_stream = stream_unary = stream_stream = None

    def __init__(self, serve: Callable[..., Any], metadata: Metadata) -> None:
        self.unary_unary = partial(serve, metadata=metadata)


class _Methods(grpc.GenericRpcHandler):
    """The handlers of all methods that share the common queue, found by path."""

    def __init__(self) -> None:
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    def add(self, service_name: str, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]) -> None:
        """Handlers of a service by method name."""
        self._handlers.update({f"/{service_name}/{name}": each for name, each in handlers.items()})

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Asked by gRPC for every call; None answers UNIMPLEMENTED."""
        handler = self._handlers.get(handler_call_details.method)
        if handler is None or handler.unary_unary is None:
            return handler
        return _OneCall(handler.unary_unary, handler_call_details.invocation_metadata)


class _Lane:
    """One port and gRPC's server behind it, bound from construction. Raises FatalError when it is taken.

    gRPC's server gives each registered method a queue of its own and, for every call that comes, begins and
    ends a wait on all of them: in a service of fifty methods that costs as much as serving the call. So only
    those that must never stand behind others have one, and all the rest share one queue.
    """

    def __init__(self, what: str, host: str, port: int, tls: Certificates | None) -> None:
        self._server = grpc.aio.server(options=SERVER_OPTIONS)
        self._common = _Methods()
        self._server.add_generic_rpc_handlers((self._common,))
        try:
            self.port = bind(self._server, f"{host}:{port}", tls)
        except RuntimeError as failure:
            raise FatalError(bind_failure(what, host, port)) from failure
        self.start, self.stop = self._server.start, self._server.stop

    def add(self, service_name: str, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]) -> None:
        """Serve these methods."""
        groups = {name: method_policy(f"/{service_name}/{name}").bulkhead for name in handlers}
        own = {name: each for name, each in handlers.items() if groups[name] == CANCELS}
        if own:
            self._server.add_registered_method_handlers(service_name, own)
        self._common.add(service_name, {name: each for name, each in handlers.items() if name not in own})


class _Lanes:
    """Where the registrar leaves the wrapped handlers: all at the first port, the protected at both."""

    def __init__(self, first: _Lane, priority: _Lane | None) -> None:
        self._first = first
        self._priority = priority

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: dict[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        self._first.add(service_name, method_handlers)
        protected = {
            name: handler
            for name, handler in method_handlers.items()
            if method_policy(f"/{service_name}/{name}").bulkhead in PROTECTED
        }
        if self._priority is not None and protected:
            self._priority.add(service_name, protected)


class MeshServer:
    """Bound from construction (raises FatalError when a port is taken), serving between `start` and
    `drain`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        concerns: Concerns[ServerCall],
        health: Health,
        tls: Certificates | None = None,
        priority_port: int | None = None,
    ) -> None:
        """With `tls` only for callers with a certificate of an authority it trusts. Without `priority_port`
        there is no second port.
        """
        first = _Lane("gRPC", host, port, tls)
        priority = None if priority_port is None else _Lane("priority", host, priority_port, tls)
        self._lanes = (first,) if priority is None else (first, priority)
        self._drain = Drain()
        own = {Place.DRAIN: self._drain.hook}
        self._registrar = Registrar(_Lanes(first, priority), {**concerns, **own}, _SETTLE_S)
        self._statuses = Statuses(health)
        self._started = False
        self.port = first.port
        self.priority_port = None if priority is None else priority.port
        """What it is bound to."""

    def add(self, add_to_server: Callable[[Any, Any], None], servicer: object) -> None:
        """Register a servicer by its generated function. Raises FatalError for a method without a policy."""
        add_to_server(servicer, cast("grpc.aio.Server", self._registrar))

    async def start(self) -> None:
        """Begin to serve, with health (per service and overall) and reflection."""
        served = tuple(self._registrar.services)
        self.add(health_pb2_grpc.add_HealthServicer_to_server, self._statuses.servicer)
        self.add(reflection.add_to_server, reflection.servicer(self._registrar.services))
        await self._statuses.start(served)
        self._started = True
        await self._start()

    async def drain(self, grace_s: float = DRAIN_S) -> None:
        """Say NOT_SERVING, refuse new calls, end streams, let the others finish for at most `grace_s`; then
        let go of the ports.
        """
        await self._statuses.stop_serving()
        await asyncio.sleep(_LAST_WORDS_S)
        await self._drain.run(grace_s)
        await asyncio.sleep(_SENT_S)
        for lane in self._lanes:
            end_connections(lane.port)
        await self._stop()

    async def close(self) -> None:
        """Let go of the ports, whether they were served or not. Calls in flight are cut."""
        self._statuses.close()
        if not self._started:
            await self._start()  # gRPC frees a port only when it has begun to serve it
        await self._stop()

    async def _start(self) -> None:
        for lane in self._lanes:
            await lane.start()

    async def _stop(self) -> None:
        for lane in self._lanes:
            await lane.stop(None)
