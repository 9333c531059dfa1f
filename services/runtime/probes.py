"""The port of Kubernetes' probes: grpc.health.v1 in plaintext and nothing else, so that it can stay open when
the gRPC port asks for an identity.

It answers from the first moment to the last: before NATS is there, and while the process drains. A readiness
probe asks for the overall status (""). Startup and liveness probes ask for LIVENESS, which is SERVING
whenever it is answered at all: a blocked event loop does not answer, and a dependency that is away is no
reason to start the process anew.
"""

from __future__ import annotations

import grpc
from grpc_health.v1 import health_pb2_grpc

from services.runtime.fatal import FatalError
from services.runtime.health import Health
from services.runtime.http import bind_failure
from services.runtime.statuses import Statuses

_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.so_reuseport", 0),  # a port that is in use must be an error, not shared
    ("grpc.max_receive_message_length", 4096),  # whoever sends more here does not ask for health
)


class ProbePort:
    """Bound from construction (raises FatalError when the port is taken), answering from `start` to
    `close`.
    """

    def __init__(self, host: str, port: int, health: Health) -> None:
        self._server = grpc.aio.server(options=_OPTIONS)
        self._statuses = Statuses(health)
        health_pb2_grpc.add_HealthServicer_to_server(self._statuses.servicer, self._server)
        try:
            self.port = self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError as failure:
            raise FatalError(bind_failure("health", host, port)) from failure
        """The port it is bound to."""

    async def start(self, service: str) -> None:
        """Begin to answer, for the process and for its service by full gRPC name."""
        await self._statuses.start((service,))
        await self._server.start()

    async def close(self) -> None:
        """Stop answering."""
        self._statuses.close()
        await self._server.stop(None)
