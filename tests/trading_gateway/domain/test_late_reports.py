"""Reports that come late, doubled and in any order: once all have come, the books are the venue's."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from services.errors import FxError
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.reconcile import reconcile
from services.trading_gateway.domain.replaying import replay
from services.trading_gateway.domain.reports import Executed
from services.trading_gateway.domain.rules import Rules
from services.trading_gateway.domain.terms import TypedLeg
from services.trading_gateway.domain.values import OrderStatus, OrderType, Side
from tests.trading_gateway.domain.test_whole_runs import books, events, ticks_of
from tests.trading_gateway.faulty_venue import FaultyVenue
from tests.trading_gateway.kit import Floor

RULES = Rules(orders_per_second=1_000)
SIZES = (1_000, 3_000, 100_000)
ROUNDS = 400
"""More than any run needs until nothing is on its way any more."""


class Session:
    """Orders of all families on one account, with reports on their way at any time."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.floor = Floor(RULES)
        self.venue = FaultyVenue(self.random)
        self.floor.engine.venue = self.venue
        self.floor.announce()
        self.floor.open()
        self.middle = 10_000
        self.tick()

    def run(self, steps: int) -> None:
        for number in range(steps):
            action = self.random.random()
            if action < 0.35:
                self.tick()
            elif action < 0.65:
                self.place(f"k{number}")
            elif action < 0.8:
                self.change()
            self.venue.deliver(self.floor.engine, self.random.randint(0, 4))
            self.floor.settle()
        self.drain()

    def drain(self) -> None:
        """All reports, and what follows from them, until nothing is on its way."""
        for _ in range(ROUNDS):
            if not self.venue.waiting:
                return
            self.venue.deliver(self.floor.engine, len(self.venue.waiting))
            self.floor.settle()
        raise AssertionError("gateway and venue never come to an end")

    def tick(self) -> None:
        self.middle += self.random.randint(-25, 25)
        size = self.random.choice(SIZES)
        self.floor.tick((price(self.middle), price(self.middle + 10)), sizes=(size, size))
        feed = self.floor.engine.book.markets.feed("", "EURUSD")
        assert feed is not None
        assert feed.state.quote is not None
        self.venue.tick(feed.state.quote)

    def place(self, key: str) -> None:
        random, working = self.random, self.floor.engine.book.working()
        type_ = random.choice((OrderType.MARKET, OrderType.LIMIT, OrderType.STOP, OrderType.TRAILING_STOP))
        at = price(self.middle + random.randint(-25, 35))
        legs: dict[str, Any] = {
            "take_profit": random.choice((None, TypedLeg(distance="0.00012"))),
            "stop_loss": random.choice(
                (None, TypedLeg(distance="0.00015"), TypedLeg(trail_distance="0.00018"))
            ),
        }
        self.floor.place(
            key,
            random.choice(tuple(Side)),
            random.choice(("1000", "2500", "10000")),
            type_=type_,
            limit=at if type_ is OrderType.LIMIT else "",
            stop=at if type_ is OrderType.STOP else "",
            trail="0.00015" if type_ is OrderType.TRAILING_STOP else "",
            link=random.choice(("", "", "x")),
            after=random.choice(working).order_id if working and random.random() < 0.2 else "",
            **legs,
        )

    def change(self) -> None:
        working = self.floor.engine.book.working()
        if not working:
            return
        order = self.random.choice(working)
        if self.random.random() < 0.4:
            self.floor.cancel(order)
            return
        try:
            self.floor.amend(order, size=self.random.randint(1, 12) * 1_000_00)
        except FxError:
            self.floor.settle()


def price(middle: int) -> str:
    return f"1.{middle:05d}"


