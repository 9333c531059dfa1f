"""Named points at which a process can be told to die, so that tests see what a crash just there leaves.

`FXMESH_CRASH_AT=outbox.after_publish` kills the process (SIGKILL: nothing is flushed, nobody is told) when it
first comes to that point; `…:5` at the fifth time, `call.before_reply/PlaceOrder` only in calls of that
method. Unset, a point costs one comparison.
"""

from __future__ import annotations

import os
import re
import signal

from structlog.typing import FilteringBoundLogger

from services.runtime.fatal import FatalError

POINTS = {
    "call.before_reply": "the handler is done, its effect committed, and the caller not answered; /<method>",
    "event.after_effect": "a handler of events is done and nothing acknowledged; /<event>",
    "outbox.before_publish": "an event is committed and not published",
    "outbox.after_publish": "an event is published and still in the outbox",
}
_FORM = re.compile(r"(?P<point>[a-z_.]+)(/(?P<of>\w+))?(:(?P<time>[1-9][0-9]*))?")


class _Armed:
    def __init__(self, point: str, of: str, time: int) -> None:
        self.point, self.of, self.left = point, of, time

    def reached(self, point: str, of: str) -> None:
        if point == self.point and self.of in ("", of):
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


_armed: _Armed | None = None


def arm(text: str, log: FilteringBoundLogger) -> None:
    """Die at the point that `text` names; empty: nowhere. Raises FatalError for one that does not exist."""
    global _armed  # noqa: PLW0603 a process dies as a whole
    if not text:
        return
    form = _FORM.fullmatch(text)
    if form is None or form["point"] not in POINTS:
        raise FatalError(f"FXMESH_CRASH_AT is {text!r}: no such crash point, there are {', '.join(POINTS)}")
    _armed = _Armed(form["point"], form["of"] or "", int(form["time"] or 1))
    log.warning("crash point armed", at=text)


def crash_point(point: str, of: str = "") -> None:
    """Die here if told so. `of`: the method or event at hand."""
    if _armed is not None:
        _armed.reached(point, of)
