"""What one process knows of a lease that several want: whether it holds it, until when, and who does else.

The side of the Leadership port that does not depend on where the lease is kept; `leases` keeps it in a
database, `leadership` in NATS.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from services.runtime.ports import Clock


class HeldLease:
    """Whoever keeps the lease moves `_until` with each renewal, and calls `_set` with what it found."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._change = asyncio.Event()
        self._term = 0
        self._leader = ""
        self._until = 0.0
        self.changes = 0
        """How often this process saw another holder than before, itself included."""

    @property
    def held(self) -> bool:
        """True while this process may act. Look before each act."""
        return self._term > 0 and self._clock.monotonic() < self._until

    @property
    def term(self) -> int:
        """Above zero while nobody else is known to have taken the lease from this process, and another number
        each time that it takes it.
        """
        return self._term

    @property
    def leader(self) -> str:
        """The gRPC address of whoever holds it; empty while it is this one or nobody is known."""
        return self._leader

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once `condition` holds, judged now and after each change of leader or term."""
        while not condition():
            await self._change.wait()

    def _set(self, term: int, leader: str) -> None:
        if (term, leader) != (self._term, self._leader):
            if term or leader:
                self.changes += 1
            self._term, self._leader = term, leader
            self._change.set()
            self._change = asyncio.Event()
