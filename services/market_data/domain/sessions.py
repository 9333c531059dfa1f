"""Feed sessions: which source a symbol's prices come from. A symbol has one active session.

A replay takes its symbol from the synthetic feed and gives it back when it ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from services.errors import FxError, Kind
from services.market.clock import MarketClock
from services.market_data.domain.replays import Replay


class FeedKind(Enum):
    """Where a session's prices come from."""

    SYNTHETIC = "synthetic"
    REPLAY = "replay"


@dataclass(slots=True)
class FeedSession:
    """A source of prices. `started_ns`, `ended_ns` are wall times; `clocks` market time by symbol."""

    session_id: str
    kind: FeedKind
    symbols: tuple[str, ...]
    started_ns: int
    speed: float
    always_open: bool
    ended_ns: int | None = None
    ticks: int = 0
    clocks: dict[str, MarketClock] = field(default_factory=dict)
    replay: Replay | None = None
    """What a session of that kind plays."""

    @property
    def active(self) -> bool:
        """Still running."""
        return self.ended_ns is None

    @property
    def time_ns(self) -> int:
        """Market time reached, 0 before the first tick."""
        return max((clock.time_ns for clock in self.clocks.values()), default=0)

    def advance(self, symbol: str, time_ns: int, sequence: int, ticks: int) -> MarketClock:
        """The clock of a symbol after ticks up to `sequence`, or after time alone."""
        self.ticks += ticks
        clock = MarketClock(self.session_id, time_ns, self.speed, sequence)
        self.clocks[symbol] = clock
        return clock


class Sessions:
    """All sessions since the service started, and who feeds which symbol."""

    def __init__(self) -> None:
        self._sessions: dict[str, FeedSession] = {}
        self._feeds: dict[str, str] = {}
        self._resting: dict[str, str] = {}

    def begin(self, session: FeedSession) -> FeedSession:
        """Start a session; symbols that another one feeds rest there. FxError `REPLAY_ACTIVE` when that is
        a replay.
        """
        for symbol in session.symbols:
            feeding = self.feeding(symbol)
            if feeding and feeding.kind is FeedKind.REPLAY:
                raise FxError(
                    Kind.FAILED_PRECONDITION,
                    "REPLAY_ACTIVE",
                    f"{symbol} is being replayed as {feeding.session_id}; stop it or wait for its end",
                )
        for symbol in session.symbols:
            if symbol in self._feeds:
                self._resting[symbol] = self._feeds[symbol]
            self._feeds[symbol] = session.session_id
        self._sessions[session.session_id] = session
        return session

    def replace(self, sessions: Iterable[FeedSession]) -> None:
        """Know these alone, in the order in which they started."""
        self._sessions.clear()
        self._feeds.clear()
        self._resting.clear()
        for session in sessions:
            if session.active:
                self.begin(session)
            else:
                self._sessions[session.session_id] = session

    def known(self, session_id: str) -> FeedSession | None:
        """The session of that id, None when there was none."""
        return self._sessions.get(session_id)

    def end(self, session_id: str, ended_ns: int) -> None:
        """End a session; its symbols go back to the session that rested for it."""
        session = self._sessions[session_id]
        session.ended_ns = ended_ns
        for symbol in session.symbols:
            rested = self._resting.pop(symbol, None)
            if rested is not None and self._sessions[rested].active:
                self._feeds[symbol] = rested
            else:
                self._feeds.pop(symbol, None)

    def feeding(self, symbol: str) -> FeedSession | None:
        """The active session of a symbol."""
        session_id = self._feeds.get(symbol)
        return self._sessions[session_id] if session_id else None

    def get(self, session_id: str) -> FeedSession:
        """FxError NOT_FOUND `UNKNOWN_SESSION`."""
        if session_id not in self._sessions:
            raise FxError(Kind.NOT_FOUND, "UNKNOWN_SESSION", f"no feed session {session_id}")
        return self._sessions[session_id]

    def all(self, *, active_only: bool = False) -> list[FeedSession]:
        """Sessions, newest first."""
        return [each for each in reversed(self._sessions.values()) if each.active or not active_only]
