"""Random runs of the whole engine: the books reconcile, and the journal gives them again byte for byte."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import date
from fractions import Fraction
from random import Random

import pytest

from services.errors import FxError
from services.market.ticks import TickBatch, merge
from services.trading_gateway.domain import plain
from services.trading_gateway.domain.book import Book
from services.trading_gateway.domain.changes import Changes, JournalEntry
from services.trading_gateway.domain.fills import Fill
from services.trading_gateway.domain.financing_table import FinancingTable, Rates
from services.trading_gateway.domain.inputs import Facts, SetLimits, TicksRead
from services.trading_gateway.domain.limits import LimitName, LimitSetting
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.positions import Position
from services.trading_gateway.domain.reconcile import reconcile
from services.trading_gateway.domain.replaying import replay
from services.trading_gateway.domain.rules import Rules
from services.trading_gateway.domain.terms import TypedLeg
from services.trading_gateway.domain.values import LedgerKind, OrderType, Side, TimeInForce, TriggerSide
from tests.trading_gateway.kit import REPLAY_SESSION, SECOND, START, Floor, batch

FINANCED = ("EURUSD", "EURJPY")
OVERNIGHT = FinancingTable({symbol: (Rates(date(2000, 1, 1), -25_000, 5_000),) for symbol in FINANCED})
RULES = Rules(commission_per_million=Fraction(35), orders_per_second=3, financing=OVERNIGHT)
MARKETS = {"EURUSD": (110_000, 5), "USDJPY": (110_000, 3), "EURJPY": (121_000, 3), "EURGBP": (80_000, 5)}


class Walk:
    """A seeded run: ticks of four symbols, orders of all kinds, cancels and amendments on two accounts."""

    def __init__(self, seed: int, cut: int = 0, rules: Rules = RULES) -> None:
        self.random = Random(seed)
        self.floor = Floor(rules)
        self.cut = cut
        self.prices = {symbol: middle for symbol, (middle, _) in MARKETS.items()}
        self.floor.announce()
        self.floor.announce(REPLAY_SESSION)
        self.floor.open()
        self.floor.open("pounds", currency="GBP")
        self.floor.open("replay-r1", scope="r1")
        self.thin()
        for symbol in MARKETS:
            self.ticks(symbol)

    def run(self, steps: int) -> Floor:
        for step in range(steps):
            if step == steps // 2:
                self.hold_overnight()
            action = self.random.random()
            if action < 0.55:
                self.ticks(self.random.choice(tuple(MARKETS)))
            elif action < 0.65:
                self.ticks("EURUSD", session="r1")
            elif action < 0.92:
                self.order(f"k{step}")
            else:
                self.change()
        self.floor.engine.journal.mark_all()
        self.floor.settle()
        return self.floor

    def thin(self) -> None:
        """An account that is called and stopped out at levels that it comes to all the time."""
        self.floor.open("thin", currency="EUR", deposit=300_000)
        levels = ((LimitName.MARGIN_CALL, 1_600_000), (LimitName.STOP_OUT, 1_300_000))
        settings = tuple(LimitSetting("thin", "", *each) for each in levels)
        self.floor.engine.set_limits(SetLimits(START, "thin", settings, "key:ada", "", START))
        self.floor.settle()

    def hold_overnight(self) -> None:
        """Trade until a position is open that is financed, and keep it past the next roll."""
        orders = itertools.count()
        while not (held := [each for each in FINANCED if self.is_open(each)]):
            self.order(f"n{next(orders)}")
        self.ticks(held[0], pause_s=30 * 3600)

    def is_open(self, symbol: str) -> bool:
        return bool(self.floor.engine.book.position("demo", symbol).size)

    def ticks(self, symbol: str, session: str = "syn-1", pause_s: int = 0) -> None:
        digits = MARKETS[symbol][1]
        rows, sizes = [], (3_000, 2_000) if symbol in ("USDJPY", "EURGBP") else None
        for _ in range(self.random.randint(1, 12)):
            self.prices[symbol] += self.random.randint(-40, 40)
            bid = self.prices[symbol]
            spread = self.random.choice((10, 10, 10, 0, 25, -3))
            rows.append((_text(bid, digits), _text(bid + spread, digits)))
        pause = pause_s or self.random.choice((*[1] * 30, *[30] * 8, 700, 40_000))
        floor = self.floor
        first = floor.sequences.get((session, symbol), 0) + 1 + self.random.choice((*[0] * 20, 4))
        whole = batch(
            rows,
            symbol=symbol,
            session=session,
            first=first,
            start_ns=floor.now_ns + pause * SECOND,
            sizes=sizes,
        )
        floor.sequences[session, symbol] = whole.last_sequence
        for part in whole.split(self.cut or len(whole)):
            floor.read(part)

    def order(self, key: str) -> None:
        random, symbol = self.random, self.random.choice(tuple(MARKETS))
        account = random.choice(("demo", "pounds", "thin", "replay-r1"))
        if account == "replay-r1":
            symbol = "EURUSD"
        self.ticks(symbol, "r1" if account == "replay-r1" else "syn-1")
        middle, digits = self.prices[symbol], MARKETS[symbol][1]
        type_ = random.choice(tuple(OrderType))
        away = _text(middle + random.randint(-60, 70), digits)
        reduce_only = random.random() < 0.2
        gain = TypedLeg(distance=_text(random.randint(5, 60), digits))
        losses = (
            TypedLeg(distance=_text(50, digits)),
            TypedLeg(trail_distance=_text(40, digits), trigger=TriggerSide.MID),
        )
        waits = OrderType.STOP, OrderType.STOP_LIMIT, OrderType.MARKET_IF_TOUCHED
        tif = random.choice((None, TimeInForce.DAY)) if type_ is not OrderType.MARKET else None
        self.floor.place(
            key,
            random.choice(tuple(Side)),
            str(random.choice((1, 999, 1_000, 3_333, 10_000, 70_000))),
            type_=type_,
            symbol=symbol,
            limit=away if type_ in (OrderType.LIMIT, OrderType.STOP_LIMIT) else "",
            stop=away if type_ in waits else "",
            trail=_text(random.randint(5, 80), digits) if type_ is OrderType.TRAILING_STOP else "",
            trigger=random.choice((None, *TriggerSide)) if type_.waits else None,
            post_only=type_ is OrderType.LIMIT and random.random() < 0.3,
            reduce_only=reduce_only,
            tif=tif,
            account=account,
            facts=Facts(feed_alive=random.random() > 0.02),
            take_profit=None if reduce_only else random.choice((None, None, gain)),
            stop_loss=None if reduce_only else random.choice((None, None, *losses)),
            link=random.choice(("", "", "", f"{symbol}-link")),
            after=self.parent(account, symbol),
        )

    def parent(self, account: str, symbol: str) -> str:
        """Sometimes an order that works, for another to follow."""
        working = self.floor.engine.book.working(account, symbol)
        return self.random.choice(working).order_id if working and self.random.random() < 0.3 else ""

    def change(self) -> None:
        working = self.floor.engine.book.working()
        if not working:
            return
        order = self.random.choice(working)
        if self.random.random() < 0.5:
            self.floor.cancel(order)
            return
        try:
            size = order.size + 1_00 * self.random.randint(0, 5)
            change = {name: value + self.random.randint(-20, 20) for name, value in _prices(order).items()}
            self.floor.amend(order, size=size, **change)
        except FxError:
            self.floor.settle()


def _prices(order: Order) -> dict[str, int]:
    """What can be changed of it besides its size."""
    if order.trail is not None:
        return {"trail": order.trail}
    prices = {"limit": order.limit, "stop": None if order.triggered else order.stop}
    return {name: price for name, price in prices.items() if price is not None}


def _text(price: int, digits: int) -> str:
    return f"{price // 10**digits}.{price % 10**digits:0{digits}d}"


def books(book: Book, stored: list[Changes]) -> list[str]:
    """Orders, fills, ledger, positions and balances as text."""
    orders = {key: order for changes in stored for key, order in changes.orders.items()}
    return [
        *(plain.dump(orders[key]) for key in sorted(orders)),
        *(plain.dump(fill) for changes in stored for fill in changes.fills),
        *(plain.dump(entry) for changes in stored for entry in changes.ledger),
        *(plain.dump(each) for changes in stored for each in changes.transactions),
        *(plain.dump(each) for account in sorted(book.accounts) for each in book.positions_of(account)),
        *(plain.dump(book.accounts[account]) for account in sorted(book.accounts)),
    ]


def events(stored: list[Changes]) -> list[str]:
    return [repr(event) for changes in stored for event in changes.events]


@pytest.mark.parametrize("seed", range(8))
def test_books_reconcile_to_the_fills_and_the_ledger(seed: int) -> None:
    floor = Walk(seed).run(350)
    book = floor.engine.book
    fills = [fill for changes in floor.stored for fill in changes.fills]
    entries = [entry for changes in floor.stored for entry in changes.ledger]
    assert len(fills) > 25
    assert any(entry.kind is LedgerKind.FINANCING for entry in entries)
    assert len({fill.execution_id for fill in fills}) == len(fills)

    for account in book.accounts.values():
        positions = {each.symbol: each for each in book.positions_of(account.account_id)}
        posted = [
            each
            for changes in floor.stored
            for each in changes.transactions
            if each.account_id == account.account_id
        ]
        result = reconcile(
            account, positions, [fill for fill in fills if fill.account_id == account.account_id], posted
        )
        assert result.reconciled, [line for line in result.lines if not line.equal]
        own = [entry for entry in entries if entry.account_id == account.account_id]
        assert [entry.entry for entry in own] == list(range(1, len(own) + 1))
        assert account.balance == sum(entry.amount for entry in own) == own[-1].balance
        for symbol, position in positions.items():
            paid = sum(
                fill.signed_size * fill.price for fill in fills if _of(fill, account.account_id, symbol)
            )
            assert position.cost - position.realised_quote == paid
    for order in (order for changes in floor.stored for order in changes.orders.values()):
        assert 0 <= order.filled <= order.size


def _of(fill: Fill, account_id: str, symbol: str) -> bool:
    return fill.account_id == account_id and fill.symbol == symbol


def test_a_wrong_figure_is_found_by_the_reconciliation() -> None:
    floor = Walk(3).run(120)
    account = floor.account()
    fills = [fill for changes in floor.stored for fill in changes.fills if fill.account_id == "demo"]
    positions = {each.symbol: each for each in floor.engine.book.positions_of("demo")}
    posted = [each for changes in floor.stored for each in changes.transactions if each.account_id == "demo"]
    assert reconcile(account, positions, fills, posted).reconciled

    symbol, held = next(iter(positions.items()))
    off = {**positions, symbol: Position("demo", symbol, held.size, held.cost + 1)}
    assert not reconcile(account, off, fills, posted).reconciled
    assert not reconcile(account, positions, fills[:-1], posted).reconciled
    assert not reconcile(account, positions, fills, posted[:-1]).reconciled


@pytest.mark.parametrize("seed", range(8))
def test_the_journal_and_the_ticks_give_the_same_books_byte_for_byte(seed: int) -> None:
    floor = Walk(seed).run(250)
    journal = [entry for changes in floor.stored for entry in changes.journal]

    again = replay(RULES, floor.policy, journal, ticks_of(floor.batches))
    stored = [again.take_changes()]

    assert books(again.book, stored) == books(floor.engine.book, floor.stored)
    assert events(stored) == events(floor.stored)
    assert stored[0].journal == journal
    assert again.book.limits.set_for("thin") == floor.engine.book.limits.set_for("thin")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("cut", [1, 3])
def test_how_ticks_are_cut_into_batches_changes_nothing(seed: int, cut: int) -> None:
    whole, cut_up = Walk(seed).run(200), Walk(seed, cut).run(200)
    assert books(cut_up.engine.book, cut_up.stored) == books(whole.engine.book, whole.stored)


def test_a_journal_with_a_hole_is_not_replayed() -> None:
    floor = Walk(1).run(20)
    journal = [entry for changes in floor.stored for entry in changes.journal]
    with pytest.raises(ValueError, match="goes on at 7 where 6 follows"):
        replay(RULES, floor.policy, [*journal[:5], *journal[6:]], ticks_of(floor.batches))
    with pytest.raises(ValueError, match="unknown kind"):
        replay(RULES, floor.policy, [JournalEntry(1, "Nonsense", 0, "{}")], ticks_of([]))


def ticks_of(batches: list[TickBatch]) -> Callable[[TicksRead], TickBatch]:
    def find(mark: TicksRead) -> TickBatch:
        parts = [
            each[max(mark.first - each.first_sequence, 0) : mark.last - each.first_sequence + 1]
            for each in batches
            if (each.session_id, each.symbol) == (mark.session_id, mark.symbol)
            and each.first_sequence <= mark.last
            and each.last_sequence >= mark.first
        ]
        return merge(parts)

    return find


def test_the_runs_come_to_margin_calls_and_stop_outs() -> None:
    journal = [
        entry.kind for seed in range(4) for changes in Walk(seed).run(200).stored for entry in changes.journal
    ]
    assert journal.count("MarginCalled") > 4
    assert journal.count("StoppedOut") > 2


def same_again(floor: Floor, rules: Rules | None = None) -> None:
    """The journal of a run gives its books and events again."""
    floor.engine.journal.mark_all()
    floor.settle()
    journal = [entry for changes in floor.stored for entry in changes.journal]
    again = replay(rules or Rules(), floor.policy, journal, ticks_of(floor.batches))
    stored = [again.take_changes()]
    assert books(again.book, stored) == books(floor.engine.book, floor.stored)
    assert events(stored) == events(floor.stored)
