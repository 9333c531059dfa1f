"""Order life as a state machine: orders of every type and family against a market that moves at random.

Whatever happens, fills add up, families keep to what their parents filled and to the size they share, nothing
that may only reduce opens a position, and the journal gives the same books again.
"""

from __future__ import annotations

from collections import defaultdict

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from typing_extensions import override

from services.errors import FxError
from services.trading_gateway.domain.fills import Fill
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.reconcile import reconcile
from services.trading_gateway.domain.replaying import replay
from services.trading_gateway.domain.rules import Rules
from services.trading_gateway.domain.terms import TypedLeg
from services.trading_gateway.domain.values import OrderStatus, OrderType, Side, TimeInForce, TriggerSide
from tests.trading_gateway.domain.test_whole_runs import books, events, ticks_of
from tests.trading_gateway.kit import Floor

RULES = Rules(orders_per_second=1_000)
RESTING = (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED)
NEAR = st.integers(-25, 25)
UNITS = st.sampled_from(("1000", "2500", "10000"))
DISTANCE = st.integers(1, 25).map(lambda points: f"0.000{points:02d}")
AWAY = DISTANCE.map(lambda text: TypedLeg(distance=text))


def price(middle: int, away: int) -> str:
    return f"1.{middle + away:05d}"


class OrderLife(RuleBasedStateMachine):
    """One account, one symbol."""

    @initialize()
    def begin(self) -> None:
        self.floor = Floor(RULES)
        self.floor.announce()
        self.floor.open()
        self.floor.tick((price(10_000, 0), price(10_000, 10)), sizes=(10_000, 10_000))
        self.middle = 10_000
        self.number = 0
        self.before: dict[str, int] = defaultdict(int)
        """What the link of an order had filled before the order was placed; nothing for legs."""

    @rule(moves=st.lists(NEAR, min_size=1, max_size=4), size=st.sampled_from((1_000, 3_000, 100_000)))
    def market_moves(self, moves: list[int], size: int) -> None:
        rows = []
        for move in moves:
            self.middle += move
            rows.append((price(self.middle, 0), price(self.middle, 10)))
        self.floor.tick(*rows, sizes=(size, size))

    @rule(
        side=st.sampled_from(Side),
        type_=st.sampled_from(OrderType),
        size=UNITS,
        away=NEAR,
        trail=DISTANCE,
        trigger=st.sampled_from((None, *TriggerSide)),
        conditions=st.sampled_from(("", "", "post_only", "reduce_only")),
        profit=st.none() | AWAY,
        loss=st.none() | AWAY | DISTANCE.map(lambda text: TypedLeg(trail_distance=text)),
        link=st.sampled_from(("", "", "x", "y")),
        follows=st.booleans(),
        data=st.data(),
    )
    def place(
        self,
        side: Side,
        type_: OrderType,
        size: str,
        away: int,
        trail: str,
        trigger: TriggerSide | None,
        conditions: str,
        profit: TypedLeg | None,
        loss: TypedLeg | None,
        link: str,
        follows: bool,
        data: st.DataObject,
    ) -> None:
        working = self.floor.engine.book.working()
        self.number += 1
        at = price(self.middle, away)
        filled = self.linked_fills(link) if link else 0
        reduce_only = conditions == "reduce_only"
        placed = self.floor.place(
            f"k{self.number}",
            side,
            size,
            type_=type_,
            limit=at if type_ in (OrderType.LIMIT, OrderType.STOP_LIMIT) else "",
            stop=at if type_.waits and type_ is not OrderType.TRAILING_STOP else "",
            trail=trail if type_ is OrderType.TRAILING_STOP else "",
            trigger=trigger if type_.waits else None,
            post_only=conditions == "post_only" and type_ is OrderType.LIMIT,
            reduce_only=reduce_only,
            take_profit=None if reduce_only else profit,
            stop_loss=None if reduce_only else loss,
            tif=None if type_ is OrderType.MARKET else TimeInForce.GTC,
            link=link,
            after=data.draw(st.sampled_from(working)).order_id if follows and working else "",
        )
        self.before[placed.order_id] = filled

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        working = self.floor.engine.book.working()
        if working:
            self.floor.cancel(data.draw(st.sampled_from(working)))

    @rule(data=st.data(), size=st.integers(1, 12), move=NEAR)
    def amend(self, data: st.DataObject, size: int, move: int) -> None:
        working = self.floor.engine.book.working()
        if not working:
            return
        order = data.draw(st.sampled_from(working))
        change = {"size": size * 1_000_00}
        if order.limit is not None:
            change["limit"] = order.limit + move
        try:
            self.floor.amend(order, **change)
        except FxError:
            self.floor.settle()

    @invariant()
    def fills_add_up(self) -> None:
        fills = self.fills()
        for order in self.floor.engine.book.orders.values():
            own = [fill for fill in fills if fill.order_id == order.order_id]
            assert order.filled == sum(fill.size for fill in own) <= order.size
        assert self.floor.engine.book.position("demo", "EURUSD").size == sum(
            fill.signed_size for fill in fills
        )

    @invariant()
    def children_work_for_what_their_parent_filled(self) -> None:
        book = self.floor.engine.book
        for order in book.orders.values():
            if not order.parent_id:
                continue
            parent = book.order(order.parent_id)
            assert order.granted <= parent.filled
            assert order.filled <= order.granted
            if order.status is OrderStatus.HELD:
                assert not order.at_venue
                assert not (parent.final and not parent.filled)
            elif order.status in RESTING and order.share > order.filled:
                assert order.size == order.share

    @invariant()
    def linked_orders_never_fill_more_than_the_largest_asked_for(self) -> None:
        book = self.floor.engine.book
        for order in book.orders.values():
            if order.link_id and order.status in RESTING and order.share > order.filled:
                assert order.size == order.share
        for leg in self.legs():
            other = [each for each in self.legs() if each.link_id == leg.link_id]
            assert sum(each.filled for each in other) <= book.order(leg.parent_id).filled

    @invariant()
    def linked_orders_know_what_the_others_filled_since_they_were_placed(self) -> None:
        for order in self.floor.engine.book.orders.values():
            if order.link_id and not order.final:
                others = self.linked_fills(order.link_id) - order.filled
                assert order.taken == others - self.before[order.order_id]

    @invariant()
    def what_may_only_reduce_never_opens(self) -> None:
        reduces = {each.order_id for each in self.floor.engine.book.orders.values() if each.reduce_only}
        assert all(fill.closed == fill.size for fill in self.fills() if fill.order_id in reduces)

    @override
    def teardown(self) -> None:
        if not hasattr(self, "floor"):
            return
        floor = self.floor
        floor.engine.journal.mark_all()
        floor.settle()
        positions = {each.symbol: each for each in floor.engine.book.positions_of("demo")}
        posted = [each for changes in floor.stored for each in changes.transactions]
        assert reconcile(floor.account(), positions, self.fills(), posted).reconciled
        journal = [entry for changes in floor.stored for entry in changes.journal]
        again = replay(RULES, floor.policy, journal, ticks_of(floor.batches))
        stored = [again.take_changes()]
        assert books(again.book, stored) == books(floor.engine.book, floor.stored)
        assert events(stored) == events(floor.stored)

    def fills(self) -> list[Fill]:
        return [fill for changes in self.floor.stored for fill in changes.fills]

    def linked_fills(self, link: str) -> int:
        """What all orders of a link have filled."""
        return sum(each.filled for each in self.floor.engine.book.orders.values() if each.link_id == link)

    def legs(self) -> list[Order]:
        """Take-profits and stop-losses."""
        book = self.floor.engine.book
        return [each for each in book.orders.values() if each.link_id and each.link_id == each.parent_id]


OrderLife.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestOrderLife = OrderLife.TestCase
