"""One service as a real process, the signals that tests send it, and channels to it as peers have them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from interceptors.standard import client_concerns, steady_client_concerns
from services.runtime.bus import Link
from services.runtime.channels import MeshChannels, registry_channels, static_channels
from services.runtime.clock import WallClock
from services.runtime.ids import Uuid7Ids
from services.runtime.registry import NatsRegistry
from tests.fakes.echo import SERVICE
from tests.kit.cluster import Cluster
from tests.kit.events import quiet_log
from tests.kit.nats import NatsServer

ROOT = Path(__file__).parents[2]
ECHO = "tests.fakes.echo.service"
START_S = 60.0


class ServiceProcess:
    """Its lines are read as they come, so that it never waits for a reader."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lines: list[dict[str, Any]] = []
        self._news = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @property
    def address(self) -> str:
        """Where it takes calls, once it serves."""
        return f"127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        return int(next(line["grpc_port"] for line in self.lines if line["event"] == "serving"))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def http_port(self) -> int:
        return int(next(line["http_port"] for line in self.lines if line["event"] == "serving"))

    async def until(self, event: str) -> None:
        """Return once a line tells of `event`; fails when it ends without."""
        async with asyncio.timeout(START_S):
            while not any(line["event"] == event for line in self.lines):
                assert not self._reading.done(), f"it ended without {event!r}: {self.lines}"
                self._news.clear()
                await self._news.wait()

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()

    def terminate(self) -> None:
        """SIGTERM: it drains."""
        self._process.terminate()

    def freeze(self) -> None:
        """SIGSTOP: connections stay, nothing answers."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    async def ended(self) -> int:
        """Its exit code; minus the signal where one ended it."""
        async with asyncio.timeout(START_S):
            await self._reading
            return await self._process.wait()

    async def close(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        await self.ended()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.lines.append(json.loads(line))
            self._news.set()
        self._news.set()


@asynccontextmanager
async def service_process(
    folder: Path, nats: NatsServer | Cluster, *program: str, **environment: str
) -> AsyncIterator[ServiceProcess]:
    """`python -m PROGRAM…` on any free ports, its data in `folder`; serving at the start, gone at the end."""
    given = {
        "FXMESH_NATS_URL": nats.url,
        "FXMESH_IDENTITY": "off",
        "FXMESH_GRPC_PORT": "0",
        "FXMESH_HTTP_PORT": "0",
        "FXMESH_DATA_DIR": str(folder),
        "GRPC_VERBOSITY": "NONE",
        "PYTHONPATH": str(ROOT),
    }
    running = ServiceProcess(
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *(program or (ECHO,)),
            env={**os.environ, **given, **environment},
            stdout=asyncio.subprocess.PIPE,
        )
    )
    try:
        await running.until("serving")
        yield running
    finally:
        await running.close()


@asynccontextmanager
async def calling(address: str, service: str = SERVICE, *, once: bool = False) -> AsyncIterator[MeshChannels]:
    """Channels as a peer has them, to one address. `once`: no retries, to see what becomes of one attempt."""
    concerns = steady_client_concerns if once else client_concerns
    channels = static_channels({service: address}, concerns(Uuid7Ids(WallClock()), CollectorRegistry()))
    try:
        yield channels
    finally:
        await channels.close()


@asynccontextmanager
async def calling_by_registry(nats: NatsServer) -> AsyncIterator[tuple[MeshChannels, NatsRegistry]]:
    """Channels as a peer has them, to whatever instances the registry knows; and the registry."""
    log, clock = quiet_log(), WallClock()
    link = Link(nats.url, "caller", log)
    link.open()
    registry = NatsRegistry(link, clock, log)
    registry.open()
    channels = registry_channels(registry, client_concerns(Uuid7Ids(clock), CollectorRegistry()))
    try:
        yield channels, registry
    finally:
        await channels.close()
        await registry.close()
        await link.close()
