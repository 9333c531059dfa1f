"""How an instance that follows knows what the leader knows: it loads a picture, then hears every change.

So each instance answers questions about prices by itself, and the one that takes over knows which sessions
and replays it has to end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from services.errors import FxError
from services.market_data.domain.history import TickMessage
from services.market_data.domain.sessions import FeedSession
from services.market_data.handlers.feed import Feed
from services.market_data.handlers.replays import Replays
from services.market_data.ports import Clock, Leader, Leadership, Picture

AGAIN_S = 0.2
REPLAYS_S = 1.0


class Mirror:
    """Fills the feed and the replays of this process from the leader's."""

    def __init__(
        self,
        feed: Feed,
        replays: Replays,
        leadership: Leadership,
        leader_at: Callable[[str], Leader],
        clock: Clock,
    ) -> None:
        self._feed = feed
        self._replays = replays
        self._leadership = leadership
        self._leader_at = leader_at
        self._clock = clock
        self._over: dict[str, set[str]] = {}
        self._look = asyncio.Event()
        self.loaded = asyncio.Event()
        """Set once a leader's picture was taken in."""

    async def keep(self, address: str) -> None:
        """Keep up with the leader at `address` until cancelled, coming back after every break."""
        leader = self._leader_at(address)
        while True:
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._books(leader))
                    group.create_task(self._list(leader))
                    await self._ticks(leader)
            except* FxError:  # it may be gone: the lease will say
                pass
            await self._clock.sleep(AGAIN_S)

    async def _ticks(self, leader: Leader) -> None:
        items = leader.ticks()
        first = await anext(items)  # the stream stands: from here on nothing is missed
        self._load(await leader.picture())
        self._take(first)
        async for item in items:
            self._take(item)

    def _load(self, picture: Picture) -> None:
        feed = self._feed
        feed.board.books_apart = True
        feed.history.clear()  # what comes does not follow on what was held
        self._over.clear()
        feed.sessions.replace(picture.sessions)
        for clock in picture.clocks:
            feed.sessions.get(clock.session_id).speed = clock.speed
        for quote in picture.quotes:
            feed.board.restore(quote)
            session = feed.sessions.known(quote.session_id)
            if session is not None:
                session.advance(quote.symbol, quote.time_ns, quote.sequence, 0)
        self._replays.reserve(picture.sessions)
        self.loaded.set()

    def _take(self, item: TickMessage | FeedSession | None) -> None:
        self._feed.heard()
        if isinstance(item, FeedSession):
            self._begun(item)
        elif item is not None:
            self._batch(item)

    def _begun(self, session: FeedSession) -> None:
        if session.replay is not None:
            self._replays.remember(session.replay)
        if self._feed.sessions.known(session.session_id) is None:
            self._feed.sessions.begin(session)
            self._replays.reserve([session])
        self._look.set()

    def _batch(self, message: TickMessage) -> None:
        batch, clock = message.batch, message.clock
        session = self._feed.sessions.get(batch.session_id)
        known = session.clocks.get(batch.symbol)
        if known is None or clock.sequence > known.sequence or not len(batch):
            session.speed, session.clocks[batch.symbol] = clock.speed, clock
            session.ticks += len(batch)
            self._feed.show(message)
        else:  # the picture was taken after it
            self._feed.history.add(message)
        if message.ended:
            self._ended(session, batch.symbol)

    def _ended(self, session: FeedSession, symbol: str) -> None:
        over = self._over.setdefault(session.session_id, set())
        over.add(symbol)
        if over >= set(session.symbols):
            if session.active:
                self._feed.sessions.end(session.session_id, self._clock.now_ns())
            self._look.set()

    def _correct(self, sessions: Sequence[FeedSession]) -> None:
        """When a session ended is for the leader to say: here it was only heard that it did."""
        for told in sessions:
            known = self._feed.sessions.known(told.session_id)
            if known is not None and not (known.active or told.active):
                known.ended_ns, known.ticks = told.ended_ns, told.ticks

    async def _books(self, leader: Leader) -> None:
        async for book in leader.books():
            self._feed.board.set_book(book)
            self._feed.books.publish(book)

    async def _list(self, leader: Leader) -> None:
        """Replays and ended sessions every second, and at once when a session begins or ends."""
        while True:
            self._look.clear()
            self._replays.mirror(await leader.replays())
            self._correct(await leader.sessions())
            try:
                async with asyncio.timeout(REPLAYS_S):
                    await self._look.wait()
            except TimeoutError:
                continue
