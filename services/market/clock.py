"""The market clock: what time it is on the market of one feed session.

It belongs to market_data and travels with every batch and at least once a second. Sessions, bars, time in
force, financing and daily limits run on it; deadlines, leases and retries run on the wall and monotonic
clocks.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MarketClock:
    """Market time of `session_id`: `time_ns` since 1970 UTC, once the ticks up to `sequence` are counted.

    `sequence` is the last tick covered, 0 before the first. `speed` is market seconds per wall second: 1
    live, N for a paced replay ×N, 0 where the two have no fixed relation (unpaced, lockstep, paused).
    """

    session_id: str
    time_ns: int
    speed: float
    sequence: int

    def advanced(self, time_ns: int, sequence: int | None = None) -> MarketClock:
        """The next reading of this session: after a tick, or (no `sequence`) after a heartbeat.

        Raises ValueError when time or sequence would go back: a feed must refuse such a tick before its
        clock.
        """
        reached = self.sequence if sequence is None else sequence
        if time_ns < self.time_ns or reached < self.sequence:
            raise ValueError(
                f"the clock of {self.session_id} cannot go back: {time_ns} #{reached} after"
                f" {self.time_ns} #{self.sequence}"
            )
        return MarketClock(self.session_id, time_ns, self.speed, reached)

    def precedes(self, other: MarketClock) -> bool:
        """True when `other` is a later reading of the same session. Raises ValueError for another session."""
        if other.session_id != self.session_id:
            raise ValueError(f"sessions have clocks of their own: {self.session_id} and {other.session_id}")
        return (self.time_ns, self.sequence) < (other.time_ns, other.sequence)

    def follow(self, heard: MarketClock) -> MarketClock:
        """The reading to hold after `heard` came in: a late one of this session changes nothing.

        A reading of another session is adopted: a symbol has one active session, and its feed says which. An
        equal reading is adopted too, since the speed may have changed at that very time.
        """
        if heard.session_id == self.session_id and heard.precedes(self):
            return self
        return heard
