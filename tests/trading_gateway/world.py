"""Trading on its real store, between peers of paper: a feed that a test pushes, an analysis that says what it
is told.

`restart` composes it anew on the same database, as a new process would.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from services.errors import FxError, Kind
from services.market.ticks import TickBatch
from services.runtime.clock import EventClock
from services.runtime.store import Database
from services.runtime.traces import ContextTracer
from services.tracing import Tracer
from services.trading_gateway.adapters.schema import Schema
from services.trading_gateway.adapters.store import TradingStore
from services.trading_gateway.config import Settings
from services.trading_gateway.domain.changes import Changes
from services.trading_gateway.domain.feeds import Quote
from services.trading_gateway.domain.inputs import Opinion, Signal, TicksRead
from services.trading_gateway.domain.markets import Session
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.terms import Typed, terms
from services.trading_gateway.domain.values import OrderType, Side, TimeInForce
from services.trading_gateway.handlers import (
    Accounts,
    Desk,
    Flattening,
    Following,
    Halting,
    Interleaving,
    Lockstep,
    Orders,
    Reading,
    RiskLimits,
    Signals,
    Storms,
    Trailing,
    VenueLinks,
)
from services.trading_gateway.ports import Announced, Depth, FeedItem, Store, TicksCame, Venue
from tests.kit.databases import chosen
from tests.kit.events import quiet_log
from tests.trading_gateway.kit import LIVE_SESSION, SECOND, START, batch


class Outside(Venue, Protocol):
    """A venue outside with a market of its own."""

    async def quote(self, quote: Quote) -> None:
        """The next of its quotes."""


AWAY = FxError(Kind.UNAVAILABLE, "PEER_UNAVAILABLE", "nobody is there")
GONE = FxError(Kind.OUT_OF_RANGE, "SEQUENCE_GONE", "gone")


class Clock(EventClock):
    """Moves by itself when somebody sleeps, after letting everybody else run."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0.001)
        await self.advance_to(self.now_ns() + round(seconds * 1e9))


@dataclass
class Market:
    """Market data: what it answers, what it was told. A stream gives `items` pushed after it was opened."""

    known: list[Quote] = field(default_factory=list)
    books: dict[str, Depth] = field(default_factory=dict)
    acknowledged: list[tuple[str, str, int, bool]] = field(default_factory=list)
    failures: list[FxError] = field(default_factory=list)
    """Raised first, one a call of anything but `ticks`."""
    opened: list[list[tuple[str, str, int]]] = field(default_factory=list)
    refusals: list[FxError] = field(default_factory=list)
    """Raised by the next streams instead of items."""
    streams: list[asyncio.Queue[FeedItem | FxError]] = field(default_factory=list)

    async def ticks(self, positions: Sequence[tuple[str, str, int]]) -> AsyncIterator[FeedItem]:
        self.opened.append(list(positions))
        if self.refusals:
            raise self.refusals.pop(0)
        queue: asyncio.Queue[FeedItem | FxError] = asyncio.Queue()
        self.streams.append(queue)
        while True:
            item = await queue.get()
            if isinstance(item, FxError):
                raise item
            yield item

    async def quotes(self) -> list[Quote]:
        self._fail()
        return self.known

    async def depth(self, symbol: str) -> Depth | None:
        self._fail()
        return self.books.get(symbol)

    async def acknowledge(self, session_id: str, symbol: str, sequence: int, *, ended: bool) -> None:
        self._fail()
        self.acknowledged.append((session_id, symbol, sequence, ended))

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)


@dataclass
class Opinions:
    """Analysis."""

    range: int | None = 100
    others: tuple[Opinion, ...] = ()
    failure: FxError | None = None
    asked: list[str] = field(default_factory=list)
    reached: tuple[int, int] = (0, 0)
    """How far it is: sequence, signals."""

    async def average_range(self, signal: Signal) -> int | None:
        self.asked.append(signal.signal_id)
        if self.failure is not None:
            raise self.failure
        return self.range

    async def progress(self, session_id: str, symbol: str) -> tuple[int, int]:
        if self.failure is not None:
            raise self.failure
        return self.reached

    async def opinions(self, signal: Signal) -> tuple[Opinion, ...]:
        if self.failure is not None:
            raise self.failure
        return self.others


@dataclass
class Relay:
    """An outbox that nobody empties."""

    backlog: int = 0
    full: bool = False

    def wake(self) -> None:
        """Nothing."""


@dataclass
class Counts:
    """A meter one can read."""

    ticks_read: int = 0
    drifts: list[str] = field(default_factory=list)
    commits: int = 0

    def committed(self, changes: Changes) -> None:
        self.commits += 1

    def ticks(self, count: int) -> None:
        self.ticks_read += count

    def drift(self, endpoint: str) -> None:
        self.drifts.append(endpoint)


