"""Following the feed: every tick of every session, resumed where the books left off.

A position is kept for each feed, so a broken stream or a restart loses no tick while market data still holds
it; when it does not any more, the first tick after the hole is not traded on.
"""

from __future__ import annotations

from enum import Enum

from services.errors import FxError
from services.trading_gateway.domain.inputs import SessionStarted
from services.trading_gateway.handlers.desk import Desk
from services.trading_gateway.handlers.lockstep import Lockstep
from services.trading_gateway.handlers.orders import Orders
from services.trading_gateway.handlers.reading import Reading
from services.trading_gateway.ports import Announced, Barrier, FeedItem, MarketData, TicksCame

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 5.0


class _Plan(Enum):
    """Which positions to ask for: market data refuses them all when one is gone."""

    ALL = "all"
    LEARN = "learn"
    """None, to hear which sessions run."""
    RUNNING = "running"
    """Those of the sessions heard of."""
    NONE = "none"


class _StartOverError(Exception):
    """The stream must be opened again, with other positions."""


class Following:
    """Reads the feed into the books."""

    def __init__(
        self, desk: Desk, market: MarketData, orders: Orders, reading: Reading, lockstep: Lockstep
    ) -> None:
        self._desk = desk
        self._market = market
        self._orders = orders
        self._reading = reading
        self._lockstep = lockstep
        self._plan = _Plan.ALL
        self._from_start: set[tuple[str, str]] = set()
        self._lost: set[tuple[str, str]] = set()
        """Feeds whose start market data no longer holds: read from where they are."""
        self._running: set[str] = set()
        self._wanted: set[str] = set()
        self._heard = False

    def begin_anew(self) -> None:
        """The books were built as in a new process: go on where they are."""
        self._plan = _Plan.ALL
        self._from_start.clear()
        self._lost.clear()
        self._lockstep.begin_anew()

    async def run(self) -> None:
        """Background: follow for ever, coming back after every break."""
        delay_s = FIRST_DELAY_S
        while True:
            try:
                await self._follow()
            except _StartOverError:
                continue
            except FxError as failure:
                self._desk.log.info("feed.broken", error=str(failure))
                if failure.reason == "SEQUENCE_GONE":
                    self._lost |= self._from_start
                    self._from_start.clear()
                    self._plan = _Plan.NONE if self._plan is _Plan.RUNNING else _Plan.LEARN
                delay_s = FIRST_DELAY_S if self._heard else min(2 * delay_s, LONGEST_DELAY_S)
            await self._desk.clock.sleep(delay_s)

    async def mark(self, every_s: float) -> None:
        """Background: store how far ticks were read, so that a restart goes on near there."""
        while True:
            await self._desk.clock.sleep(every_s)
            try:
                with self._desk.step() as engine:
                    engine.journal.note_progress()
                await self._desk.settle()
            except FxError as failure:
                self._desk.log.warning("marks.not_committed", error=str(failure))

    async def handle(self, item: FeedItem) -> None:
        """Take one item of the feed. Raises FxError when the store fails."""
        self._desk.heard()
        match item:
            case Announced():
                await self._announced(item)
            case TicksCame():
                await self._ticks(item)
            case Barrier():
                self._lockstep.raised(item)
        self._desk.moved()

    async def _announced(self, item: Announced) -> None:
        with self._desk.step() as engine:
            engine.session_started(SessionStarted(self._desk.clock.now_ns(), item.session))
        await self._desk.settle()

    async def _ticks(self, item: TicksCame) -> None:
        session = self._desk.engine.book.markets.sessions.get(item.batch.session_id)
        if session is not None and session.replay:
            await self._lockstep.ticks(item)
        else:
            await self._reading.read(item)

    async def _follow(self) -> None:
        self._heard = False
        self._running.clear()
        self._lockstep.forget()
        generation, positions = self._desk.generation, self._positions()
        asked = {(session, symbol) for session, symbol, _ in positions}
        known = False
        async for item in self._market.ticks(positions):
            self._heard = True
            if self._desk.generation != generation:
                raise _StartOverError
            if not (known or isinstance(item, Announced)):
                known = True
                await self._sessions_known()
            await self.handle(item)
            if isinstance(item, Announced):
                self._missed(item, asked)

    def _positions(self) -> list[tuple[str, str, int]]:
        """Where to go on, by the plan at hand."""
        engine = self._desk.engine
        if self._plan in (_Plan.LEARN, _Plan.NONE):
            return []
        known = {(session, symbol): sequence for session, symbol, sequence in engine.positions()}
        if self._plan is _Plan.RUNNING:
            known = {key: sequence for key, sequence in known.items() if key[0] in self._wanted}
        known.update({key: 0 for key in self._from_start if key not in known})
        return [(*key, sequence) for key, sequence in sorted(known.items())]

    def _missed(self, item: Announced, asked: set[tuple[str, str]]) -> None:
        """A replay that began without us is read from its start."""
        self._running.add(item.session.session_id)
        if not item.session.replay or not item.ticks or self._plan in (_Plan.LEARN, _Plan.NONE):
            return
        keys = {(item.session.session_id, symbol) for symbol in item.session.symbols}
        if not keys <= asked and not keys <= self._from_start | self._lost:
            self._from_start |= keys
            raise _StartOverError

    async def _sessions_known(self) -> None:
        """All running sessions were announced: go on where they were left, and ask for missing quotes."""
        if self._plan is _Plan.LEARN:
            self._wanted = set(self._running)
            self._plan = _Plan.RUNNING
            if self._positions():
                raise _StartOverError
        self._plan = _Plan.ALL
        await self._orders.ask_quotes()
