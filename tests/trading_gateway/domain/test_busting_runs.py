"""Random runs with busts that come early, late and doubled: what stays is what the other fills come to."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from services.trading_gateway.domain.histories import made_of
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.positions import Position
from services.trading_gateway.domain.reconcile import reconcile
from services.trading_gateway.domain.reports import Busted, Executed, OrderReport
from services.trading_gateway.domain.rules import Rules
from services.trading_gateway.domain.values import OrderStatus, OrderType, PositionMode, Side
from tests.trading_gateway.domain.test_whole_runs import same_again
from tests.trading_gateway.kit import Floor

RULES = Rules(orders_per_second=1_000)
FAR = {Side.BUY: "1.09500", Side.SELL: "1.10500"}


class Run:
    """Orders that only the test fills, so that what was told in all is known."""

    def __init__(self, seed: int, mode: PositionMode) -> None:
        self.random = Random(seed)
        self.floor = Floor(RULES)
        self.floor.announce()
        self.floor.open(currency=self.random.choice(("USD", "GBP")), mode=mode)
        self.floor.tick(("1.10000", "1.10010"))
        self.floor.tick(("0.80000", "0.80010"), symbol="EURGBP")
        self.told: list[Executed] = []
        self.taken: list[Busted] = []
        self.waiting: list[OrderReport] = []

    def run(self, steps: int) -> Floor:
        for number in range(steps):
            action = self.random.random()
            if action < 0.3:
                self.trade(f"k{number}")
            elif action < 0.5 and len(self.taken) < len(self.told):
                self.bust()
            else:
                self.deliver(self.random.randint(0, 3))
        while self.waiting:
            self.deliver(len(self.waiting))
        return self.floor

    def trade(self, key: str) -> None:
        side, floor = self.random.choice(tuple(Side)), self.floor
        tickets = [each.position_id for each in floor.engine.book.holdings.open("demo") if each.position_id]
        ticket = ""
        if tickets and self.random.random() < 0.5:
            ticket = self.random.choice(tickets)
            side = Side.of(-floor.engine.book.position("demo", "EURUSD", ticket).size)
        order = floor.place(
            key,
            side,
            "9000",
            type_=OrderType.LIMIT,
            limit=FAR[side],
            position=ticket,
            reduce_only=bool(ticket),
        )
        if order.final:
            return
        for part in range(self.random.randint(1, 3)):
            price = 110_000 + self.random.randint(-900, 900)
            executed = Executed(floor.now_ns, order.order_id, f"{order.order_id}-x{part}", 3_000_00, price)
            self.told.append(executed)
            self.waiting.append(executed)

    def bust(self) -> None:
        gone = {each.execution_id for each in self.taken}
        each = self.random.choice([each for each in self.told if each.execution_id not in gone])
        taken = Busted(self.floor.now_ns, each.order_id, each.execution_id, over=self.random.random() < 0.5)
        self.taken.append(taken)
        self.waiting.append(taken)

    def deliver(self, most: int) -> None:
        """In any order; some are kept, to come again."""
        for _ in range(min(most, len(self.waiting))):
            number = self.random.randrange(len(self.waiting))
            again = self.random.random() < 0.2
            self.floor.report(self.waiting[number] if again else self.waiting.pop(number))


@pytest.mark.parametrize("mode", list(PositionMode))
@pytest.mark.parametrize("seed", range(10))
def test_the_books_are_those_of_what_was_not_taken_back(seed: int, mode: PositionMode) -> None:
    run = Run(seed, mode)
    floor = run.run(120)
    book = floor.engine.book
    gone = {each.execution_id for each in run.taken}
    fills = [each for changes in floor.stored for each in changes.fills]
    left = [each for each in fills if not each.busts and each.execution_id not in gone]
    assert len(run.taken) > 5
    assert len(left) == len(run.told) - len(run.taken) > 5
    for held in book.positions_of("demo"):
        none = Position("demo", held.symbol, position_id=held.position_id)
        made = made_of(none, [each for each in left if each.position_id == held.position_id])
        assert (held.size, held.cost, held.realised_quote) == (made.size, made.cost, made.realised_quote)
    for order_id, order in book.orders.items():
        own = [each for each in left if each.order_id == order_id]
        assert order.filled == sum(each.size for each in own)
        assert order.notional == sum(each.size * each.price for each in own)
        assert consistent(order)
    positions = {each.name: each for each in book.positions_of("demo")}
    posted = [each for changes in floor.stored for each in changes.transactions]
    proof = reconcile(floor.account(), positions, fills, posted)
    assert proof.reconciled, [each for each in proof.lines if not each.equal]
    assert floor.account().busts == ()
    same_again(floor, RULES)


def consistent(order: Order) -> bool:
    """Its state is one that its fills allow."""
    match order.status:
        case OrderStatus.FILLED:
            return order.filled >= order.size
        case OrderStatus.PARTIALLY_FILLED:
            return 0 < order.filled < order.size
        case OrderStatus.ACCEPTED:
            return not order.filled
        case _:
            return order.filled < order.size


def test_a_figure_that_is_off_is_found() -> None:
    """What proves the books above is able to fail: each figure of a bust by itself."""
    run = Run(1, PositionMode.NETTING)
    floor = run.run(120)
    positions = {each.name: each for each in floor.engine.book.positions_of("demo")}
    fills = [each for changes in floor.stored for each in changes.fills]
    posted = [each for changes in floor.stored for each in changes.transactions]
    at = next(number for number, each in enumerate(fills) if each.busts)
    for wrong in (
        replace(fills[at], busts="another"),
        replace(fills[at], commission=fills[at].commission + 1),
        replace(fills[at], size=fills[at].size + 1),
    ):
        found = [*fills[:at], wrong, *fills[at + 1 :]]
        assert not reconcile(floor.account(), positions, found, posted).reconciled
