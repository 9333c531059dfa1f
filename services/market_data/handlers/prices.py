"""Questions about prices: instruments, quotes, books, clocks, sessions; and their streams."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from services.errors import FxError, Kind
from services.market.calendar import calendar
from services.market.clock import MarketClock
from services.market.instruments import INSTRUMENTS, Instrument, instrument, require_known
from services.market_data.domain.quotes import OrderBook, Quote, pick
from services.market_data.domain.sessions import FeedSession
from services.market_data.handlers.feed import Feed
from services.market_data.ports import Clock

CLOCK_S = 0.5


@dataclass(frozen=True, slots=True)
class InstrumentState:
    """An instrument and its market now. `next_change_ns` None: never."""

    instrument: Instrument
    market_open: bool
    next_change_ns: int | None


class Prices:
    """Answers from what the feed has shown."""

    def __init__(self, feed: Feed, clock: Clock) -> None:
        self._feed = feed
        self._clock = clock

    async def instruments(self) -> list[InstrumentState]:
        """All, by symbol."""
        return [self._state(INSTRUMENTS[symbol]) for symbol in sorted(INSTRUMENTS)]

    async def instrument(self, symbol: str) -> InstrumentState:
        """One. FxError NOT_FOUND `UNKNOWN_SYMBOL`."""
        if symbol not in INSTRUMENTS:
            raise FxError(Kind.NOT_FOUND, "UNKNOWN_SYMBOL", f"no instrument {symbol}")
        return self._state(INSTRUMENTS[symbol])

    def _state(self, terms: Instrument) -> InstrumentState:
        session = self._feed.sessions.feeding(terms.symbol)
        if session and session.always_open:
            return InstrumentState(terms, market_open=True, next_change_ns=None)
        hours = calendar(terms.calendar)
        now_ns = session.time_ns if session and session.time_ns else self._clock.now_ns()
        return InstrumentState(terms, hours.is_open(now_ns), hours.next_change(now_ns))

    async def quotes(self, symbols: Sequence[str]) -> list[Quote]:
        """Last quotes. FxError `UNKNOWN_SYMBOL`; NOT_FOUND `NO_QUOTE` for one named that has none."""
        require_known(symbols)
        quotes, missing = pick(self._feed.board, symbols)
        if missing:
            raise FxError(
                Kind.NOT_FOUND, "NO_QUOTE", f"no quote of {', '.join(missing)} yet; is a feed running?"
            )
        return quotes

    def stream_quotes(self, symbols: Sequence[str]) -> AsyncIterator[Quote | None]:
        """The last quotes, then each change, newest first for a slow reader."""
        require_known(symbols)
        wanted = frozenset(symbols)
        return self._feed.beating(
            self._feed.quotes.subscribe(
                lambda quote: not wanted or quote.symbol in wanted,
                first=pick(self._feed.board, symbols)[0],
                keep_latest_by=lambda quote: quote.symbol,
            )
        )

    async def books(self, symbols: Sequence[str]) -> list[OrderBook]:
        """Last books. FxError `UNKNOWN_SYMBOL`; NOT_FOUND `NO_BOOK` for one named that has none."""
        require_known(symbols)
        named = symbols or [quote.symbol for quote in self._feed.board.quotes()]
        books = [(symbol, self._feed.board.book(symbol)) for symbol in named]
        missing = [symbol for symbol, book in books if book is None or not book.bids]
        if missing and symbols:
            raise FxError(
                Kind.NOT_FOUND, "NO_BOOK", f"no order book of {', '.join(missing)}: its feed has no depth"
            )
        return [book for _, book in books if book is not None and book.bids]

    def stream_books(self, symbols: Sequence[str]) -> AsyncIterator[OrderBook | None]:
        """The last books, then each change, newest first for a slow reader."""
        require_known(symbols)
        wanted = frozenset(symbols)
        current = [self._feed.board.book(quote.symbol) for quote in pick(self._feed.board, symbols)[0]]
        return self._feed.beating(
            self._feed.books.subscribe(
                lambda book: not wanted or book.symbol in wanted,
                first=[book for book in current if book is not None and book.bids],
                keep_latest_by=lambda book: book.symbol,
            )
        )

    async def clocks(self, symbol: str) -> list[MarketClock]:
        """Clock of a symbol's active session, or of all. FxError NOT_FOUND `UNKNOWN_SYMBOL`,
        `UNKNOWN_SESSION`.
        """
        if not symbol:
            return self._active_clocks()
        instrument(symbol)
        session = self._feed.sessions.feeding(symbol)
        if session is None or symbol not in session.clocks:
            raise FxError(Kind.NOT_FOUND, "UNKNOWN_SESSION", f"no feed of {symbol} is running")
        return [session.clocks[symbol]]

    def _active_clocks(self) -> list[MarketClock]:
        clocks = []
        for session in self._feed.sessions.all(active_only=True):
            latest = max(session.clocks.values(), key=lambda clock: clock.time_ns, default=None)
            if latest is not None:
                clocks.append(latest)
        return clocks

    async def stream_clocks(self) -> AsyncIterator[list[MarketClock]]:
        """All active clocks, twice a second."""
        while True:
            yield self._active_clocks()
            await self._clock.sleep(CLOCK_S)

    async def sessions(self, *, active_only: bool) -> list[FeedSession]:
        """Feed sessions, newest first."""
        return self._feed.sessions.all(active_only=active_only)
