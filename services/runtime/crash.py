"""Lets a process kill itself at a crash point (`services/crash.py`): tests see what a crash there leaves.

`FXMESH_CRASH_AT=outbox.after_publish` kills the process (SIGKILL: nothing is flushed, nobody is told) when it
first comes to that point; `…:5` at the fifth time, `call.before_reply/PlaceOrder` only in calls of that
method.
"""

from __future__ import annotations

import os
import re
import signal

from structlog.typing import FilteringBoundLogger

from services.crash import POINTS, watch
from services.runtime.fatal import FatalError

_FORM = re.compile(r"(?P<point>[a-z_.]+)(/(?P<of>\w+))?(:(?P<time>[1-9][0-9]*))?")


class _Armed:
    def __init__(self, point: str, of: str, time: int) -> None:
        self.point, self.of, self.left = point, of, time

    def reached(self, point: str, of: tuple[str, ...]) -> None:
        if point == self.point and (not self.of or self.of in of):
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def arm(text: str, log: FilteringBoundLogger) -> None:
    """Die at the point that `text` names; empty: nowhere. Raises FatalError for one that does not exist."""
    if not text:
        return
    form = _FORM.fullmatch(text)
    if form is None or form["point"] not in POINTS:
        raise FatalError(f"FXMESH_CRASH_AT is {text!r}: no such crash point, there are {', '.join(POINTS)}")
    watch(_Armed(form["point"], form["of"] or "", int(form["time"] or 1)).reached)
    log.warning("crash point armed", at=text)
