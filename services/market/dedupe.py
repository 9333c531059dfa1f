"""Exactly one effect per tick: trims what a consumer has already taken and tells what is missing.

Delivery is at least once, and after a crash the same ticks may come back cut into other batches. A consumer
keeps the last sequence of each (session, symbol) with its effect, in one transaction, and asks here what is
new.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from services.market.ticks import TickBatch

FeedKey = tuple[str, str]
"""(session id, symbol)."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Sequences `first` to `last`, both included, that never came."""

    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Admission:
    """What is new in a batch. `batch` may be empty; `duplicates` ticks in front of it were seen before.

    `gap` lies between the last tick seen and this batch, its ticks being lost or late: the tracker moves on,
    so late ones would be dropped as duplicates. `joined` says that nothing of this feed was seen before, and
    then a gap is what came before the consumer was there.
    """

    batch: TickBatch
    duplicates: int
    gap: Gap | None
    joined: bool


class SequenceTracker:
    """The last sequence taken of each (session, symbol).

    `examine` asks, `commit` records; call `commit` after the effect is durable, so that a failed effect
    leaves the ticks new. `accept` does both, for effects that live in memory only.
    """

    def __init__(self, last: Mapping[FeedKey, int] | None = None) -> None:
        self._last: dict[FeedKey, int] = dict(last or {})

    def last(self, session_id: str, symbol: str) -> int:
        """Last sequence taken; 0 when none was."""
        return self._last.get((session_id, symbol), 0)

    def examine(self, batch: TickBatch) -> Admission:
        """What of `batch` is new. Changes nothing."""
        key = (batch.session_id, batch.symbol)
        seen = self._last.get(key, 0)
        new = batch.trimmed_after(seen)
        skipped = len(new) > 0 and new.first_sequence > seen + 1
        gap = Gap(seen + 1, new.first_sequence - 1) if skipped else None
        return Admission(new, len(batch) - len(new), gap, key not in self._last)

    def commit(self, session_id: str, symbol: str, sequence: int) -> None:
        """Record that all up to `sequence` is taken. An earlier one than recorded changes nothing."""
        key = (session_id, symbol)
        self._last[key] = max(sequence, self._last.get(key, 0))

    def accept(self, batch: TickBatch) -> Admission:
        """`examine`, then `commit` of the whole batch."""
        admission = self.examine(batch)
        if len(batch):
            self.commit(batch.session_id, batch.symbol, batch.last_sequence)
        return admission

    def forget(self, session_id: str) -> None:
        """Drop the marks of a session that has ended for good."""
        self._last = {key: last for key, last in self._last.items() if key[0] != session_id}

    def __iter__(self) -> Iterator[tuple[FeedKey, int]]:
        """Each feed with its last sequence, ordered, to store."""
        return iter(sorted(self._last.items()))
