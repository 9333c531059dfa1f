"""Timers on the market clock: a pure queue of what is due when, in an order that is the same in every run."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Timers(Generic[T]):
    """Items with the market time at which they are due, at most one per key.

    Rule: a timer due at T fires before the tick whose time is T or later is handled, so a caller drains
    `due(tick_ns)` and only then handles the tick. Items of the same time come out in the order they were set.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, str]] = []
        self._live: dict[str, tuple[int, int, T]] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._live)

    def set(self, key: str, due_ns: int, item: T) -> None:
        """Set or move the timer `key`. A moved one queues behind others of the same time."""
        self._count += 1
        self._live[key] = (due_ns, self._count, item)
        heapq.heappush(self._heap, (due_ns, self._count, key))

    def cancel(self, key: str) -> bool:
        """Take the timer away; false when there was none (it fired, or was never set)."""
        return self._live.pop(key, None) is not None

    def next_due(self) -> int | None:
        """Market time of the earliest timer, None without any."""
        self._drop_dead()
        return self._heap[0][0] if self._heap else None

    def due(self, now_ns: int) -> Iterator[tuple[int, str, T]]:
        """Takes out what is due at `now_ns`, as (due time, key, item), earliest first.

        One at a time: a timer that the caller sets or cancels while handling one takes part at once.
        """
        while (due_ns := self.next_due()) is not None and due_ns <= now_ns:
            key = heapq.heappop(self._heap)[2]
            yield due_ns, key, self._live.pop(key)[2]

    def pending(self) -> list[tuple[int, str, T]]:
        """All timers in firing order, to store; setting them again in this order rebuilds the queue."""
        rows = sorted((due, order, key) for key, (due, order, _) in self._live.items())
        return [(due, key, self._live[key][2]) for due, _, key in rows]

    def _drop_dead(self) -> None:
        """Forget heap entries whose timer was moved or cancelled (they stay in place until here)."""
        while self._heap:
            _, order, key = self._heap[0]
            live = self._live.get(key)
            if live is not None and live[1] == order:
                return
            heapq.heappop(self._heap)
