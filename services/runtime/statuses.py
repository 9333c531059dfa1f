"""What grpc.health.v1 says of a process: ready or not, overall and for each service, told as it changes.

Served on the gRPC port beside the services (`serve`), and on a port of its own for Kubernetes' probes, which
carry no identity and no certificate (`probes`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health_aio

from services.runtime.health import Health

SERVING = health_pb2.HealthCheckResponse.SERVING
LIVENESS = "liveness"
"""A name that is SERVING whenever it is answered at all, until the drain: whether the process lives."""
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Statuses:
    """The health service of one server; `servicer` is registered there. Follows `health` once started."""

    def __init__(self, health: Health) -> None:
        self.servicer = health_aio.HealthServicer()
        self._health = health
        self._told = asyncio.Event()
        self._teller: asyncio.Task[None] | None = None

    async def start(self, services: Sequence[str]) -> None:
        """Tell now and after every change, for the process and for `services` by full gRPC name."""
        names = ("", *services)
        await self.servicer.set(LIVENESS, SERVING)
        self._health.on_change(lambda _: self._told.set())
        await self._tell(names)
        self._teller = asyncio.create_task(self._keep_telling(names), name="health")

    async def stop_serving(self) -> None:
        """Say NOT_SERVING from now on, whatever changes."""
        self.close()
        await self.servicer.enter_graceful_shutdown()

    def close(self) -> None:
        """Follow no longer."""
        if self._teller is not None:
            self._teller.cancel()

    async def _keep_telling(self, names: Sequence[str]) -> None:
        while True:
            await self._told.wait()
            self._told.clear()
            await self._tell(names)

    async def _tell(self, names: Sequence[str]) -> None:
        status = SERVING if self._health.ready else _NOT_SERVING
        for name in names:
            await self.servicer.set(name, status)
