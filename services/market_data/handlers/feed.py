"""Where every tick passes: stored on the bus first, then shown to quotes, books, clocks and streams.

That order matters: nobody acts on a tick that the platform could still lose.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TypeVar, cast

from services.broadcast import Broadcast
from services.errors import FxError, Kind
from services.market.calendar import calendar
from services.market.clock import MarketClock
from services.market.instruments import instrument
from services.market_data.domain.history import TickHistory, TickMessage
from services.market_data.domain.lockstep import Lockstep
from services.market_data.domain.quotes import OrderBook, Quote, QuoteBoard
from services.market_data.domain.sessions import FeedSession, Sessions
from services.market_data.ports import Clock, Leadership, Publisher

UPDATE_S = 0.25
"""Conflated quotes leave at most four times a second."""
BEAT_S = 1.0
"""A quiet symbol is repeated once a second, so that its consumers know the feed lives and what time it is."""
BOOK_S = 1.0
RETRY_S = 0.25
HELD_UP_S = 1.0
"""How long the bus may take for a batch before the feed counts as held up. It takes milliseconds."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Barrier:
    """Analysis is done with ticks up to `sequence`, having published `signals` signals in the session so
    far.
    """

    session_id: str
    symbol: str
    sequence: int
    signals: int


StreamItem = TickMessage | FeedSession | Barrier


