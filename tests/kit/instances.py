"""Real processes of services on a nats-server of the test's own, and a caller on the mesh that counts."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from interceptors.standard import client_concerns
from services.errors import FxError
from services.runtime.bus import Link
from services.runtime.channels import MeshChannels, registry_channels
from services.runtime.clock import WallClock
from services.runtime.ejection import Rotations
from services.runtime.ids import CountedIds
from services.runtime.policy import service_policies
from services.runtime.registry import NatsRegistry
from tests.kit.events import quiet_log
from tests.kit.nats import NatsServer, until, until_async
from tests.kit.ports import free_port

ROOT = Path(__file__).parents[2]
START_S = 60.0
NAMES = {policy.name: policy.full_name for policy in service_policies()}


class Instance:
    """One process of a service, from construction to `end`."""

    def __init__(self, server: NatsServer, name: str, folder: Path, **environment: str) -> None:
        self.grpc_port, self.priority_port, self.http_port = free_port(), free_port(), free_port()
        folder.mkdir(parents=True, exist_ok=True)
        told = {
            "FXMESH_NATS_URL": server.url,
            "FXMESH_IDENTITY": "off",
            "FXMESH_GRPC_PORT": str(self.grpc_port),
            "FXMESH_PRIORITY_PORT": str(self.priority_port),
            "FXMESH_HTTP_PORT": str(self.http_port),
            "FXMESH_DATA_DIR": str(folder / "data"),
            "FXMESH_LOG_FORMAT": "json",
            "GRPC_VERBOSITY": "NONE",
            "PYTHONPATH": str(ROOT),
        }
        self._log = (folder / "log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"services.{name}"],
            cwd=folder,
            env={**os.environ, **told, **environment},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    async def ready(self) -> None:
        """Return once it takes calls."""
        await until_async(self._is_ready, expected=True, seconds=START_S)

    async def _is_ready(self) -> bool:
        assert self.process.poll() is None, f"it ended: see {self._log.name}"
        try:
            await self._get("health")
        except OSError:
            return False
        return True

    async def metric(self, name: str, **labels: str) -> float:
        """Sum of its samples with these labels."""
        text = await self._get("metrics")
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def logged(self, event: str) -> float:
        """Wall time at which it last wrote this line; 0 when it never did."""
        lines = Path(self._log.name).read_text().rpartition("\n")[0].splitlines()  # none half-written
        said = [json.loads(line) for line in lines if f'"{event}"' in line]
        times = [datetime.fromisoformat(each["time"]) for each in said if each["event"] == event]
        return times[-1].timestamp() if times else 0.0

    async def leads(self) -> bool:
        """Whether it holds the lease of its service."""
        return bool(await self.metric("fxmesh_leadership_held"))

    async def _get(self, path: str) -> str:
        def get() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/{path}", timeout=10) as answer:
                return str(answer.read().decode())

        return await asyncio.to_thread(get)

    def signal(self, number: signal.Signals) -> float:
        """The wall time just before it is sent."""
        now = time.time()
        self.process.send_signal(number)
        return now

    async def ended(self) -> int:
        """Its exit code, once it has gone by itself."""
        return await asyncio.wait_for(asyncio.to_thread(self.process.wait), 40)

    def end(self) -> None:
        """Whatever state it is in."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._log.close()


@dataclass
class Caller:
    """A process of the mesh that calls: registry, round robin, and what the client does to every call.

    What it learns is noted with the (wall) time by its own event loop as it learns it.
    """

    registry: NatsRegistry
    channels: MeshChannels
    rotations: Rotations
    answered: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    joined: dict[str, float] = field(default_factory=dict)
    left: dict[str, float] = field(default_factory=dict)
    """When an address last came into the rotation, and was last taken out of it."""
    first_had: dict[str, float] = field(default_factory=dict)
    """When the load first had an answer."""
    first_answered: dict[str, float] = field(default_factory=dict)
    """When an address first answered the load."""

    def stub(self, make: Callable[[Any], Any], name: str) -> Any:
        return make(self.channels.to(NAMES[name]))

    def addresses(self, name: str) -> tuple[str, ...]:
        """Instances in rotation."""
        return self.registry.endpoints(NAMES[name])

    async def note_rotation(self) -> None:
        """Until cancelled."""
        known: set[str] = set()
        while True:
            now = {each.grpc_address for each in self.registry.instances()}
            self.left.update(dict.fromkeys(known - now, time.time()))
            self.joined.update(dict.fromkeys(now - known, time.time()))
            known = now
            await self.registry.changed()

    def note(self, answer: str) -> None:
        """An answer of the load that has just come."""
        self.answered[answer] += 1
        self.first_had.setdefault(answer, time.time())
        for name in NAMES.values():
            for each in self.rotations.of(name).members:
                if each.answering:
                    self.first_answered.setdefault(each.address, time.time())

    @asynccontextmanager
    async def load(self, call: Callable[[], Awaitable[str]], width: int = 4) -> AsyncIterator[None]:
        """Call again and again, `width` at a time; what `call` answers is counted, what fails is kept."""

        async def again() -> None:
            while True:
                try:
                    self.note(await call())
                except FxError as failure:
                    self.failed.append(f"{time.monotonic():.2f} {failure}")
                await asyncio.sleep(0.02)

        tasks = [asyncio.create_task(again()) for _ in range(width)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for task in tasks:
                assert task.cancelled(), task.exception()

    async def answers(self, more: int = 20) -> None:
        """Return once so many further calls were answered."""
        already = self.answered.total()
        await until(lambda: self.answered.total() >= already + more)


@asynccontextmanager
async def calling(server: NatsServer) -> AsyncIterator[Caller]:
    """A caller that has heard of nobody yet."""
    link = Link(server.url, "caller", quiet_log())
    link.open()
    registry = NatsRegistry(link, WallClock(), quiet_log())
    registry.open()
    concerns, rotations = client_concerns(CountedIds("caller"), CollectorRegistry()), Rotations()
    channels = registry_channels(registry, concerns, rotations)
    caller = Caller(registry, channels, rotations)
    noting = asyncio.create_task(caller.note_rotation())
    try:
        yield caller
    finally:
        noting.cancel()
        await channels.close()
        await registry.close()
        await link.close()
