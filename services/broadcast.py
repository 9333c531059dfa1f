"""One publisher, many live readers: what every server stream stands on.

Handlers own a `Broadcast`; a stream RPC iterates a subscription. A reader gets None when nothing came for a
while (the heartbeat), and is never allowed to hold up the publisher or the other readers: it either keeps
only the newest item of each key (quotes), or is told that it fell behind (orders, signals), because skipping
silently would lie.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Hashable, Iterable
from typing import Generic, TypeVar

from services.errors import FxError, Kind

T = TypeVar("T")

HEARTBEAT_S = 1.0
MAX_WAITING = 10_000


class _Reader(Generic[T]):
    """Items that wait for one reader, in order; with a key function, the newest of each key only."""

    def __init__(
        self,
        match: Callable[[T], bool] | None,
        key: Callable[[T], Hashable] | None,
        room: int,
    ) -> None:
        self._match = match
        self._key = key
        self._room = room
        self._waiting: OrderedDict[Hashable, T] = OrderedDict()
        self._number = 0
        self._wake = asyncio.Event()
        self.overrun = False
        self.closed = False

    def offer(self, item: T) -> None:
        if self.overrun or (self._match is not None and not self._match(item)):
            return
        self._number += 1
        key = self._number if self._key is None else self._key(item)
        if key not in self._waiting and len(self._waiting) >= self._room:
            self.overrun = True
        else:
            self._waiting[key] = item
        self._wake.set()

    @property
    def waiting(self) -> int:
        return 0 if self.overrun else len(self._waiting)

    def close(self) -> None:
        self.closed = True
        self._wake.set()

    async def wait(self, timeout_s: float) -> bool:
        """True as soon as there is something to do, False when nothing came in time."""
        try:
            await asyncio.wait_for(self._wake.wait(), timeout_s)
        except TimeoutError:
            return False
        self._wake.clear()
        return True

    def take(self) -> list[T]:
        items = list(self._waiting.values())
        self._waiting.clear()
        return items


class Broadcast(Generic[T]):
    """Hands each published item to all current subscriptions. For use on one event loop."""

    def __init__(self) -> None:
        self._readers: set[_Reader[T]] = set()
        self._closed = False

    def __len__(self) -> int:
        """Number of current subscriptions."""
        return len(self._readers)

    @property
    def backlog(self) -> int:
        """Items that wait for the slowest subscription."""
        return max((reader.waiting for reader in self._readers), default=0)

    def publish(self, item: T) -> None:
        """Give `item` to every subscription that wants it; never waits."""
        for reader in self._readers:
            reader.offer(item)

    def close(self) -> None:
        """End every subscription after what it still has waiting."""
        self._closed = True
        for reader in self._readers:
            reader.close()

    def subscribe(
        self,
        match: Callable[[T], bool] | None = None,
        *,
        first: Iterable[T] = (),
        keep_latest_by: Callable[[T], Hashable] | None = None,
        heartbeat_s: float = HEARTBEAT_S,
        room: int = MAX_WAITING,
    ) -> AsyncIterator[T | None]:
        """Items after `first` (a snapshot taken now), and None after each `heartbeat_s` without one.

        `keep_latest_by`: a slow reader skips to the newest item of each key. Without it every item is
        delivered, or the stream ends with RESOURCE_EXHAUSTED once `room` items wait. The subscription stands
        at once, so nothing published after the call is missed; iterate it.
        """
        reader = _Reader(match, keep_latest_by, room)
        for item in first:
            reader.offer(item)
        if self._closed:
            reader.close()
        self._readers.add(reader)
        return self._read(reader, heartbeat_s, room)

    async def _read(self, reader: _Reader[T], heartbeat_s: float, room: int) -> AsyncIterator[T | None]:
        try:
            while True:
                if not await reader.wait(heartbeat_s):
                    yield None
                    continue
                while waiting := reader.take():
                    for item in waiting:
                        yield item
                if reader.overrun:
                    raise FxError(
                        Kind.RESOURCE_EXHAUSTED,
                        "RATE_LIMITED",
                        f"reader fell {room} items behind; start again",
                    )
                if reader.closed:
                    return
        finally:
            self._readers.discard(reader)
