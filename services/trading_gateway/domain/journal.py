"""The journal of inputs: numbers them, and names the ticks that were read before each.

Ticks are named by session, symbol and sequences, and only ahead of an input that may depend on them. Those
read after the last mark changed nothing durable; after a crash they are read again.
"""

from __future__ import annotations

from services.trading_gateway.domain import plain
from services.trading_gateway.domain.book import Book
from services.trading_gateway.domain.changes import JournalEntry
from services.trading_gateway.domain.feeds import Feed
from services.trading_gateway.domain.inputs import Input, TicksRead


class Journal:
    """Puts entries among the changes of the books, so that an input commits with what came of it."""

    def __init__(self, book: Book, number: int) -> None:
        """`number`: of the last entry there is; 0 for none."""
        self._book = book
        self._number = number
        self._unmarked: dict[tuple[str, str], Feed] = {}

    def enter(self, asked: Input) -> None:
        """Add an input that was applied, after the ticks read before it."""
        self.mark_all()
        self._append(asked)

    def note_read(self, feed: Feed) -> None:
        """Ticks of this feed were read."""
        self._unmarked[feed.state.scope, feed.state.symbol] = feed

    @property
    def number(self) -> int:
        """Of the last entry."""
        return self._number

    def note_progress(self) -> None:
        """Store how far ticks were read, without naming them: nothing depended on them so far."""
        for key, feed in self._unmarked.items():
            self._book.changes.feeds[key] = feed.state

    def mark_all(self) -> None:
        """Name all ticks read so far."""
        for feed in list(self._unmarked.values()):
            self.mark(feed)

    def mark(self, feed: Feed) -> None:
        """Name the ticks of one feed read so far."""
        self._unmarked.pop((feed.state.scope, feed.state.symbol), None)
        if feed.unmarked:
            first, last = feed.mark()
            state = feed.state
            self._book.changes.feeds[state.scope, state.symbol] = state
            self._append(TicksRead(state.time_ns, state.session_id, state.symbol, first, last))

    def _append(self, asked: Input) -> None:
        self._number += 1
        entry = JournalEntry(self._number, type(asked).__name__, asked.time_ns, plain.dump(asked))
        self._book.changes.journal.append(entry)