class Feed:
    """Takes ticks in and hands them on."""

    def __init__(
        self, publisher: Publisher, clock: Clock, history_ticks: int, leadership: Leadership
    ) -> None:
        self.board = QuoteBoard()
        self.sessions = Sessions()
        self.history = TickHistory(history_ticks)
        self.lockstep: dict[tuple[str, str], Lockstep] = {}
        self.ticks: Broadcast[StreamItem] = Broadcast()
        self.quotes: Broadcast[Quote] = Broadcast()
        self.books: Broadcast[OrderBook] = Broadcast()
        self._publisher = publisher
        self._clock = clock
        self._leadership = leadership
        self._own: set[str] = set()
        """Sessions begun by this process: it publishes of no other."""
        self._book_revision: dict[str, int] = {}
        self._changed_books: dict[str, OrderBook] = {}
        self._heard_s = clock.monotonic()
        self._waiting: deque[float] = deque()
        """Since when each of those waits that has prices which the bus did not take yet; oldest first."""

    def quiet_s(self) -> float:
        """Seconds since the last tick while a session runs, 0 while none does."""
        running = bool(self.sessions.all(active_only=True))
        return self._clock.monotonic() - self._heard_s if running else 0.0

    def begin(self, session: FeedSession) -> FeedSession:
        """Start a session and tell the tick streams."""
        self.sessions.begin(session)
        self._own.add(session.session_id)
        self.heard()
        self.ticks.publish(
            replace(session, clocks={})
        )  # as it is now: readers may be slow, the session goes on
        return session

    def heard(self) -> None:
        """A feed gave something just now."""
        self._heard_s = self._clock.monotonic()

    async def end_past(self, ends: Sequence[TickMessage]) -> None:
        """Ends that another process did not live to publish, before anything of this one. Nobody else
        publishes of those sessions any more, so leading is not asked for.
        """
        await self._store(ends)

    async def end_running(self, ended_ns: int) -> None:
        """End the sessions of a leader that is gone, for everybody."""
        running = self.sessions.all(active_only=True)
        await self.end_past([end for session in running for end in ends(session)])
        for session in running:
            self._end(session, ended_ns)

    def let_go(self, ended_ns: int) -> None:
        """Another instance leads: it has ended what ran here. Readers of ticks are to come to it."""
        for session in self.sessions.all(active_only=True):
            self._end(session, ended_ns)
        self.ticks.close()
        self.ticks = Broadcast()

    def _end(self, session: FeedSession, ended_ns: int) -> None:
        for end in ends(session):
            self.show(end)
        self.sessions.end(session.session_id, ended_ns)

    def message(self, message_batch: TickMessage) -> TickMessage:
        """The message with its session's clock advanced to it."""
        batch, session = message_batch.batch, self.sessions.get(message_batch.batch.session_id)
        clock = session.advance(batch.symbol, message_batch.clock.time_ns, batch.last_sequence, len(batch))
        return TickMessage(batch, clock, message_batch.ended)

    async def ingest(self, messages: Sequence[TickMessage], books: Sequence[OrderBook] = ()) -> None:
        """Store batches on the bus, waiting for it as long as it takes, then show them to everybody."""
        dated = [self.message(each) for each in messages]
        since = self._clock.monotonic()
        self._waiting.append(since)
        try:
            while not self._leadership.held:
                await self._clock.sleep(RETRY_S)
            await self._store(dated)
        finally:
            self._waiting.remove(since)
        self.heard()
        for book in books:
            self.board.set_book(book)
            self._changed_books[book.symbol] = book
        for message in dated:
            self.show(message)

    def show(self, message: TickMessage) -> None:
        """Hand a stored batch to everybody here: history, tick streams, quotes and books."""
        batch = message.batch
        self.history.add(message)
        self.ticks.publish(message)
        if not len(batch):
            return
        session = self.sessions.get(batch.session_id)
        if self.sessions.feeding(batch.symbol) is not session:
            return
        terms = instrument(batch.symbol)
        hours = calendar("always_open" if session.always_open else terms.calendar)
        quote = self.board.apply(batch, hours)
        self.quotes.publish(quote)
        book = None if self.board.books_apart else self.board.book(batch.symbol)
        if book is not None and book.bids:
            self.books.publish(book)

    async def consumers_backlog(self, symbol: str) -> Mapping[str, int]:
        """Tick batches that each required consumer has still to handle."""
        return await self._publisher.backlog(symbol)

    async def _store(self, messages: Sequence[TickMessage]) -> None:
        while True:
            try:
                return await self._publisher.ticks(messages)
            except FxError as error:
                # The ids are those of the ticks, so what was stored after all is dropped as a duplicate.
                if error.kind not in (Kind.UNAVAILABLE, Kind.DEADLINE_EXCEEDED):
                    raise
                await self._clock.sleep(RETRY_S)

    async def publish_updates(self) -> None:
        """Loop: conflated quotes and books to the bus."""
        since_book_s = 0.0
        while True:
            await self._clock.sleep(UPDATE_S)
            since_book_s += UPDATE_S
            if not self._leadership.held:
                continue
            updates = [
                (revision, quote, self._clock_of(quote))
                for revision, quote in self.board.due_updates(UPDATE_S, BEAT_S)
                if quote.session_id in self._own
            ]
            try:
                await self._publisher.updates(updates)
                if since_book_s >= BOOK_S:
                    since_book_s = 0.0
                    await self._publisher.books(self._due_books())
            except FxError as error:
                # Conflated data: the next round brings newer ones, so nothing is tried again.
                if error.kind not in (Kind.UNAVAILABLE, Kind.DEADLINE_EXCEEDED):
                    raise

    def _clock_of(self, quote: Quote) -> MarketClock:
        session = self.sessions.get(quote.session_id)
        clock = session.clocks[quote.symbol]
        if session.active and session.always_open:
            return MarketClock(
                clock.session_id, max(clock.time_ns, self._clock.now_ns()), 1.0, clock.sequence
            )
        return clock

    def _due_books(self) -> list[tuple[int, OrderBook]]:
        due = []
        for symbol, book in sorted(self._changed_books.items()):
            key = f"{book.session_id}/{symbol}"
            self._book_revision[key] = self._book_revision.get(key, 0) + 1
            due.append((self._book_revision[key], book))
        self._changed_books.clear()
        return due

    def flows(self) -> bool:
        """False while prices are there that nobody is shown, since the bus does not take them; or, where
        another instance leads, while that one is silent.
        """
        now = self._clock.monotonic()
        if not self._leadership.held and now - self._heard_s > BEAT_S + HELD_UP_S:
            return False
        return not self._waiting or now - self._waiting[0] <= HELD_UP_S

    async def beating(self, items: AsyncIterator[T | None]) -> AsyncIterator[T | None]:
        """A stream of this feed without its heartbeats while the feed does not flow: who waits for prices
        must not take silence for a quiet market.
        """
        async with aclosing(cast("AsyncGenerator[T | None]", items)) as each_item:
            async for item in each_item:
                if item is not None or self.flows():
                    yield item

    def stream_ticks(
        self, symbols: frozenset[str], resume: Sequence[tuple[str, str, int]]
    ) -> AsyncIterator[StreamItem | None]:
        """Active sessions, what was missed since each (session, symbol, sequence), standing barriers, then
        all new; None where nothing came for a while though the feed flows.
        """
        active = reversed(self.sessions.all(active_only=True))
        first: list[StreamItem] = [replace(session, clocks=dict(session.clocks)) for session in active]
        for session_id, symbol, sequence in resume:
            first.extend(self.history.after(session_id, symbol, sequence))
        first.extend(
            Barrier(step.session_id, step.symbol, step.barrier, step.signals)
            for step in self.lockstep.values()
            if step.barrier is not None
        )
        return self.beating(
            self.ticks.subscribe(
                lambda item: not symbols or _symbols(item) & symbols != frozenset(), first=first
            )
        )


def ends(session: FeedSession) -> list[TickMessage]:
    """The end of each symbol of a session, after what is known of it."""
    return [
        TickMessage.end(
            session.clocks.get(symbol, MarketClock(session.session_id, 0, session.speed, 0)),
            symbol,
            instrument(symbol).digits,
        )
        for symbol in session.symbols
    ]


def _symbols(item: StreamItem) -> frozenset[str]:
    if isinstance(item, TickMessage):
        return frozenset((item.batch.symbol,))
    return frozenset(item.symbols) if isinstance(item, FeedSession) else frozenset((item.symbol,))
