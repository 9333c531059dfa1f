"""A batch of ticks of one symbol of one feed session, as columns of scaled integers.

The unit that travels from feed to bus to consumers. A tick's identity is (session, symbol, sequence); batches
are only packaging, so cutting, trimming and merging them changes no tick.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # numpy costs a service that never asks for arrays 0.1 s and 15 MB at start
    import numpy as np
    import numpy.typing as npt

    IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TickBatch:
    """Ticks in feed order. Sequence of tick `i` is `first_sequence + i`; sequences of a session start at 1.

    `bids` and `asks` are scaled by `digits` (1.38658 with 5 digits is 138658); sizes are whole units of the
    base currency, and an empty size column means unknown. Raises ValueError when columns differ in length.
    """

    session_id: str
    symbol: str
    first_sequence: int
    digits: int
    times_ns: Sequence[int]
    bids: Sequence[int]
    asks: Sequence[int]
    bid_sizes: Sequence[int] = ()
    ask_sizes: Sequence[int] = ()

    def __post_init__(self) -> None:
        count = len(self.times_ns)
        if len(self.bids) != count or len(self.asks) != count:
            raise ValueError(
                f"tick columns differ: {count} times, {len(self.bids)} bids, {len(self.asks)} asks"
            )
        if len(self.bid_sizes) not in (0, count) or len(self.ask_sizes) not in (0, count):
            raise ValueError(
                f"size columns must be empty or {count} long: {len(self.bid_sizes)}, {len(self.ask_sizes)}"
            )
        if self.first_sequence < 1:
            raise ValueError(f"sequences start at 1: {self.first_sequence}")

    def __len__(self) -> int:
        return len(self.times_ns)

    @property
    def last_sequence(self) -> int:
        """Sequence of the last tick; `first_sequence - 1` for an empty batch."""
        return self.first_sequence + len(self.times_ns) - 1

    @property
    def batch_id(self) -> str:
        """`session/symbol/first-last`: equal for the same ticks cut the same way, whoever computes it."""
        return f"{self.session_id}/{self.symbol}/{self.first_sequence}-{self.last_sequence}"

    def sequence(self, index: int) -> int:
        """Sequence of the tick at `index` (0-based)."""
        return self.first_sequence + index

    def crossed(self, index: int) -> bool:
        """True when the bid of this tick is above its ask: data to store, never a price to trade on."""
        return self.bids[index] > self.asks[index]

    def __getitem__(self, part: slice) -> TickBatch:
        """Consecutive ticks as a batch of their own, with the sequences that they had. Steps are refused."""
        start, stop, step = part.indices(len(self))
        if step != 1:
            raise ValueError("a batch holds consecutive ticks: no step")
        return replace(
            self,
            first_sequence=self.first_sequence + start,
            times_ns=self.times_ns[start:stop],
            bids=self.bids[start:stop],
            asks=self.asks[start:stop],
            bid_sizes=self.bid_sizes[start:stop],
            ask_sizes=self.ask_sizes[start:stop],
        )

    def trimmed_after(self, sequence: int) -> TickBatch:
        """The ticks after `sequence`: all of them (this very batch), some, or none (an empty batch)."""
        seen = sequence - self.first_sequence + 1
        if seen <= 0:
            return self
        return self[min(seen, len(self)) :]

    def split(self, size: int) -> Iterator[TickBatch]:
        """The same ticks in batches of at most `size`, in order."""
        if size < 1:
            raise ValueError(f"a batch holds at least one tick: {size}")
        if len(self) <= size:
            if len(self):
                yield self
            return
        for start in range(0, len(self), size):
            yield self[start : start + size]

    def times_array(self) -> IntArray:
        """Times as int64 nanoseconds since 1970 UTC, shape (n,)."""
        return _int64(self.times_ns)

    def bids_array(self) -> IntArray:
        """Bids as int64 scaled by `digits`, shape (n,)."""
        return _int64(self.bids)

    def asks_array(self) -> IntArray:
        """Asks as int64 scaled by `digits`, shape (n,)."""
        return _int64(self.asks)


def _int64(column: Sequence[int]) -> IntArray:
    import numpy as np

    return np.asarray(column, dtype=np.int64)


def merge(batches: Sequence[TickBatch]) -> TickBatch:
    """One batch out of consecutive ones (the inverse of `split`).

    Raises ValueError when there is none, when session, symbol or digits differ, when a sequence is missing or
    doubled between two of them, or when some know sizes and others do not.
    """
    if not batches:
        raise ValueError("nothing to merge")
    first = batches[0]
    expected = first.first_sequence
    for batch in batches:
        if (batch.session_id, batch.symbol, batch.digits) != (first.session_id, first.symbol, first.digits):
            raise ValueError(f"not of one feed: {first.batch_id} and {batch.batch_id}")
        if batch.first_sequence != expected:
            raise ValueError(f"not consecutive: {batch.batch_id} where sequence {expected} follows")
        expected = batch.last_sequence + 1
    return replace(
        first,
        times_ns=[value for batch in batches for value in batch.times_ns],
        bids=[value for batch in batches for value in batch.bids],
        asks=[value for batch in batches for value in batch.asks],
        bid_sizes=[value for batch in batches for value in batch.bid_sizes],
        ask_sizes=[value for batch in batches for value in batch.ask_sizes],
    )
