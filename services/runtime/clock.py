"""Wall and monotonic clocks: the real one, and one that moves only when told (replay, tests)."""

from __future__ import annotations

import asyncio
import heapq
import time
from itertools import count


class WallClock:
    """The machine's clocks."""

    now_ns = staticmethod(time.time_ns)
    """Wall time, nanoseconds since 1970 UTC."""
    monotonic = staticmethod(time.monotonic)
    """Seconds since some moment in the past."""

    async def sleep(self, seconds: float) -> None:
        """Sleep on the event loop."""
        await asyncio.sleep(seconds)


class EventClock:
    """A clock moved by `advance_to`: sleepers wake in the order of their times, then of their coming."""

    def __init__(self, start_ns: int = 0) -> None:
        self._start_ns = start_ns
        self._now_ns = start_ns
        self._order = count()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []

    def now_ns(self) -> int:
        """The time last advanced to."""
        return self._now_ns

    def monotonic(self) -> float:
        """Seconds advanced since the start."""
        return (self._now_ns - self._start_ns) / 1e9

    async def sleep(self, seconds: float) -> None:
        """Return once the clock has been advanced by `seconds`; at once for zero or less."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        wake_ns = self._now_ns + round(seconds * 1e9)
        heapq.heappush(self._sleepers, (wake_ns, next(self._order), woken))
        await woken

    def next_wake_ns(self) -> int | None:
        """When the first sleeper is due; None when nobody sleeps."""
        self._forget_cancelled()
        return self._sleepers[0][0] if self._sleepers else None

    async def advance_to(self, time_ns: int) -> None:
        """Move to `time_ns`, waking each sleeper at its own time on the way. Raises ValueError for going
        back.

        Each woken sleeper gets one turn of the loop before the next is woken, so what it starts at once is
        seen.
        """
        if time_ns < self._now_ns:
            raise ValueError(f"clock cannot go back: {time_ns} after {self._now_ns}")
        while (wake_ns := self.next_wake_ns()) is not None and wake_ns <= time_ns:
            self._now_ns = max(self._now_ns, wake_ns)
            _, _, woken = heapq.heappop(self._sleepers)
            woken.set_result(None)
            await asyncio.sleep(0)
        self._now_ns = time_ns

    def _forget_cancelled(self) -> None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
