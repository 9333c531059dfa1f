"""Events on their way to the bus: in order, after the answer, none lost while the process lives.

A full queue holds up whoever wants to add: a prediction is an event that must be stored, so none is dropped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context, copy_context

from services.errors import FxError, Kind
from services.ml_integration.ports import Clock, Event, Log, Publisher

_PAUSES_S = (0.1, 0.5, 2.0)
_WAITING_HELPS = (Kind.UNAVAILABLE, Kind.DEADLINE_EXCEEDED, Kind.RESOURCE_EXHAUSTED)


class Outgoing:
    """A bounded queue in front of the publisher."""

    def __init__(self, publisher: Publisher, clock: Clock, log: Log, room: int) -> None:
        self._publisher = publisher
        self._clock = clock
        self._log = log
        self._room = room
        self._waiting: deque[tuple[Event, Context]] = deque()
        self._added = asyncio.Event()
        self._taken = asyncio.Event()
        self.published = 0

    def __len__(self) -> int:
        """Events not published yet."""
        return len(self._waiting)

    async def room(self) -> None:
        """Return when there is room. What is added without awaiting anything else finds it."""
        while len(self._waiting) >= self._room:
            self._taken.clear()
            await self._taken.wait()

    def add(self, event: Event) -> None:
        """Publish later, as part of the work in hand: correlation id and trace go with it."""
        self._waiting.append((event, copy_context()))
        self._added.set()

    async def run(self) -> None:
        """Loop: publish what waits, first come first. What the bus cannot take now is tried again."""
        failures = 0
        while True:
            await self._added.wait()
            self._added.clear()
            while self._waiting:
                try:
                    await self._publish_first()
                    failures = 0
                except FxError as error:
                    if error.kind not in _WAITING_HELPS:
                        raise
                    if not failures:
                        self._log.warning("publish.waits", reason=error.reason, waiting=len(self))
                    await self._clock.sleep(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])
                    failures += 1

    async def flush(self) -> None:
        """Publish what still waits once `run` has ended. FxError when the bus does not take it."""
        while self._waiting:
            await self._publish_first()

    async def _publish_first(self) -> None:
        event, context = self._waiting[0]
        # A task of its own, because only a task can run in another's context.
        await asyncio.create_task(self._publisher_call(event), context=context)
        self._waiting.popleft()
        self.published += 1
        self._taken.set()

    async def _publisher_call(self, event: Event) -> None:
        await self._publisher.publish(event)
