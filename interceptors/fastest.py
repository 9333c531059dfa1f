"""How long the fastest recent call of a method took: what any further one will need at least."""

from __future__ import annotations

from collections.abc import Callable

WINDOW_S = 5.0
LEAST_SEEN = 8
"""Calls in a window from which something may be concluded."""


class Fastest:
    """The least duration of the last one to two windows. `now` is monotonic, in seconds."""

    __slots__ = ("_before", "_ends", "_least", "_now", "_seen")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._ends = now() + WINDOW_S
        self._before = 0.0
        self._least = float("inf")
        self._seen = 0

    def saw(self, took: float) -> None:
        """A call of so many seconds."""
        self._seen += 1
        self._least = min(self._least, took)

    def seconds(self, now: float) -> float:
        """The least; 0 while too few have been seen to say."""
        if now >= self._ends:
            known = self._seen >= LEAST_SEEN and now < self._ends + WINDOW_S
            self._before = self._least if known else 0.0
            self._ends, self._least, self._seen = now + WINDOW_S, float("inf"), 0
        return min(self._before, self._least)
