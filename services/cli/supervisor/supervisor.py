"""All processes of a platform, from the first launch to the last end.

`run` starts the bus, then all others, waits until each is well, keeps them so until `stop`, and ends the
services before the edge, which passes on their last answers, and the bus they report to. What it knows is
a `RunState`, handed to `changed` after every change.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any

from services.cli.home import Home
from services.cli.supervisor import logs
from services.cli.supervisor.child import Groups
from services.cli.supervisor.plan import Plan
from services.cli.supervisor.process import StartFailed, Supervised, Timings
from services.cli.supervisor.state import Failure, Phase, RunState


class Supervisor:
    """One run of one plan; make it inside a running event loop and `run` it once."""

    def __init__(
        self,
        plan: Plan,
        home: Home,
        groups: Groups,
        environment: dict[str, str],
        changed: Callable[[RunState], None],
        timings: Timings | None = None,
    ) -> None:
        """`environment` is what every process gets besides its own settings."""
        self._plan = plan
        self._home = home
        self._changed = changed
        self._phase = Phase.STARTING
        self._failure: Failure | None = None
        self._started_at = time.time()
        self._ready_at: float | None = None
        self._stop = asyncio.Event()
        self._supervised = [
            Supervised(
                spec, logs.rotate(home, spec.name), groups, environment, timings or Timings(), self._tell
            )
            for spec in plan.processes
        ]
        first_of_edge = 1 + len(plan.services)
        self._bus = self._supervised[0]
        self._services = self._supervised[1:first_of_edge]
        self._edge = self._supervised[first_of_edge:]

    @property
    def state(self) -> RunState:
        return RunState(
            phase=self._phase,
            home=str(self._home.root),
            host=self._plan.host,
            nats_url=self._plan.nats_url,
            supervisor_pid=os.getpid(),
            started_at=self._started_at,
            tls=self._plan.tls,
            ready_at=self._ready_at,
            processes=tuple(each.state for each in self._supervised),
            failure=self._failure,
        )

    def stop(self) -> None:
        """End the run: gently the first time, at once the second."""
        if self._stop.is_set():
            for each in self._supervised:
                each.kill()
        self._stop.set()

    async def run(self) -> RunState:
        """Until `stop`, or until a first start has failed; nothing runs any more when it returns."""
        runs: dict[Supervised, asyncio.Task[None]] = {}
        self._tell()
        try:
            await self._unless_stopped(self._start(runs))
            if not self._stop.is_set():
                self._ready_at = time.time()
                self._enter(Phase.READY)
                # A watcher never ends by itself: one that does has a defect, and shows it below.
                await self._unless_stopped(_first_of(runs.values()))
        except StartFailed as failed:
            self._failure = failed.failure
        finally:
            self._enter(Phase.STOPPING)
            for stage in (self._services, self._edge, [self._bus]):
                await self._end(stage, runs)
        for watcher in runs.values():
            watcher.result()
        self._enter(Phase.FAILED if self._failure else Phase.STOPPED)
        return self.state

    async def _start(self, runs: dict[Supervised, asyncio.Task[None]]) -> None:
        """The bus, then all others together, and Envoy once they are there, since it asks each for its health
        when it starts. Raises StartFailed for the first that could not be started.
        """
        for stage in ([self._bus], [*self._services, *self._edge[:-1]], self._edge[-1:]):
            for each in stage:
                runs[each] = asyncio.create_task(each.run(), name=each.spec.name)
            await asyncio.gather(*(asyncio.shield(each.ready) for each in stage))

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        """Does `work`, and drops it when the stop comes first."""
        working, stopped = asyncio.create_task(work), asyncio.create_task(self._stop.wait())
        await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
        for task in (working, stopped):
            task.cancel()
        with suppress(asyncio.CancelledError):
            await working

    async def _end(self, stage: Iterable[Supervised], runs: dict[Supervised, asyncio.Task[None]]) -> None:
        launched = [each for each in stage if each in runs]
        for each in launched:
            each.stop()
        await asyncio.gather(*(runs[each] for each in launched), return_exceptions=True)

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._tell()

    def _tell(self) -> None:
        self._changed(self.state)


async def _first_of(tasks: Iterable[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
