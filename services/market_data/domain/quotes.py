"""The last quote and order book of each symbol, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from services.market.calendar import Calendar
from services.market.ticks import TickBatch


class Quality(Enum):
    """What is wrong with a quote, if anything; only GOOD ones are traded on."""

    GOOD = "good"
    CROSSED = "crossed"
    STALE = "stale"
    GAPPED = "gapped"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Quote:
    """Top of book after a tick. Prices scaled by the instrument's digits, sizes in whole units, None
    unknown.
    """

    session_id: str
    symbol: str
    sequence: int
    time_ns: int
    bid: int
    ask: int
    bid_size: int | None
    ask_size: int | None
    quality: Quality
    market_open: bool


@dataclass(frozen=True, slots=True)
class OrderBook:
    """Levels (price, size), best first; one a side when the feed has no depth, none when it knows no
    sizes.
    """

    session_id: str
    symbol: str
    sequence: int
    time_ns: int
    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]


@dataclass(slots=True)
class _Entry:
    quote: Quote
    revision: int = 0
    published: Quote | None = None
    quiet_s: float = 0.0


@dataclass(slots=True)
class QuoteBoard:
    """Last quote of every symbol. A new session's tick replaces the old session's quote."""

    _entries: dict[str, _Entry] = field(default_factory=dict)
    _books: dict[str, OrderBook] = field(default_factory=dict)
    books_apart: bool = False
    """Books come on a way of their own, a moment before or after the quote they go with."""

    def restore(self, quote: Quote) -> None:
        """A quote as another board had it."""
        self._entries[quote.symbol] = _Entry(quote)

    def apply(self, batch: TickBatch, hours: Calendar) -> Quote:
        """Quote after the last tick of a batch that is not empty."""
        last = len(batch) - 1
        time_ns = batch.times_ns[last]
        is_open = hours.is_open(time_ns)
        quality = Quality.GOOD
        if batch.crossed(last):
            quality = Quality.CROSSED
        elif not is_open:
            quality = Quality.CLOSED
        quote = Quote(
            batch.session_id,
            batch.symbol,
            batch.last_sequence,
            time_ns,
            batch.bids[last],
            batch.asks[last],
            batch.bid_sizes[last] if batch.bid_sizes else None,
            batch.ask_sizes[last] if batch.ask_sizes else None,
            quality,
            is_open,
        )
        entry = self._entries.get(batch.symbol)
        if entry is None or entry.quote.session_id != batch.session_id:
            self._entries[batch.symbol] = _Entry(quote)
        else:
            entry.quote = quote
        return quote

    def set_book(self, book: OrderBook) -> None:
        """The book that goes with the symbol's last quote."""
        self._books[book.symbol] = book

    def quote(self, symbol: str) -> Quote | None:
        """The last quote, None before the first."""
        entry = self._entries.get(symbol)
        return entry.quote if entry else None

    def quotes(self) -> list[Quote]:
        """All last quotes, by symbol."""
        return [self._entries[symbol].quote for symbol in sorted(self._entries)]

    def book(self, symbol: str) -> OrderBook | None:
        """The last book; without depth, the top of the last quote when its sizes are known."""
        quote, book = self.quote(symbol), self._books.get(symbol)
        if quote is None:
            return None
        same = book is not None and book.session_id == quote.session_id
        if book is not None and same and (self.books_apart or book.sequence == quote.sequence):
            return book
        bids = () if quote.bid_size is None else ((quote.bid, quote.bid_size),)
        asks = () if quote.ask_size is None else ((quote.ask, quote.ask_size),)
        return OrderBook(quote.session_id, symbol, quote.sequence, quote.time_ns, bids, asks)

    def due_updates(self, elapsed_s: float, beat_s: float) -> list[tuple[int, Quote]]:
        """Quotes to publish now, each with its revision: those that changed, and quiet ones after
        `beat_s`.
        """
        due = []
        for symbol in sorted(self._entries):
            entry = self._entries[symbol]
            entry.quiet_s += elapsed_s
            if entry.quote is not entry.published or entry.quiet_s >= beat_s:
                entry.revision += 1
                entry.published, entry.quiet_s = entry.quote, 0.0
                due.append((entry.revision, entry.quote))
        return due


def pick(board: QuoteBoard, symbols: Sequence[str]) -> tuple[list[Quote], list[str]]:
    """Quotes of the symbols asked for (all when none is named), and the symbols that have none."""
    if not symbols:
        return board.quotes(), []
    found = [(symbol, board.quote(symbol)) for symbol in symbols]
    return [quote for _, quote in found if quote], [symbol for symbol, quote in found if quote is None]
