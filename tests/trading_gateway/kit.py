"""Builders for trading tests: a market one can tick, and an engine that commits to memory.

`Floor` does what the desk does around the engine (take changes, deliver requests) without a store, and keeps
everything that would have been stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from services.market.instruments import instrument
from services.market.ticks import TickBatch
from services.trading_gateway.domain.accounts import Account
from services.trading_gateway.domain.autotrade import Policy
from services.trading_gateway.domain.changes import Changes
from services.trading_gateway.domain.engine import Engine
from services.trading_gateway.domain.histories import History, Key, position_of
from services.trading_gateway.domain.inputs import (
    AmendOrder,
    CancelOrder,
    Facts,
    OpenAccount,
    PlaceOrder,
    SessionStarted,
)
from services.trading_gateway.domain.markets import Session
from services.trading_gateway.domain.orders import Amendment, Order, Terms
from services.trading_gateway.domain.positions import Position
from services.trading_gateway.domain.reports import Busted, OrderReport
from services.trading_gateway.domain.rules import Rules
from services.trading_gateway.domain.terms import Typed, TypedLeg, terms
from services.trading_gateway.domain.values import (
    OrderOrigin,
    OrderType,
    PositionMode,
    Side,
    TimeInForce,
    TriggerSide,
)

SECOND = 1_000_000_000
START = 1_399_460_400 * SECOND
"""Wednesday 7 May 2014, 11:00 UTC: the market is open."""
NO_FACTS = Facts()
LIVE_SESSION = Session(
    "syn-1", replay=False, symbols=("EURUSD", "USDJPY", "EURJPY", "EURGBP"), always_open=True
)
REPLAY_SESSION = Session("r1", replay=True, symbols=("EURUSD",), always_open=False)


def raw(symbol: str, price: str) -> int:
    """Decimal text as a raw price."""
    digits = instrument(symbol).digits
    whole, _, decimals = price.partition(".")
    return int(whole + decimals.ljust(digits, "0"))


def batch(
    prices: Sequence[tuple[str, str]],
    *,
    symbol: str = "EURUSD",
    session: str = "syn-1",
    first: int = 1,
    start_ns: int = START,
    step_ns: int = SECOND,
    sizes: tuple[int, int] | None = None,
) -> TickBatch:
    """Ticks of (bid, ask) one second apart; `sizes` whole units on (bid, ask)."""
    count = len(prices)
    return TickBatch(
        session,
        symbol,
        first,
        instrument(symbol).digits,
        [start_ns + step_ns * index for index in range(count)],
        [raw(symbol, bid) for bid, _ in prices],
        [raw(symbol, ask) for _, ask in prices],
        [sizes[0]] * count if sizes else (),
        [sizes[1]] * count if sizes else (),
    )


@dataclass
class Floor:
    """An engine with its surroundings in memory."""

    rules: Rules = field(default_factory=Rules)
    policy: Policy = field(default_factory=Policy)
    live: bool = True

    def __post_init__(self) -> None:
        self.engine = Engine(self.rules, self.policy)
        self.stored: list[Changes] = []
        self.sequences: dict[tuple[str, str], int] = {}
        self.now_ns = START
        self.batches: list[TickBatch] = []
        self.settle()

    def settle(self) -> None:
        """Commit, then let the venue answer, until nothing is left to do."""
        while changes := self.engine.take_changes():
            self.stored.append(changes)
            self.engine.deliver(changes.requests)

    def announce(self, session: Session = LIVE_SESSION) -> None:
        self.engine.session_started(SessionStarted(START, session))
        self.settle()

    def open(
        self,
        account_id: str = "demo",
        deposit: int = 10_000_000,
        currency: str = "USD",
        scope: str = "",
        mode: PositionMode = PositionMode.NETTING,
    ) -> Account:
        opened = self.engine.open_account(
            OpenAccount(self.now_ns, account_id, currency, deposit, True, scope, mode=mode)
        )
        self.settle()
        return opened

    def tick(
        self,
        *prices: tuple[str, str],
        symbol: str = "EURUSD",
        session: str = "syn-1",
        sizes: tuple[int, int] | None = None,
        at_ns: int | None = None,
        skip: int = 0,
    ) -> None:
        """Ticks one second after the last; `skip` leaves out sequences before them."""
        start_ns = self.now_ns + SECOND if at_ns is None else at_ns
        first = self.sequences.get((session, symbol), 0) + 1 + skip
        ticks = batch(prices, symbol=symbol, session=session, first=first, start_ns=start_ns, sizes=sizes)
        self.sequences[session, symbol] = ticks.last_sequence
        self.read(ticks)

    def read(self, ticks: TickBatch) -> None:
        self.batches.append(ticks)
        if len(ticks):
            self.now_ns = max(self.now_ns, ticks.times_ns[-1])
        self.engine.read(ticks, 0)
        self.settle()

    def place(
        self,
        key: str,
        side: Side,
        size: str,
        *,
        type_: OrderType = OrderType.MARKET,
        symbol: str = "EURUSD",
        limit: str = "",
        stop: str = "",
        trail: str = "",
        trigger: TriggerSide | None = None,
        post_only: bool = False,
        reduce_only: bool = False,
        tif: TimeInForce | None = None,
        expires_ns: int | None = None,
        account: str = "demo",
        facts: Facts = NO_FACTS,
        take_profit: TypedLeg | None = None,
        stop_loss: TypedLeg | None = None,
        link: str = "",
        after: str = "",
        position: str = "",
    ) -> Order:
        """Place an order and let it settle; answers the order as it is then."""
        typed = Typed(
            limit, stop, trail, trigger, post_only, reduce_only, take_profit, stop_loss, link, after, position
        )
        wanted: Terms = terms(symbol, side, type_, size, typed, tif, expires_ns)
        time_ns = max(self.engine.time(self.engine.book.account(account).session_id), self.now_ns)
        asked = PlaceOrder(time_ns, account, key, wanted, OrderOrigin.USER, facts)
        placed = self.engine.place(asked)
        self.settle()
        return self.engine.book.order(placed.order_id)

    def buy(self, key: str, size: str = "10000", **more: Any) -> Order:
        return self.place(key, Side.BUY, size, **more)

    def sell(self, key: str, size: str = "10000", **more: Any) -> Order:
        return self.place(key, Side.SELL, size, **more)

    def cancel(self, order: Order) -> Order:
        self.engine.cancel(CancelOrder(self.now_ns, order.order_id, "CANCELLED_BY_USER", ""))
        self.settle()
        return self.engine.book.order(order.order_id)

    def amend(self, order: Order, **change: int | None) -> Order:
        self.engine.amend(AmendOrder(self.now_ns, order.order_id, Amendment(**change)))
        self.settle()
        return self.engine.book.order(order.order_id)

    def bust(self, order: Order, execution_id: str, *, over: bool = True, cash: str | None = None) -> Order:
        """The venue takes an execution back: the order after it."""
        self.report(Busted(self.now_ns, order.order_id, execution_id, over, cash))
        return self.engine.book.order(order.order_id)

    def report(self, report: OrderReport) -> None:
        """What the venue says, with what is stored of the positions in hand."""
        book, position = self.engine.book, self.position_of(report.order_id)
        fills = [fill for stored in self.stored for fill in stored.fills if position_of(fill) == position]
        posted = (each for stored in self.stored for each in stored.transactions)
        book.adopt_history(position, History(tuple(fills), tuple(posted)))
        self.engine.report(report)
        self.settle()

    def position_of(self, order_id: str) -> Key:
        """The position that fills of an order change."""
        order = self.engine.book.order(order_id)
        return order.account_id, order.symbol, self.engine.book.position_id(order)

    def ticket(self, opening: Order) -> Position:
        """The position that an order of a hedging account opened."""
        return self.engine.book.position(opening.account_id, opening.symbol, opening.order_id)

    def account(self, account_id: str = "demo") -> Account:
        return self.engine.book.account(account_id)


def open_floor(*prices: tuple[str, str], rules: Rules | None = None, policy: Policy | None = None) -> Floor:
    """A floor with the live session, the demo account and one quote of EURUSD."""
    floor = Floor(rules or Rules(), policy or Policy())
    floor.announce()
    floor.open()
    floor.tick(*(prices or (("1.10000", "1.10010"),)))
    return floor
