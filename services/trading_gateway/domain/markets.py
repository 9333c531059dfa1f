"""All markets by scope: the live one, and one for each replay, which know nothing of each other.

An account trades on the quotes of its scope only, and converts at them: a price of 2014 never meets a balance
of today.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from services.errors import FxError
from services.money.conversion import RateQuote, Way, legs_between, rate_of
from services.money.rounding import power_of_ten
from services.trading_gateway.domain.feeds import Feed, FeedState, Quote

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
        for (scope, _), feed in self.feeds.items():
            self.rates(scope).add(feed)

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
            self.rates(session.scope).add(feed)
        feed.join(session.session_id, always_open=session.always_open)
        return feed

    def time(self, scope: str) -> int:
        """Market time of a scope, the latest of its symbols; 0 before anything was heard."""
        return max((feed.state.time_ns for (of, _), feed in self.feeds.items() if of == scope), default=0)

    def rates(self, scope: str) -> Rates:
        """Quotes to convert at."""
        found = self._rates.get(scope)
        if found is None:
            found = self._rates[scope] = Rates()
        return found


@dataclass(frozen=True, slots=True)
class _Steps:
    """A conversion through a third currency."""

    factor: tuple[int, int]
    feeds: tuple[Feed, ...]


class Rates(Mapping[str, RateQuote]):
    """The last good quote of each symbol of a scope, made into a rate when it is asked for."""

    def __init__(self) -> None:
        self._feeds: dict[str, Feed] = {}
        self._direct: dict[tuple[str, str], tuple[Feed, bool, int]] = {}
        self._steps: dict[tuple[str, str, Way], tuple[object, _Steps | None]] = {}

    def add(self, feed: Feed) -> None:
        """A symbol more."""
        self._feeds[feed.state.symbol] = feed

    def goods(self) -> tuple[Quote | None, ...]:
        """The quotes themselves, to see whether any has changed."""
        return tuple([feed.state.good for feed in self._feeds.values()])

    def factor(self, source: str, to: str, way: Way) -> tuple[int, int] | None:
        """Numerator and denominator of what one unit of `source` comes to; None where no quote leads there.

        The same as `convert` takes, without a word about it: for checks, of which there are many.
        """
        if source == to:
            return 1, 1
        direct = self._direct.get((source, to)) or self._find(source, to)
        good = None if direct is None else direct[0].state.good
        if direct is None or good is None:
            steps = self._by_steps(source, to, way)
            return None if steps is None else steps.factor
        _, inverse, scale = direct
        price = good.bid if (way is Way.SELL) != inverse else good.ask
        return (scale, price) if inverse else (price, scale)

    def between(self, source: str, to: str) -> tuple[Feed, ...]:
        """The feeds whose quotes `factor` rests on; none for the same currency or where no quote leads."""
        if source == to:
            return ()
        direct = self._direct.get((source, to)) or self._find(source, to)
        if direct is not None and direct[0].state.good is not None:
            return (direct[0],)
        steps = self._by_steps(source, to, Way.BUY)
        return () if steps is None else steps.feeds

    def _find(self, source: str, to: str) -> tuple[Feed, bool, int] | None:
        """The feed of the pair itself, whether it is quoted the other way round, and its scale."""
        for symbol, inverse in ((source + to, False), (to + source, True)):
            feed = self._feeds.get(symbol)
            if feed is not None and feed.state.good is not None:
                direct = feed, inverse, power_of_ten(feed.instrument.digits)
                self._direct[source, to] = direct
                return direct
        return None

    def _by_steps(self, source: str, to: str, way: Way) -> _Steps | None:
        goods = self.goods()
        known = self._steps.get((source, to, way))
        if known is None or known[0] != goods:
            known = self._steps[source, to, way] = goods, self._stepped(source, to, way)
        return known[1]

    def _stepped(self, source: str, to: str, way: Way) -> _Steps | None:
        try:
            legs = legs_between(source, to, self, way)
        except FxError:
            return None
        rate = rate_of(legs)
        return _Steps((rate.numerator, rate.denominator), tuple(self._feeds[each.symbol] for each in legs))

    def __getitem__(self, symbol: str) -> RateQuote:
        feed = self._feeds.get(symbol)
        good = None if feed is None else feed.state.good
        if feed is None or good is None:
            raise KeyError(symbol)
        of = feed.instrument
        return RateQuote(of.base, of.quote, good.bid, good.ask, of.digits, good.session_id, good.sequence)

    def __iter__(self) -> Iterator[str]:
        return (symbol for symbol in self._feeds if symbol in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)
