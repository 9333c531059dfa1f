"""Reflection and health at the edge, for all services at one address.

Each service describes and judges itself only; here the contracts describe all of them, and a question about
the health of one is passed on to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from interceptors.calls import ServerCall
from interceptors.plan import Concerns
from interceptors.server import Registrar
from services.errors import FxError, Kind
from services.runtime import reflection
from services.runtime.channels import Connections
from services.runtime.fatal import FatalError
from services.runtime.http import bind_failure
from services.runtime.serve import SERVER_OPTIONS, bind
from services.runtime.statuses import LIVENESS

if TYPE_CHECKING:
    from services.runtime.certificates import Certificates

_ASK_S = 0.8
"""How long a service may take to say how it is; below the deadline of the question itself."""
_AGAIN_S = 1.0
_States = health_pb2.HealthCheckResponse


class BuiltIn:
    """Bound from construction (raises FatalError when the port is taken); `start` serves.

    Health overall is SERVING once `ready` is set: before that the gate cannot tell who calls.
    """

    def __init__(
        self,
        host: str,
        port: int,
        concerns: Concerns[ServerCall],
        upstreams: Mapping[str, str],
        tls: Certificates | None = None,
    ) -> None:
        """`upstreams`: address by full gRPC name of the service."""
        self.ready = asyncio.Event()
        self._server = grpc.aio.server(options=SERVER_OPTIONS)
        self._registrar = Registrar(self._server, concerns)
        connections = Connections(tls)
        self._channels = {name: connections.of(name).get(address) for name, address in upstreams.items()}
        try:
            self.port = bind(self._server, f"{host}:{port}", tls)
        except RuntimeError as failure:
            raise FatalError(bind_failure("gRPC", host, port)) from failure

    async def start(self) -> None:
        """Begin to serve."""
        names = (*self._channels, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name)
        self._add(reflection.add_to_server, reflection.servicer(names))
        self._add(health_pb2_grpc.add_HealthServicer_to_server, _Health(self._channels, self.ready))
        await self._server.start()

    def _add(self, add_to_server: Callable[[Any, Any], None], servicer: object) -> None:
        add_to_server(servicer, self._registrar)

    async def close(self) -> None:
        """Cut what is still asked and let go of the connections."""
        await self._server.stop(None)
        for channel in self._channels.values():
            await channel.close()


class _Health(health_pb2_grpc.HealthServicer):
    """`""` is the edge itself, LIVENESS whether the gate lives; any other name is asked of its service."""

    def __init__(self, channels: Mapping[str, grpc.aio.Channel], ready: asyncio.Event) -> None:
        self._channels = channels
        self._ready = ready

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Any) -> _States:  # noqa: N802
        status = await self._ask(request.service)
        if status == _States.SERVICE_UNKNOWN:
            raise FxError(Kind.NOT_FOUND, "UNKNOWN_SERVICE", f"there is no service {request.service}")
        return _States(status=status)

    async def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> AsyncIterator[_States]:
        told: object = None
        while True:
            status = await self._ask(request.service)
            if status != told:
                yield _States(status=status)
            told = status
            await asyncio.sleep(_AGAIN_S)

    async def _ask(self, service: str) -> Any:
        if service == LIVENESS or (not service and self._ready.is_set()):
            return _States.SERVING
        if not service:
            return _States.NOT_SERVING
        channel = self._channels.get(service)
        if channel is None:
            return _States.SERVICE_UNKNOWN
        with suppress(grpc.aio.AioRpcError):
            stub: Any = health_pb2_grpc.HealthStub(channel)  # types-grpcio knows no methods
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=_ASK_S)
            return answer.status
        return _States.NOT_SERVING
