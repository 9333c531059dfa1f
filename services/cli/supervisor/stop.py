"""`fxmesh down`: ask the supervisor to end, wait until nothing of the platform is left."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from services.cli.home import Home
from services.cli.output import CliError
from services.cli.supervisor import lock, state
from services.cli.supervisor.plan import DRAIN_S
from services.cli.supervisor.state import Phase, RunState

_POLL_S = 0.05
# Services drain together, then the bus; beyond this the supervisor itself is stuck.
_LIMIT_S = DRAIN_S + 15.0
_AFTER_KILL_S = DRAIN_S + 10.0  # the guard gives the services their drain


def down(home: Home, show: Callable[[RunState], None], limit_s: float = _LIMIT_S) -> RunState:
    """Stop the platform of `home`; returns its last state. Raises CliError NOT_RUNNING (exit code 3),
    NOT_STOPPED.

    `show` gets every state that was seen, and always the first, a stopping one, and the last.
    """
    running = state.load(home)
    show(replace(running, phase=Phase.STOPPING))
    _signal(running.supervisor_pid, signal.SIGTERM)
    if not _wait_unlocked(home, limit_s, show):
        _signal(running.supervisor_pid, signal.SIGKILL)
        if not _wait_unlocked(home, _AFTER_KILL_S, show):
            raise CliError(
                "NOT_STOPPED",
                f"Something of the platform in {home.root} still runs.",
                f"See `fxmesh status`; the supervisor was pid {running.supervisor_pid}.",
            )
    last = state.read(home) or running
    _show(last, show)
    return last


def _wait_unlocked(home: Home, seconds: float, show: Callable[[RunState], None]) -> bool:
    """True once nobody holds the run lock any more."""
    end = time.monotonic() + seconds
    while lock.held(home):
        if time.monotonic() > end:
            return False
        now = state.read(home)
        if now is not None:
            _show(now, show)
        time.sleep(_POLL_S)
    return True


def _show(now: RunState, show: Callable[[RunState], None]) -> None:
    if now.phase not in {
        Phase.STARTING,
        Phase.READY,
    }:  # else it is about to notice, or was killed
        show(now)


def _signal(pid: int, number: signal.Signals) -> None:
    # Gone already: its guard is ending the rest, and the lock says when that is done.
    with suppress(ProcessLookupError):
        os.kill(pid, number)
