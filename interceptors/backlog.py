"""What a process that cannot keep up does with the calls that pile up: the algorithm of `admission.py`.

Handlers share one event loop, which accepts calls one by one between them. Under overload calls pile up
inside gRPC, unseen and first come first served, until each is served just too late. What shows is that the
loop never rests. So, as CoDel does for a queue, the time since it last rested is the signal:

- A loop that has not rested for `BEHIND_S` takes stock: calls that come are held back, so that gRPC hands
  over all that had piled up, until the loop rests or `STOCK_S` is over.
- At the rate at which calls were served lately, a call is kept if its turn comes within `WAIT_S` and within
  half of what is left to it. The rest is shed at once.
- Those kept go on in order, one a turn of the loop, so that what is never held back comes in between.

A loop that is merely busy rests as soon as its callers have to wait: it loses some milliseconds in a hundred
and sheds nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from services.runtime.loop import Load

BEHIND_S = 0.1
STOCK_S = 0.1
"""Longest stock-taking: where even shedding cannot keep up, calls are served half of the time."""
GAP_S = 0.001
"""All that had piled up has come when nothing came for so long and the loop rested meanwhile."""
WAIT_S = 0.5
AT_ONCE_S = 0.05
"""So many seconds of calls go on together: it costs nothing, and nobody waits long behind them."""


class Backlog:
    """The calls held back in one process, whose loop has this `load`. `now` is monotonic."""

    def __init__(self, load: Load, now: Callable[[], float] = time.monotonic) -> None:
        self._load = load
        self._now = now
        self._held: deque[asyncio.Future[None]] = deque()
        self._holding = False
        """Whether calls that come are held back: while stock is taken and until those held have gone on."""
        self._counting = False
        """Whether stock is being taken."""
        self._came = 0
        self._shed = 0
        self.served = 0
        """Calls that have ended; told by whoever serves them."""
        self._busy_since = load.rested
        self._served_before = 0
        """Calls served when the loop last rested, or stock had been taken."""
        self.per_second: float | None = None
        """Calls served a second while the loop did not rest; None before that was seen."""
        self.overloaded_since: float | None = None
        """When calls began to be shed; None while none are."""
        self.changed: Callable[[float | None], None] = lambda _: None
        """Told when overload begins (None), and when it has ended, with the seconds it lasted."""

    @property
    def held(self) -> int:
        """Calls held back at the moment."""
        return len(self._held)

    def come(self, now: float, left_s: float) -> asyncio.Future[None] | bool:
        """A call has come, with so much time left: True to go on, False to be shed, or what to wait for."""
        rested = self._load.look(now)
        if rested != self._busy_since:
            self._busy_since, self._served_before = rested, self.served
        if not self._holding:
            if now - rested <= BEHIND_S:
                return True
            self._take_stock(now)
        self._came += 1
        if not self._fits(left_s):
            self._shed += 1
            return False
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._held.append(turn)
        return turn

    def _fits(self, left_s: float) -> bool:
        if self.per_second is None or not self._held:  # nothing is known yet, or next
            return True
        return len(self._held) / self.per_second <= min(WAIT_S, left_s / 2)

    def _take_stock(self, now: float) -> None:
        if served := self.served - self._served_before:
            rate = served / max(now - self._busy_since, 1e-6)
            self.per_second = rate if self.per_second is None else (self.per_second + rate) / 2
        self._holding = self._counting = True
        self._came = self._shed = 0
        self._look_later(now)

    def _look_later(self, began: float) -> None:
        asyncio.get_running_loop().call_later(GAP_S, self._look, began, self._now(), self._came)

    def _look(self, began: float, armed: float, came: int) -> None:
        """Whether all that had piled up has come."""
        now = self._now()
        drained = self._came == came and self._load.look(now) >= armed
        if not drained and now - began < STOCK_S:
            self._look_later(began)
            return
        self._counting = False
        self._load.rested = self._busy_since = now  # what lies behind is dealt with
        self._served_before = self.served
        self._judge(now)
        self._go_on()

    def _judge(self, now: float) -> None:
        """Overload is a stock-taking that had to shed; it ends with one that had not."""
        if self._shed and self.overloaded_since is None:
            self.overloaded_since = now
            self.changed(None)
        elif not self._shed and self.overloaded_since is not None:
            lasted = now - self.overloaded_since
            self.overloaded_since = None
            self.changed(lasted)

    def _go_on(self) -> None:
        """Let the next one go on, or all where they are few."""
        if self._counting:
            return
        now = self._now()
        if now - self._load.look(now) > BEHIND_S:
            self._take_stock(now)
            return
        few = self.per_second is None or len(self._held) / self.per_second <= AT_ONCE_S
        for _ in range(len(self._held) if few else 1):
            self._next()
        self._holding = bool(self._held)
        if self._holding:
            asyncio.get_running_loop().call_soon(self._go_on)

    def _next(self) -> None:
        turn = self._held.popleft()
        if not turn.done():  # its caller may have given up
            turn.set_result(None)
