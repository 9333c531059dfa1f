"""Databases with a history: orders that the engine took, the paper venue answered and the store committed,
many in a step. One process does it, so that it is soon done; nothing in the database is made by hand.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from bench.trading.surroundings import ACCOUNT
from services.market.instruments import instrument
from services.market.ticks import TickBatch
from services.runtime import context
from services.runtime.clock import WallClock
from services.runtime.store import SqliteStore
from services.runtime.traces import ContextTracer
from services.trading_gateway.adapters.metrics import PrometheusMeter
from services.trading_gateway.adapters.schema import Schema
from services.trading_gateway.adapters.store import TradingStore
from services.trading_gateway.domain.autotrade import Policy
from services.trading_gateway.domain.engine import Engine
from services.trading_gateway.domain.inputs import CancelOrder, OpenAccount, PlaceOrder, SessionStarted
from services.trading_gateway.domain.markets import Session
from services.trading_gateway.domain.orders import Leg, Terms
from services.trading_gateway.domain.rules import Rules
from services.trading_gateway.domain.values import OrderType, Side, TimeInForce
from services.trading_gateway.handlers.desk import Conduct, Desk

PRICES = {"EURUSD": 110_000, "GBPUSD": 130_000, "AUDUSD": 66_000, "NZDUSD": 60_000, "USDJPY": 150_000}
ACCOUNTS = (ACCOUNT, *(f"{ACCOUNT}-{number}" for number in range(1, 20)))
RULES = Rules(
    orders_per_second=10**9,
    order_notional=10**15,
    position_notional=10**15,
    currency_exposure=10**15,
    price_collar=1,  # type: ignore[arg-type]  # a whole number does
)
"""Nothing is refused, whatever its price."""
POLICY = Policy()
STEP = 250
"""Orders placed in one step and committed together."""
SIZE = 1_000_00
SEED = 20140501


@dataclass
class Relay:
    """An outbox that nobody empties."""

    backlog: int = 0
    full: bool = False

    def wake(self) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What a database holds: counts of orders by kind, the digest of its events, and seconds of processor
    that an order took.
    """

    orders: int
    events: str
    cpu_s: float


@dataclass
class Filler:
    """Fills one database. `shares`: of a hundred orders how many of each kind."""

    desk: Desk
    shares: Mapping[str, int]
    began_ns: int = field(default_factory=lambda: time.time_ns() // 10**9 * 10**9)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self._ticks = 0
        self._random = random.Random(SEED)
        self._kinds: dict[str, Callable[[Engine, str, str, str, int], None]] = {
            "filled": self._filled,
            "working": self._working,
            "cancelled": self._cancelled,
            "bracket": self._bracket,
        }

    async def open(self) -> None:
        """A market, and accounts on it."""
        with self.desk.step() as engine:
            session = Session("bench", replay=False, symbols=tuple(PRICES), always_open=True)
            engine.session_started(SessionStarted(self.began_ns, session))
            for each in ACCOUNTS:
                engine.open_account(OpenAccount(self.began_ns, each, "USD", 10**13, auto_trade=False))
            self._tick(engine)
        await self.desk.settle()

    async def fill(self, orders: int) -> None:
        """So many orders more."""
        names = list(self.shares)
        kinds = self._random.choices(names, [self.shares[name] for name in names], k=orders)
        for start in range(0, orders, STEP):
            with self.desk.step() as engine:
                if start % (20 * STEP) == 0:
                    self._tick(engine)
                for kind in kinds[start : start + STEP]:
                    key = f"{kind}-{next(self._numbers)}"
                    account, symbol = self._random.choice(ACCOUNTS), self._random.choice(list(PRICES))
                    self._kinds[kind](engine, account, key, symbol, engine.time(""))
            await self.desk.settle()

    def _tick(self, engine: Engine) -> None:
        self._ticks += 1
        for symbol in PRICES:
            engine.read(ticks_of(symbol, self._ticks, self._ticks, self.began_ns), 0)

    def _filled(self, engine: Engine, account: str, key: str, symbol: str, time_ns: int) -> None:
        side = self._random.choice((Side.BUY, Side.SELL))
        terms = Terms(symbol, side, OrderType.MARKET, TimeInForce.IOC, SIZE)
        engine.place(PlaceOrder(time_ns, account, key, terms))

    def _working(self, engine: Engine, account: str, key: str, symbol: str, time_ns: int) -> None:
        engine.place(PlaceOrder(time_ns, account, key, _far(symbol)))

    def _cancelled(self, engine: Engine, account: str, key: str, symbol: str, time_ns: int) -> None:
        placed = engine.place(PlaceOrder(time_ns, account, key, _far(symbol)))
        engine.cancel(CancelOrder(time_ns, placed.order_id, "CANCELLED_BY_USER", "cancelled on request"))

    def _bracket(self, engine: Engine, account: str, key: str, symbol: str, time_ns: int) -> None:
        """Three orders: every other entry fills at once, and its legs work."""
        profit, loss = Leg(price=2 * PRICES[symbol]), Leg(price=PRICES[symbol] // 4)
        terms = _far(symbol, take_profit=profit, stop_loss=loss)
        if self._random.random() < 0.5:
            terms = Terms(
                symbol,
                Side.BUY,
                OrderType.MARKET,
                TimeInForce.IOC,
                SIZE,
                take_profit=profit,
                stop_loss=loss,
            )
        engine.place(PlaceOrder(time_ns, account, key, terms))


def _far(symbol: str, take_profit: Leg | None = None, stop_loss: Leg | None = None) -> Terms:
    """A limit order that no quote will reach."""
    return Terms(
        symbol,
        Side.BUY,
        OrderType.LIMIT,
        TimeInForce.GTC,
        SIZE,
        PRICES[symbol] // 2,
        take_profit=take_profit,
        stop_loss=stop_loss,
    )


def ticks_of(symbol: str, first: int, last: int, began_ns: int) -> TickBatch:
    """Ticks of a symbol by their numbers, a millisecond apart: the same for whoever asks."""
    numbers = range(first, last + 1)
    bids = [PRICES[symbol] + number % 7 for number in numbers]
    return TickBatch(
        "bench",
        symbol,
        first,
        instrument(symbol).digits,
        [began_ns + number * 1_000_000 for number in numbers],
        bids,
        [bid + 10 for bid in bids],
        (),
        (),
    )


async def fill(folder: Path, orders: int, shares: Mapping[str, int]) -> Filled:
    """Fill the database of a trading process whose data lies in `folder`."""
    schema = Schema()
    database = SqliteStore.open(folder / "trading.db", schema.metadata)
    store = TradingStore(database, schema)
    desk = Desk(
        store,
        Relay(),
        WallClock(),
        PrometheusMeter(CollectorRegistry()),
        Conduct(RULES, POLICY),
        structlog.get_logger(),
        ContextTracer(),
    )
    context.correlation_id.set("0192f0c1-0000-7000-8000-000000000000")
    await desk.start()
    filler, events, used = Filler(desk, shares), hashlib.sha256(), time.process_time()
    await filler.open()
    outbox = schema.outbox.store(database)
    for start in range(0, orders, 20 * STEP):
        await filler.fill(min(20 * STEP, orders - start))
        while rows := await outbox.unpublished(10_000):
            for row in rows:
                events.update(row.type.encode() + row.payload)
            await outbox.published(rows[-1].position)
    cpu_s = (time.process_time() - used) / orders
    number = desk.engine.book.order_number
    await desk.finish()
    await database.close()
    return Filled(number, events.hexdigest(), cpu_s)
