"""Take-profits, stop-losses and linked orders when a fill of one of them is taken back."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from services.trading_gateway.domain.reports import CancelRefused, Executed
from services.trading_gateway.domain.terms import TypedLeg
from services.trading_gateway.domain.values import OrderStatus, OrderType, PositionMode
from tests.trading_gateway.domain.test_busting import at, first, floor_of, held, proof
from tests.trading_gateway.faulty_venue import FaultyVenue
from tests.trading_gateway.kit import Floor

LEGS: dict[str, Any] = {
    "take_profit": TypedLeg(distance="0.00100"),
    "stop_loss": TypedLeg(distance="0.00200"),
}


@pytest.mark.parametrize("mode", list(PositionMode))
def test_an_exit_whose_fill_is_taken_back_leaves_its_position_guarded(mode: PositionMode) -> None:
    floor = floor_of(mode=mode)
    entry = floor.buy("a", **LEGS)
    at(floor, "1.10100")
    gain = floor.engine.book.find("demo", f"t-{entry.order_id}")
    assert gain is not None
    assert gain.status is OrderStatus.FILLED
    assert floor.engine.book.working("demo") == []
    at(floor, "1.10000")
    floor.bust(gain, first(gain))
    ticket = entry.order_id if mode is PositionMode.HEDGING else ""
    assert held(floor, ticket).size == 1_000_000
    again = floor.engine.book.working("demo")
    assert [(each.type, each.size, each.limit, each.stop) for each in again] == [
        (OrderType.LIMIT, 1_000_000, 110_100, None),
        (OrderType.STOP, 1_000_000, None, 109_800),
    ]
    assert all(each.reduce_only for each in again)
    at(floor, "1.09790")
    assert held(floor, ticket).flat
    assert floor.engine.book.working("demo") == []
    proof(floor)


def test_an_exit_whose_other_is_just_being_cancelled_is_replaced_all_the_same() -> None:
    floor = floor_of()
    venue = FaultyVenue(Random(1), doubled=0)
    floor.engine.venue = venue
    at(floor, "1.10000")
    feed = floor.engine.book.markets.feed("", "EURUSD")
    assert feed is not None
    venue.quote = feed.state.quote
    entry = floor.buy("a", **LEGS)
    heard(floor, venue)
    gain, loss = floor.engine.book.working("demo")
    floor.report(Executed(floor.now_ns, gain.order_id, "gain", 1_000_000, 110_100))
    leaving = floor.engine.book.order(loss.order_id)
    assert (leaving.status, leaving.reason) == (OrderStatus.PENDING_CANCEL, "LINK_FILLED")
    floor.bust(gain, "gain")
    heard(floor, venue)
    assert floor.engine.book.order(loss.order_id).status is OrderStatus.CANCELLED
    again = floor.engine.book.working("demo")
    assert [(each.limit, each.stop, each.size) for each in again] == [
        (110_100, None, 1_000_000),
        (None, 109_800, 1_000_000),
    ]
    assert held(floor).size == floor.engine.book.order(entry.order_id).filled == 1_000_000


def test_an_exit_whose_fill_is_taken_back_asks_for_nothing_of_its_entry() -> None:
    floor = floor_of()
    venue = FaultyVenue(Random(1), doubled=0)
    floor.engine.venue = venue
    entry = floor.buy("a", type_=OrderType.LIMIT, limit="1.09000", **LEGS)
    heard(floor, venue)
    floor.report(Executed(floor.now_ns, entry.order_id, "part", 400_000, 109_000))
    heard(floor, venue)
    gain, _ = (each for each in floor.engine.book.working("demo") if each.reduce_only)
    floor.report(Executed(floor.now_ns, gain.order_id, "gain", 100_000, 109_100))
    assert floor.engine.book.order(entry.order_id).reason == "LEG_FILLED"
    floor.report(CancelRefused(floor.now_ns, entry.order_id, "TOO_LATE", "it is being filled"))
    working = floor.engine.book.order(entry.order_id)
    assert (working.status, working.remaining) == (OrderStatus.PARTIALLY_FILLED, 600_000)
    floor.bust(gain, "gain")
    assert floor.engine.book.order(entry.order_id).status is OrderStatus.PARTIALLY_FILLED
    assert held(floor).size == 400_000


def heard(floor: Floor, venue: FaultyVenue) -> None:
    """All that waits, in order, and what follows from it."""
    while venue.waiting:
        floor.report(venue.waiting.pop(0))


def test_an_entry_whose_fill_is_taken_back_takes_its_exits_along() -> None:
    floor = floor_of()
    entry = floor.buy("a", **LEGS)
    assert len(floor.engine.book.working("demo")) == 2
    floor.bust(entry, first(entry))
    assert held(floor).flat
    assert floor.engine.book.working("demo") == []
    proof(floor)


def test_part_of_an_exit_taken_back_is_covered_by_the_other() -> None:
    floor = floor_of()
    entry = floor.buy("a", **LEGS)
    floor.tick(("1.10100", "1.10110"), sizes=(4_000, 4_000))
    gain, loss = floor.engine.book.working("demo")
    assert (gain.filled, loss.size) == (4_000_00, 6_000_00)
    floor.bust(gain, first(gain))
    gain, loss = floor.engine.book.working("demo")
    assert (gain.filled, gain.remaining, loss.size) == (0, 10_000_00, 10_000_00)
    assert entry.filled == held(floor).size
    proof(floor)


def test_exits_guard_what_an_entry_opens_when_it_fills_once_more() -> None:
    floor = floor_of()
    floor.sell("short", "6000")
    entry = floor.buy("a", type_=OrderType.LIMIT, limit="1.10000", **LEGS)
    assert [each.size for each in floor.engine.book.working("demo")] == [4_000_00] * 2
    floor.bust(entry, first(entry), over=False)
    assert held(floor).size == -6_000_00
    floor.report(Executed(floor.now_ns, entry.order_id, "once-more", 10_000_00, 110_000))
    assert held(floor).size == 4_000_00
    assert [each.size for each in floor.engine.book.working("demo")] == [4_000_00] * 2
    proof(floor)


def test_the_size_that_linked_orders_share_grows_by_no_more_than_they_gave() -> None:
    floor = floor_of()
    filled = floor.buy("a", "4000", link="l")
    later = floor.buy("b", type_=OrderType.LIMIT, limit="1.09000", link="l")
    floor.bust(filled, first(filled))
    assert floor.engine.book.order(later.order_id).size == later.size == 10_000_00
    proof(floor)
