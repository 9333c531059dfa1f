"""Platforms of stand-ins: real processes on free ports, under the real supervisor."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from services.cli.home import Home
from services.cli.supervisor.child import Guard
from services.cli.supervisor.plan import Plan, ProcessSpec
from services.cli.supervisor.preflight import make_folders
from services.cli.supervisor.probe import HttpProbe
from services.cli.supervisor.process import Timings
from services.cli.supervisor.state import Condition, Phase, ProcessState, RunState
from services.cli.supervisor.supervisor import Supervisor
from tests.kit.ports import HOST, free_port

STAND_IN = Path(__file__).with_name("stand_in.py")
QUICK = Timings(
    start_limit=20.0, probe_starting=0.01, probe_running=0.02, backoff_first=0.05, backoff_limit=0.2
)


def stand_in(home: Home, name: str, behaviour: str = "serves", drain_s: float = 10.0) -> ProcessSpec:
    port = free_port()
    return ProcessSpec(
        name=name,
        argv=(sys.executable, str(STAND_IN), str(port), behaviour),
        ports={"nats": port, "http": port} if name == "nats" else {"grpc": port, "http": port},
        probe=HttpProbe(HOST, port),
        data=home.data / name,
        drain_s=drain_s,
    )


def plan_of(home: Home, drain_s: float = 10.0, **behaviours: str) -> Plan:
    """A bus and one service for each keyword, behaving as its value says (`nats=` tells the bus)."""
    bus = stand_in(home, "nats", behaviours.pop("nats", "serves"), drain_s)
    return Plan(bus, tuple(stand_in(home, name, told, drain_s) for name, told in behaviours.items()))


class Run:
    """A supervisor at work in this process, with everything it told."""

    def __init__(self, plan: Plan, home: Home, guard: Guard, timings: Timings) -> None:
        self.told: list[RunState] = []
        self._news = asyncio.Event()
        self.supervisor = Supervisor(plan, home, guard, dict(os.environ), self._hear, timings)
        self.task = asyncio.create_task(self.supervisor.run())

    def _hear(self, state: RunState) -> None:
        self.told.append(state)
        self._news.set()

    def process(self, name: str) -> ProcessState:
        return self.supervisor.state.process(name)

    async def until(self, condition: Callable[[RunState], bool], seconds: float = 30.0) -> RunState:
        """Wait for a told state that meets `condition`, from now on."""
        async with asyncio.timeout(seconds):
            while not condition(self.supervisor.state):
                self._news.clear()
                await self._news.wait()
        return self.supervisor.state

    async def ready(self) -> RunState:
        return await self.until(lambda state: state.phase is Phase.READY)

    async def condition(self, name: str, wanted: Condition) -> ProcessState:
        return (await self.until(lambda state: state.process(name).condition is wanted)).process(name)


@asynccontextmanager
async def running(plan: Plan, home: Home, timings: Timings = QUICK) -> AsyncIterator[Run]:
    """Run the plan; whatever the test left of it is ended."""
    make_folders(home)
    guard = Guard(grace_s=1.0)
    run = Run(plan, home, guard, timings)
    try:
        yield run
    finally:
        run.supervisor.stop()
        run.supervisor.stop()
        await run.task
        guard.close()


def alive(pid: int) -> bool:
    """True while the process runs; one that has ended and is not reaped yet does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
