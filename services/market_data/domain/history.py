"""The latest ticks of each session and symbol, for stream readers that come back: bounded, oldest dropped
first.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from services.errors import FxError, Kind
from services.market.clock import MarketClock
from services.market.ticks import TickBatch

FeedKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class TickMessage:
    """A batch with the clock after it. `ended`: no tick of the symbol follows in the session (batch may be
    empty).
    """

    batch: TickBatch
    clock: MarketClock
    ended: bool = False

    @classmethod
    def end(cls, clock: MarketClock, symbol: str, digits: int) -> TickMessage:
        """The end of a symbol's ticks in a session, of which `clock` is the last reading."""
        batch = TickBatch(clock.session_id, symbol, clock.sequence + 1, digits, (), (), ())
        return cls(batch, clock, ended=True)


class TickHistory:
    """Holds about `capacity` ticks of every (session, symbol); ended sessions are forgotten with `forget`."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._held: dict[FeedKey, deque[TickMessage]] = {}
        self._counts: dict[FeedKey, int] = {}

    def add(self, message: TickMessage) -> None:
        """Hold a message; the oldest make room."""
        key = (message.batch.session_id, message.batch.symbol)
        held = self._held.setdefault(key, deque())
        held.append(message)
        count = self._counts.get(key, 0) + len(message.batch)
        while count > self._capacity and len(held) > 1:
            count -= len(held.popleft().batch)
        self._counts[key] = count

    def after(self, session_id: str, symbol: str, sequence: int) -> list[TickMessage]:
        """Messages with ticks after `sequence`, the first trimmed. FxError OUT_OF_RANGE `SEQUENCE_GONE`."""
        held = self._held.get((session_id, symbol))
        if not held:
            if sequence == 0:
                return []
            raise self._gone(session_id, symbol, sequence)
        # Where nothing but the end is held the session is over since before a restart: that is worth knowing
        # whatever was missed.
        if held[0].batch.first_sequence > sequence + 1 and not held[0].ended:
            raise self._gone(session_id, symbol, sequence)
        return [
            TickMessage(message.batch.trimmed_after(sequence), message.clock, message.ended)
            for message in held
            if message.batch.last_sequence > sequence or message.ended
        ]

    def clear(self) -> None:
        """Drop all ticks."""
        self._held.clear()
        self._counts.clear()

    def forget(self, session_id: str) -> None:
        """Drop all ticks of a session."""
        for key in [key for key in self._held if key[0] == session_id]:
            del self._held[key], self._counts[key]

    @staticmethod
    def _gone(session_id: str, symbol: str, sequence: int) -> FxError:
        return FxError(
            Kind.OUT_OF_RANGE,
            "SEQUENCE_GONE",
            f"ticks of {symbol} after {sequence} of session {session_id} are gone; read them from storage",
        )