class World:
    """All handlers on one database."""

    def __init__(self, folder: Path, settings: Settings | None = None) -> None:
        self.folder = folder
        self.settings = settings or Settings()
        self.market = Market()
        self.analysis = Opinions()
        self.relay = Relay()
        self.counts = Counts()
        self.clock: EventClock = Clock(START)
        self.tracer: Tracer = ContextTracer()
        self.sequences: dict[tuple[str, str], int] = {}
        self.sent: list[TickBatch] = []
        self.background: list[asyncio.Task[None]] = []
        self.venues: dict[str, Outside] = {}
        """Venues outside, by name; they outlive a restart."""

    def store_of(self, database: Database, schema: Schema) -> Store:
        """The store in use; tests of failures put something in between."""
        return TradingStore(database, schema)

    async def start(self) -> None:
        schema = Schema()
        self.database = chosen().open(self.folder / "trading.db", schema.metadata)
        self.schema = schema
        self.store = self.store_of(self.database, schema)
        settings, log = self.settings, quiet_log()
        self.desk = Desk(
            self.store, self.relay, self.clock, self.counts, settings.conduct(), log, self.tracer
        )
        self.orders = Orders(self.desk, self.market)
        self.flattening = Flattening(self.desk, self.orders)
        self.accounts = Accounts(self.desk)
        self.halting = Halting(self.desk, self.accounts)
        self.limits = RiskLimits(self.desk)
        self.storms = Storms(self.desk)
        self.signals = Signals(
            self.desk,
            self.orders,
            self.analysis,
            settings.signal_wait_seconds,
            drift_reduces=settings.drift_reduces,
        )
        self.links = VenueLinks(self.desk, self.venues, settings.patience())
        self.reading = Reading(
            self.desk, settings.replay_accounts(), [each.quote for each in self.venues.values()]
        )
        interleaving = Interleaving(self.signals, self.reading)
        self.trailing = Trailing(self.desk, self.analysis, self.signals, interleaving)
        self.lockstep = Lockstep(
            self.desk, self.market, self.signals, self.reading, interleaving, self.trailing
        )
        self.following = Following(self.desk, self.market, self.orders, self.reading, self.lockstep)
        await self.desk.start()
        await self.accounts.open_first(settings.first_account())

    async def end_background(self) -> None:
        """What runs beside, the sessions with venues among it, ends."""
        for task in self.background:
            task.cancel()
        await asyncio.gather(*self.background, return_exceptions=True)
        self.background.clear()

    async def stop(self) -> None:
        await self.end_background()
        await self.links.stand_down()
        await self.desk.finish()
        await self.database.close()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    def run(self, *names: str) -> None:
        """Start background loops: "following", "lockstep", "trailing", "signals", "recover", "venues"."""
        loops = {
            "following": self.following.run,
            "lockstep": self.lockstep.run,
            "signals": self.signals.run,
            "trailing": self.trailing.run,
            "recover": self.desk.recover,
            "venues": self.links.run,
        }
        self.background += [asyncio.create_task(loops[name](), name=name) for name in names]

    async def announce(self, session: Session = LIVE_SESSION, ticks: int = 0) -> None:
        await self.following.handle(Announced(session, ticks))

    def ticks_of(self, mark: TicksRead) -> TickBatch:
        """The ticks that an entry of the journal names."""
        (found,) = (
            each
            for each in self.sent
            if (each.session_id, each.symbol) == (mark.session_id, mark.symbol)
            and each.first_sequence <= mark.first
            and each.last_sequence >= mark.last
        )
        return found[mark.first - found.first_sequence : mark.last - found.first_sequence + 1]

    async def tick(
        self,
        *prices: tuple[str, str],
        symbol: str = "EURUSD",
        session: str = "syn-1",
        sizes: tuple[int, int] | None = None,
        ended: bool = False,
        skip: int = 0,
    ) -> TickBatch:
        """The next ticks, one second apart, read at once."""
        first = self.sequences.get((session, symbol), 0) + 1 + skip
        start_ns = START + first * SECOND
        ticks = batch(prices, symbol=symbol, session=session, first=first, start_ns=start_ns, sizes=sizes)
        self.sequences[session, symbol] = max(ticks.last_sequence, first - 1)
        self.sent.append(ticks)
        self.desk.heard()
        await self.reading.read(TicksCame(ticks, 0, ended))
        return ticks

    async def signal(self, signal: Signal) -> None:
        """A signal comes from the bus and is decided about at once."""
        await self.signals.on_signal(signal)
        for each in self.signals.undecided(signal.session_id):
            await self.signals.decide(each)

    async def all_decided(self) -> None:
        """Return once no signal waits, and what was decided is stored."""
        await until(lambda: not self.desk.engine.undecided)
        await self.desk.durable()

    async def at_rest(self) -> None:
        """Return once all has happened that can: loops had their turns, what they began is stored."""
        for _ in range(5):
            for _ in range(20):
                await asyncio.sleep(0)
            await self.desk.finish()
            await self.desk.durable()

    async def place(
        self,
        key: str,
        side: Side,
        size: str = "10000",
        *,
        type_: OrderType = OrderType.MARKET,
        symbol: str = "EURUSD",
        limit: str = "",
        stop: str = "",
        tif: TimeInForce | None = None,
        account: str = "demo",
    ) -> Order:
        wanted = terms(symbol, side, type_, size, Typed(limit, stop), tif)
        return await self.orders.place(account, key, wanted)


async def until(reached: Callable[[], bool]) -> None:
    """Return once it holds; fails after a while."""
    async with asyncio.timeout(60):
        while not reached():  # noqa: ASYNC110  # what it looks at has no event
            await asyncio.sleep(0.002)