@pytest.mark.parametrize("seed", range(12))
def test_the_books_come_to_what_the_venue_holds(seed: int) -> None:
    session = Session(seed)
    session.run(120)
    floor, venue = session.floor, session.venue
    book = floor.engine.book
    assert venue.orders
    for order_id, theirs in venue.orders.items():
        ours = book.order(order_id)
        assert seen(ours) == seen(theirs)
    assert {each.order_id for each in book.working()} >= {
        each.order_id for each in venue.orders.values() if not each.final
    }
    for each in book.working():
        assert each.status in (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED, OrderStatus.HELD)

    fills = [fill for changes in floor.stored for fill in changes.fills]
    assert len({fill.execution_id for fill in fills}) == len(fills) > 10
    held = sum(each.side.sign * each.filled for each in venue.orders.values())
    assert book.position("demo", "EURUSD").size == held
    positions = {each.symbol: each for each in book.positions_of("demo")}
    posted = [each for changes in floor.stored for each in changes.transactions]
    assert reconcile(floor.account(), positions, fills, posted).reconciled


def seen(order: Order) -> tuple[object, ...]:
    """What both sides must agree on. An amendment heard of after the end is of no interest any more."""
    terms = () if order.final else (order.size, order.limit, order.trail)
    return order.filled, order.notional, order.final, *terms


@pytest.mark.parametrize("seed", range(4))
def test_the_journal_of_such_a_session_gives_its_books_again(seed: int) -> None:
    session = Session(seed)
    session.run(120)
    floor = session.floor
    floor.engine.journal.mark_all()
    floor.settle()
    journal = [entry for changes in floor.stored for entry in changes.journal]
    again = replay(RULES, floor.policy, journal, ticks_of(floor.batches))
    stored = [again.take_changes()]
    assert books(again.book, stored) == books(floor.engine.book, floor.stored)
    assert events(stored) == events(floor.stored)


def test_a_fill_that_is_heard_of_before_the_amendment_that_made_room_for_the_rest() -> None:
    session = Session(1)
    floor, venue = session.floor, session.venue
    order = floor.buy("a", "1000", type_=OrderType.LIMIT, limit=price(session.middle - 30))
    deliver_all(session)
    floor.amend(order, size=3_000_00)
    (amended,) = venue.waiting
    venue.waiting.clear()
    filled = Executed(floor.now_ns, order.order_id, "x-1", 1_000_00, order.limit or 0, "syn-1", 1)

    floor.engine.report(filled)
    assert floor.engine.book.order(order.order_id).status is OrderStatus.PENDING_AMEND
    for _ in range(2):
        floor.engine.report(amended)
        floor.engine.report(filled)
    after = floor.engine.book.order(order.order_id)
    assert (after.status, after.size, after.filled) == (
        OrderStatus.PARTIALLY_FILLED,
        3_000_00,
        1_000_00,
    )


def test_an_amendment_that_comes_again_does_not_undo_a_later_one() -> None:
    session = Session(1)
    floor, venue = session.floor, session.venue
    order = floor.buy("a", "1000", type_=OrderType.LIMIT, limit=price(session.middle - 30))
    deliver_all(session)
    floor.amend(order, size=3_000_00)
    (first,) = venue.waiting
    deliver_all(session)
    floor.amend(order, size=2_000_00)
    floor.engine.report(first)
    assert floor.engine.book.order(order.order_id).status is OrderStatus.PENDING_AMEND
    deliver_all(session)
    floor.engine.report(first)
    assert floor.engine.book.order(order.order_id).size == 2_000_00


def test_a_cancel_stays_asked_for_when_an_amendment_is_answered_meanwhile() -> None:
    session = Session(1)
    floor, venue = session.floor, session.venue
    order = floor.buy("a", "1000", type_=OrderType.LIMIT, limit=price(session.middle - 30))
    deliver_all(session)
    floor.amend(order, size=3_000_00)
    floor.cancel(order)
    amended, ended = venue.waiting
    floor.engine.report(amended)
    pending = floor.engine.book.order(order.order_id)
    assert (pending.status, pending.size, pending.reason) == (
        OrderStatus.PENDING_CANCEL,
        3_000_00,
        "CANCELLED_BY_USER",
    )
    floor.engine.report(ended)
    assert floor.engine.book.order(order.order_id).status is OrderStatus.CANCELLED


def deliver_all(session: Session) -> None:
    """Everything that waits, once each."""
    waiting = list(session.venue.waiting)
    session.venue.waiting.clear()
    for report in waiting:
        session.floor.engine.report(report)
    session.floor.settle()
