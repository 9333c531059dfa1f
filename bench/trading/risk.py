"""Pre-trade checks a second of the risk engine alone: no wire, no journal, no store.

Each check is a whole one: the situation of an order that adds risk (positions and working orders of its
account, quotes, limits) and every check of market and account up to margin, daily loss and drawdown; none
objects. All quotes move after every sixteen orders. CPU time of this process is measured, so that what else
the machine does counts as little as it can.
"""

from __future__ import annotations

import itertools
import statistics
import time

from services.market.instruments import instrument
from services.market.ticks import TickBatch
from services.trading_gateway.domain import checks
from services.trading_gateway.domain.autotrade import Policy
from services.trading_gateway.domain.engine import Engine
from services.trading_gateway.domain.inputs import Facts, OpenAccount, PlaceOrder, SessionStarted
from services.trading_gateway.domain.markets import Session
from services.trading_gateway.domain.orders import Terms
from services.trading_gateway.domain.rules import Rules
from services.trading_gateway.domain.situations import situation
from services.trading_gateway.domain.values import OrderType, Side, TimeInForce

START_NS = 1_399_460_400 * 1_000_000_000  # a Wednesday
PRICES = {"EURUSD": 110_000, "GBPUSD": 169_000, "USDJPY": 102_000, "EURJPY": 112_200}
ORDERS_A_TICK = 4
"""Orders that meet the same quotes: what a busy account does between two ticks of the market."""


def floor(currency: str) -> Engine:
    """An account with three positions and two working orders."""
    engine = Engine(Rules(orders_per_second=10**9), Policy())
    session = Session("bench", replay=False, symbols=tuple(PRICES), always_open=True)
    engine.session_started(SessionStarted(START_NS, session))
    engine.open_account(OpenAccount(START_NS, "desk", currency, 1_000_000_00, auto_trade=False))
    for symbol in PRICES:
        tick(engine, symbol, 1)
    for number, symbol in enumerate(("EURUSD", "GBPUSD", "USDJPY")):
        order(engine, f"open{number}", market(symbol, 50_000_00))
    for number, price in enumerate((109_000, 108_900)):
        order(
            engine,
            f"rest{number}",
            Terms("EURUSD", Side.BUY, OrderType.LIMIT, TimeInForce.GTC, 1_000_00, price),
        )
    return engine


def market(symbol: str, size: int) -> Terms:
    return Terms(symbol, Side.BUY, OrderType.MARKET, TimeInForce.IOC, size)


def order(engine: Engine, key: str, terms: Terms) -> None:
    engine.place(PlaceOrder(START_NS, "desk", key, terms))
    while changes := engine.take_changes():
        engine.deliver(changes.requests)


def tick(engine: Engine, symbol: str, number: int) -> None:
    """The next quote: a point up, a point down."""
    bid = PRICES[symbol] + number % 2
    time_ns = START_NS + number * 1_000_000
    batch = TickBatch(
        "bench", symbol, number, instrument(symbol).digits, [time_ns], [bid], [bid + 10], (), ()
    )
    engine.read(batch, 0)
    engine.take_changes()


def rate(engine: Engine, seconds: float, numbers: itertools.count[int]) -> float:
    """Checks a second of CPU."""
    book, facts, done = engine.book, Facts(both_currencies=True), 0
    account = book.account("desk")
    wanted = [market(symbol, 10_000_00) for symbol in PRICES]
    spent = 0.0
    while spent < seconds:
        number = next(numbers)
        for symbol in PRICES:
            tick(engine, symbol, number)
        began = time.process_time()
        for _ in range(ORDERS_A_TICK):
            for terms in wanted:
                found = checks.refusal(situation(book, account, terms, facts, START_NS))
                if found is not None:
                    raise SystemExit(f"refused: {found}")
        spent += time.process_time() - began
        done += ORDERS_A_TICK * len(wanted)
    return done / spent


def measure(rounds: int, seconds: float) -> None:
    """Measure and print."""
    for currency in ("USD", "EUR"):
        engine, numbers = floor(currency), itertools.count(2)
        rate(engine, seconds / 5, numbers)
        middle = statistics.median(rate(engine, seconds, numbers) for _ in range(rounds))
        print(f"{currency} account: {middle:,.0f} checks/s, {1e6 / middle:.1f} µs each (target 50,000/s)")
