"""All markets by scope: the live one, and one for each replay, which know nothing of each other.

An account trades on the quotes of its scope only, and converts at them: a price of 2014 never meets a balance
of today.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from services.money.conversion import RateQuote
from services.trading_gateway.domain.feeds import Feed, FeedState

LIVE = ""
"""The scope of every session that is not a replay."""


@dataclass(frozen=True, slots=True)
class Session:
    """A feed session as market data announced it."""

    session_id: str
    replay: bool
    symbols: tuple[str, ...]
    always_open: bool

    @property
    def scope(self) -> str:
        """The scope its ticks belong to."""
        return self.session_id if self.replay else LIVE


class Markets:
    """Sessions, and the feeds of each scope."""

    def __init__(self, sessions: Iterable[Session] = (), feeds: Iterable[FeedState] = ()) -> None:
        self.sessions = {each.session_id: each for each in sessions}
        self.feeds: dict[tuple[str, str], Feed] = {(each.scope, each.symbol): Feed(each) for each in feeds}
        self._rates: dict[str, Rates] = {}

    def scope_of(self, session_id: str) -> str | None:
        """The scope of a session; None for one that was never announced."""
        session = self.sessions.get(session_id)
        return None if session is None else session.scope

    def feed(self, scope: str, symbol: str) -> Feed | None:
        """The feed of a symbol, if it was ever heard of."""
        return self.feeds.get((scope, symbol))

    def follow(self, session: Session, symbol: str) -> Feed:
        """The feed of a symbol, following that session. Raises FxError NOT_FOUND for an unknown symbol."""
        key = (session.scope, symbol)
        feed = self.feeds.get(key)
        if feed is None:
            feed = self.feeds[key] = Feed(FeedState(session.scope, symbol))
        feed.join(session.session_id, always_open=session.always_open)
        return feed

    def time(self, scope: str) -> int:
        """Market time of a scope, the latest of its symbols; 0 before anything was heard."""
        return max((feed.state.time_ns for (of, _), feed in self.feeds.items() if of == scope), default=0)

    def rates(self, scope: str) -> Mapping[str, RateQuote]:
        """Quotes to convert at."""
        found = self._rates.get(scope)
        if found is None:
            found = self._rates[scope] = Rates(self.feeds, scope)
        return found


class Rates(Mapping[str, RateQuote]):
    """The last good quote of each symbol of a scope, made into a rate when it is asked for."""

    def __init__(self, feeds: Mapping[tuple[str, str], Feed], scope: str) -> None:
        self._feeds = feeds
        self._scope = scope

    def __getitem__(self, symbol: str) -> RateQuote:
        feed = self._feeds.get((self._scope, symbol))
        good = None if feed is None else feed.state.good
        if feed is None or good is None:
            raise KeyError(symbol)
        of = feed.instrument
        return RateQuote(of.base, of.quote, good.bid, good.ask, of.digits, good.session_id, good.sequence)

    def __iter__(self) -> Iterator[str]:
        return (symbol for scope, symbol in self._feeds if scope == self._scope and symbol in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)
