"""One entry of the plan, kept alive: launched, watched until well, launched again when it ends by itself.

The first start is different: `ready` fails with it, because a person is waiting and should see why. After
that an end is answered with a back-off that doubles, so that a crash loop costs little and shows in `status`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from services.cli.supervisor import failure
from services.cli.supervisor.child import Child, Groups, describe_exit, launch
from services.cli.supervisor.plan import ProcessSpec
from services.cli.supervisor.state import WELL, Condition, Failure, ProcessState


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds. Probes are dense while somebody waits for a start and sparse afterwards."""

    start_limit: float = 120.0
    probe_starting: float = 0.1
    probe_running: float = 2.0
    backoff_first: float = 1.0
    backoff_limit: float = 30.0
    stable: float = 60.0
    """A process that lived this long has its back-off forgiven."""
    unanswered: int = 3
    """Probes in a row without an answer before a process counts as unresponsive."""


class StartFailed(Exception):
    """The first start of a process did not succeed; `failure` is what a person should read."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Supervised:
    """`run` keeps the process alive until `stop`; `state` is what is known of it, `changed` is called after
    each change; `ready` is done when it was well for the first time, or holds StartFailed.
    """

    def __init__(
        self,
        spec: ProcessSpec,
        log: Path,
        groups: Groups,
        environment: dict[str, str],
        timings: Timings,
        changed: Callable[[], None],
    ) -> None:
        self.spec = spec
        self.state = ProcessState(spec.name, Condition.WAITING, dict(spec.ports), str(log))
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Not everybody who could look at it will: a stop may come first.
        self.ready.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._log = log
        self._groups = groups
        self._environment = environment
        self._timings = timings
        self._changed = changed
        self._child: Child | None = None
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._overdue = False

    async def run(self) -> None:
        """Until `stop`, or until the first start has failed."""
        delay = self._timings.backoff_first
        while not self._stopping.is_set():
            launched = time.monotonic()
            ended = await self._run_once()
            if self._stopping.is_set():
                break
            if not self.ready.done():
                self._give_up(ended)
                return
            if time.monotonic() - launched >= self._timings.stable:
                delay = self._timings.backoff_first
            self._note(
                condition=Condition.RESTARTING,
                pid=None,
                restarts=self.state.restarts + 1,
                last_exit=ended,
                retry_at=time.time() + delay,
            )
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)
            delay = min(delay * 2, self._timings.backoff_limit)
        self._note(condition=Condition.STOPPED, pid=None, retry_at=None)

    def stop(self) -> None:
        """Ask for the end: SIGTERM now, SIGKILL when the drain takes too long; then `run` returns."""
        self._stopping.set()
        if self._child is not None:
            self._note(condition=Condition.STOPPING)
            self._child.terminate()

    def kill(self) -> None:
        """No more patience: what still runs is killed."""
        self._hurry.set()
        self.stop()

    async def _run_once(self) -> str:
        """Launch and watch one process to its end; says how it ended."""
        try:
            child = await launch(self.spec, self._log, self._groups, self._environment)
        except OSError as error:
            return f"{error.strerror}: {error.filename}"
        self._child = child
        now = time.time()
        self._note(
            condition=Condition.STARTING, pid=child.pid, started_at=now, ready_after_s=None, retry_at=None
        )
        if self._stopping.is_set():  # asked for while it was being launched
            self.stop()
        watch = asyncio.create_task(self._watch_health(child))
        patience = asyncio.create_task(self._enforce_drain(child))
        try:
            code = await child.wait()
        finally:
            self._child = None
            for task in (watch, patience):
                task.cancel()
            await asyncio.gather(watch, patience, return_exceptions=True)
        return f"not ready after {self._timings.start_limit:g} s" if self._overdue else describe_exit(code)

    async def _watch_health(self, child: Child) -> None:
        """Probe until cancelled; ends a first start that takes too long."""
        launched, unanswered = time.monotonic(), 0
        while True:
            health = await self.spec.probe.check()
            if self._stopping.is_set():
                return
            unanswered = 0 if health.condition else unanswered + 1
            started = self.state.ready_after_s is not None
            if health.condition in WELL and not started:
                self._note(condition=health.condition, ready_after_s=round(time.monotonic() - launched, 3))
                if not self.ready.done():
                    self.ready.set_result(None)
            elif started and health.condition:
                self._note(condition=health.condition)
            elif started and unanswered >= self._timings.unanswered:
                self._note(condition=Condition.UNRESPONSIVE)
            elif not self.ready.done() and time.monotonic() - launched > self._timings.start_limit:
                self._overdue = True
                child.kill()
                return
            calm = self.state.condition in WELL and not unanswered
            await asyncio.sleep(self._timings.probe_running if calm else self._timings.probe_starting)

    async def _enforce_drain(self, child: Child) -> None:
        """Kill what was asked to stop and has not within its drain, or at once when there is a hurry."""
        await self._stopping.wait()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), self.spec.drain_s)
        child.kill()

    def _give_up(self, ended: str) -> None:
        self._note(condition=Condition.FAILED, pid=None, last_exit=ended)
        self.ready.set_exception(StartFailed(failure.explain(self.spec, ended, self._log)))

    def _note(self, **changes: object) -> None:
        """Take over what changed and tell; a probe that says the same again tells nobody."""
        new = replace(self.state, **changes)  # type: ignore[arg-type]
        if new != self.state:
            self.state = new
            self._changed()
