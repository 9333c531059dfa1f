"""Whether this process can do its work, and which dependency is in the way.

Readiness rests on what the process owns (store, bus, identity), never on a peer: a missing peer is
`degraded`, which still serves. The gRPC health service and HTTP `/health` both show this one object.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

TELL_EVERY_S = 1.0


class State(Enum):
    """State of one dependency."""

    STARTING = "starting"
    UP = "up"
    DOWN = "down"


class Status(Enum):
    """State of the process. SERVING and DEGRADED take calls; the others do not."""

    STARTING = "starting"
    SERVING = "serving"
    DEGRADED = "degraded"
    NOT_SERVING = "not_serving"


@dataclass(frozen=True, slots=True)
class DependencyState:
    """`required` ones stop readiness while they are not up; `detail` says why, for a person."""

    name: str
    state: State
    required: bool
    detail: str = ""


class Health:
    """Set from the event loop, read from any thread. Begins as STARTING until `started()`."""

    def __init__(self) -> None:
        self._dependencies: dict[str, DependencyState] = {}
        self._started = False
        self._stopping = False
        self._listeners: list[Callable[[Status], None]] = []

    def starting(self, name: str, detail: str = "", *, required: bool = True) -> None:
        """Declare a dependency that is not there yet. What is declared later counts from then on."""
        self._set(DependencyState(name, State.STARTING, required, detail))

    def up(self, name: str, detail: str = "") -> None:
        """The dependency works. One never declared counts as required."""
        self._set(DependencyState(name, State.UP, self._is_required(name), detail))

    def down(self, name: str, detail: str) -> None:
        """The dependency does not work, and why. One never declared counts as required."""
        self._set(DependencyState(name, State.DOWN, self._is_required(name), detail))

    def started(self) -> None:
        """Everything is wired: from now on the dependencies alone decide."""
        self._started = True
        self._notify()

    def stopping(self) -> None:
        """The process drains: not serving, whatever the dependencies say."""
        self._stopping = True
        self._notify()

    @property
    def status(self) -> Status:
        """The state of the process, derived from all of the above."""
        states = tuple(self._dependencies.values())
        if self._stopping:
            return Status.NOT_SERVING
        if not self._started:
            return Status.STARTING
        if any(each.required and each.state is State.DOWN for each in states):
            return Status.NOT_SERVING
        if any(each.required and each.state is State.STARTING for each in states):
            return Status.STARTING
        if any(each.state is not State.UP for each in states):
            return Status.DEGRADED
        return Status.SERVING

    @property
    def ready(self) -> bool:
        """True when calls are taken."""
        return self.status in (Status.SERVING, Status.DEGRADED)

    def dependencies(self) -> tuple[DependencyState, ...]:
        """Every declared dependency by name."""
        return tuple(sorted(self._dependencies.copy().values(), key=lambda each: each.name))

    def on_change(self, listener: Callable[[Status], None]) -> None:
        """Call `listener` with the status now and after every change of anything."""
        self._listeners.append(listener)
        listener(self.status)

    def _is_required(self, name: str) -> bool:
        known = self._dependencies.get(name)
        return known is None or known.required

    def _set(self, state: DependencyState) -> None:
        if self._dependencies.get(state.name) != state:
            # A new dict each time: a reader in another thread never sees one that changes under it.
            self._dependencies = {**self._dependencies, state.name: state}
            self._notify()

    def _notify(self) -> None:
        for listener in self._listeners:
            listener(self.status)


async def tell(health: Health, name: str, trouble: Callable[[], str]) -> None:
    """Keep `name` true until cancelled: down with what `trouble` says and up again when it says nothing more.
    Not required, and not shown before there has been trouble.
    """
    told = ""
    while True:
        now = trouble()
        if now and not told:
            health.starting(name, now, required=False)
        if now:
            health.down(name, now)
        elif told:
            health.up(name)
        told = now
        await asyncio.sleep(TELL_EVERY_S)
