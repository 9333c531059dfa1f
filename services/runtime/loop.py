"""The event loop of a process, which knows when it last had nothing to do.

A server on one event loop is overloaded when the loop never comes to rest: calls then wait inside gRPC, where
nobody sees them. `Load` is what admission control (`interceptors/admission.py`) and the metrics look at.
"""

from __future__ import annotations

import asyncio
import selectors
from time import monotonic

REST_S = 0.0005
"""A wait for something to happen that counts as rest. gRPC's own hand-overs between threads are shorter."""


class Load:
    """`rested` is when the loop last came to rest (monotonic), `idle_s` its idle time so far."""

    __slots__ = ("idle_s", "rested")

    def __init__(self) -> None:
        self.rested = monotonic()
        self.idle_s = 0.0


class _Watched(selectors.DefaultSelector):
    """Measures how long the loop waits in it."""

    def __init__(self, load: Load) -> None:
        super().__init__()
        self._load = load
        self._select = super().select

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """The same; a time-out of zero means that there is work at hand."""
        if timeout is not None and timeout <= 0:
            return self._select(timeout)
        began = monotonic()
        ready = self._select(timeout)
        now = monotonic()
        load, waited = self._load, now - began
        load.idle_s += waited
        if waited >= REST_S:
            load.rested = now
        return ready


class MeasuredLoop(asyncio.SelectorEventLoop):
    """The loop to run a process on: `asyncio.Runner(loop_factory=MeasuredLoop)`."""

    def __init__(self) -> None:
        self.load = Load()
        super().__init__(_Watched(self.load))


def current_load() -> Load | None:
    """Of the running loop; None where it is of another kind, as in tests, or none runs."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    return loop.load if isinstance(loop, MeasuredLoop) else None
