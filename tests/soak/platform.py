"""The platform under test, and the hands that break it: signals by the supervisor's own notes, a proxy."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from services.cli.addresses import Addresses
from services.cli.home import Home
from services.cli.link import Link
from services.cli.render import Printer
from services.cli.supervisor import state
from services.cli.supervisor.state import WELL
from tests.kit.proxy import Proxy
from tests.soak.schedule import Fault

FXMESH = (sys.executable, "-m", "services.cli")
SYMBOLS = ("EURUSD", "USDJPY", "GBPUSD")


@dataclass(slots=True)
class Platform:
    """Between `start` and `stop`. Calls to trading go through a link that can be broken."""

    folder: Path
    sizes: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Resident bytes by process id, every few seconds."""
    names: dict[int, str] = field(default_factory=dict)
    """Which service a process id is or was."""
    _link: Proxy | None = None

    @property
    def home(self) -> Home:
        return Home.at(self.folder)

    @property
    def running(self) -> state.RunState:
        return state.load(self.home)

    @property
    def link(self) -> Proxy:
        assert self._link is not None
        return self._link

    async def command(self, *arguments: str) -> tuple[int, str]:
        """`fxmesh ARGUMENTS`: exit code, and what it said."""
        process = await asyncio.create_subprocess_exec(
            *FXMESH,
            *arguments,
            env=os.environ | {"FXMESH_HOME": str(self.folder)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            said, _ = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            await process.communicate()
            raise
        return process.returncode or 0, said.decode()

    async def start(self) -> None:
        code, said = await self.command(
            "up", "--detach", "--port-offset", "auto", "--symbols", ",".join(SYMBOLS)
        )
        if code:
            raise RuntimeError(f"`fxmesh up` ended with {code}:\n{said}")
        self._link = Proxy(int(self.running.grpc_addresses("trading_gateway")[0].rpartition(":")[2]))
        await self._link.start()

    async def stop(self) -> None:
        if self._link is not None:
            await self._link.close()
        for each in psutil.process_iter():
            if each.pid in self.names:
                with suppress(psutil.NoSuchProcess):
                    each.send_signal(signal.SIGCONT)
        await self.command("down")

    def caller(self) -> Link:
        """Calls as the command makes them, those to trading through the link."""
        return Link(Addresses(self.home, {"trading_gateway": self.link.address}), Printer(as_json=True))

    def observe(self) -> None:
        """Note who runs, and how large each is."""
        for each in self.running.processes:
            if each.pid:
                self.names[each.pid] = each.name
                with suppress(psutil.NoSuchProcess):
                    self.sizes[each.pid].append(psutil.Process(each.pid).memory_info().rss)

    async def ready(self, limit_s: float = 120.0) -> None:
        """Return once every process serves. Raises TimeoutError."""
        async with asyncio.timeout(limit_s):
            while not all(each.condition in WELL for each in self.running.processes):  # noqa: ASYNC110
                await asyncio.sleep(0.2)

    async def suffer(self, fault: Fault) -> None:
        """Let a fault happen, from its beginning to its end."""
        if fault.kind.startswith("kill"):
            self._signal(fault.target, signal.SIGKILL)
            await asyncio.sleep(fault.length_s)
        elif fault.kind.startswith("freeze"):
            frozen = self._signal(fault.target, signal.SIGSTOP)
            await asyncio.sleep(fault.length_s)
            with suppress(ProcessLookupError):
                os.kill(frozen, signal.SIGCONT)
        else:
            self._break_link(fault.kind)
            await asyncio.sleep(fault.length_s)
            self.link.heal()

    def _break_link(self, kind: str) -> None:
        link = self.link
        for way in (link.to_server, link.to_client):
            match kind:
                case "delay":
                    way.delay_s = 0.5
                case "slow":
                    way.bytes_per_s = 1_000
                case "slice":
                    way.slice_bytes = 3
                case "stall":
                    way.stall()
        if kind == "black hole":
            link.black_hole()
        if kind == "reset":
            link.reset()

    def _signal(self, name: str, number: signal.Signals) -> int:
        pid = self.running.process(name).pid or 0
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return pid
