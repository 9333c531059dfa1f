"""How far trading is with a session: what was read, decided and committed."""

from __future__ import annotations

from dataclasses import dataclass

from services.errors import FxError, Kind
from services.market.progress import FeedProgress
from services.trading_gateway.handlers.desk import Desk
from services.trading_gateway.handlers.trailing import Trailing


@dataclass(frozen=True, slots=True)
class SessionProgress:
    """Feeds by symbol; signals that came, and those of them that nobody has decided about yet.

    `ahead`: ticks read before analysis was done with them, since this process started.
    """

    feeds: tuple[FeedProgress, ...]
    signals: int
    undecided: int
    ahead: int


class Progress:
    """Answers how far the books are."""

    def __init__(self, desk: Desk, trailing: Trailing) -> None:
        self._desk = desk
        self._trailing = trailing

    async def of(self, session_id: str) -> SessionProgress:
        """Progress in a session. Raises FxError NOT_FOUND `UNKNOWN_SESSION` before it was announced."""
        engine = self._desk.engine
        if session_id not in engine.book.markets.sessions:
            raise FxError(Kind.NOT_FOUND, "UNKNOWN_SESSION", f"session {session_id} was never announced")
        states = [feed.state for feed in engine.book.markets.feeds.values()]
        feeds = sorted(
            (each.symbol, each.sequence, each.ended) for each in states if each.session_id == session_id
        )
        undecided = sum(each.session_id == session_id for each in engine.undecided.values())
        signals = engine.signal_counts.get(session_id, 0)
        await self._desk.durable()
        ahead = self._trailing.ahead[session_id]
        return SessionProgress(tuple(FeedProgress(*each) for each in feeds), signals, undecided, ahead)
