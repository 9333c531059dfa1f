"""One held key, what a consumer's metrics show of all of them, and what a bus does for `holding`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services.runtime.bus.handling import RetryPolicy, UnfitError, may_pass
from services.runtime.ports import Delivery


class Fate(Protocol):
    """How a bus settles what it delivered. Each may raise FxError: not now, then it is asked again."""

    async def settled(self, deliveries: Sequence[Delivery]) -> None:
        """Their effects are committed: they never come again."""

    async def bury(self, delivery: Delivery, reason: str, attempts: int) -> None:
        """Make it a dead letter that its key waits behind."""

    async def park(self, delivery: Delivery) -> None:
        """Store it behind the dead letter of its key, and behind what is parked there already."""

    async def behind(self, key: str) -> Sequence[Delivery]:
        """The next of what is parked of a key, oldest first; empty when that was all."""

    async def recovered(self, key: str, *, entirely: bool) -> None:
        """What somebody asked for a parked key is done: entirely, or as far as the next dead letter."""


@dataclass(slots=True)
class Figures:
    """What a consumer's metrics show of its keys; changed by every `Holding` of it."""

    held_keys: int = 0
    parked_keys: int = 0
    redriven: int = 0


@dataclass(slots=True)
class Held:
    """A key whose first entry failed. `tries` of that entry, some of them `counted` against it."""

    entries: deque[Delivery]
    since: float
    due: float
    tries: int = 0
    counted: int = 0
    witness: int = 0
    """Batches that the worker had handled at the last try: another number tells that others go on."""
    buried: bool = False
    """The first entry is a dead letter, and the rest has still to be parked."""
    recovering: bool = False
    """Entries come from where they were parked; what is new is `waiting` until that is through."""
    unfit: UnfitError | None = None
    """The first entry breaks the rules of its contract: it is given up without another try."""
    trouble: str = ""
    """Why it could not be settled, as last told."""
    waiting: deque[Delivery] = field(default_factory=deque)

    @property
    def apart(self) -> bool:
        """True when it need not wait for what holds everybody: it was not tried yet, and nobody knows that it
        would fail as the others do, or its first entry is given up.
        """
        return not self.tries or self.buried or self.unfit is not None

    def put(self, delivery: Delivery) -> None:
        """Take in what is new of the key."""
        (self.waiting if self.recovering else self.entries).append(delivery)

    def head(self, most: int) -> list[Delivery]:
        """What to try next: an entry that failed is tried alone, else up to `most` together."""
        size = 1 if self.tries else min(len(self.entries), most)
        return [self.entries[place] for place in range(size)]

    def recover(self, entries: Iterable[Delivery], now: float) -> None:
        """Take these first, then what is parked; what is in hand already comes after that."""
        self.waiting.extend(self.entries)
        self.entries = deque(entries)
        self.recovering, self.buried, self.unfit = True, False, None
        self.tries = self.counted = 0
        self.since = self.due = now

    def handled(self, size: int, now: float) -> None:
        """The first entries are handled."""
        for _ in range(size):
            self.entries.popleft()
        self.tries = self.counted = 0
        self.since = self.due = now

    def failed(self, failure: Exception, size: int, handled: int, now: float, retry: RetryPolicy) -> None:
        """They failed, several together or one alone. `handled`: batches of the worker so far."""
        if isinstance(failure, UnfitError) and size == 1:
            self.tries, self.counted, self.due, self.unfit = 1, retry.attempts, now, failure
            return
        passing = may_pass(failure)
        if size > 1 and not passing:
            self.tries, self.due = 1, now  # one of them is at fault: from now on one by one
            return
        self.tries += 1
        # Of a failure that may be everybody's, only what others got done meanwhile tells whose it is.
        self.counted += int(not passing or self.witness != handled)
        self.witness = handled
        self.due = now + retry.delay_s(self.tries)

    def is_over(self, now: float, retry: RetryPolicy) -> bool:
        """True when the first entry was tried often and long enough, or too much waits behind it."""
        crowded = self.counted > 1 and len(self.entries) > retry.held_events
        late = self.tries >= retry.attempts and now - self.since >= retry.hold_s
        return self.counted >= retry.attempts or crowded or late
