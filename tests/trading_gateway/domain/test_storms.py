"""Orders beyond the rate: bounded in what they leave behind, told together, no obstacle to a way out."""

from __future__ import annotations

import pytest

from services.errors import FxError
from services.trading_gateway.domain import storms
from services.trading_gateway.domain.events import OrdersRefused
from services.trading_gateway.domain.inputs import PlaceOrder
from services.trading_gateway.domain.replaying import replay
from services.trading_gateway.domain.rules import Rules
from services.trading_gateway.domain.situations import Refusal
from services.trading_gateway.domain.terms import terms
from services.trading_gateway.domain.values import OrderStatus, OrderType, Side
from tests.trading_gateway.domain.test_whole_runs import books, ticks_of
from tests.trading_gateway.kit import Floor, open_floor

GOOD = ("1.10000", "1.10010")
RULES = Rules(orders_per_second=3, order_notional=5_000_000)


def asked(floor: Floor, key: str, side: Side = Side.BUY, size: str = "1000") -> PlaceOrder:
    return PlaceOrder(floor.now_ns, "demo", key, terms("EURUSD", side, OrderType.MARKET, size))


def send(floor: Floor, key: str, side: Side = Side.BUY, size: str = "1000") -> Refusal | None:
    """As the handler does: turned away, or placed."""
    wanted = asked(floor, key, side, size)
    away = floor.engine.turned_away(wanted)
    if away is None:
        floor.engine.place(wanted)
        floor.settle()
    return away


def tell(floor: Floor) -> None:
    for each in storms.due(floor.engine.book):
        floor.engine.orders_refused(each)
    floor.settle()


def told(floor: Floor) -> list[OrdersRefused]:
    events = (event for changes in floor.stored for event in changes.events)
    return [event for event in events if isinstance(event, OrdersRefused)]


def journal(floor: Floor) -> list[str]:
    return [entry.kind for changes in floor.stored for entry in changes.journal]


def test_a_storm_of_orders_costs_no_more_than_the_rate_and_one_entry() -> None:
    floor = open_floor(GOOD, rules=RULES)
    reasons = [send(floor, f"k{number}") for number in range(1_000)]
    assert reasons[:3] == [None] * 3
    assert {each.reason for each in reasons[3:] if each} == {"ORDER_RATE"}
    assert journal(floor).count("PlaceOrder") == 3

    tell(floor)
    tell(floor)
    (event,) = told(floor)
    assert (event.account_id, event.reason, event.count) == ("demo", "ORDER_RATE", 997)
    assert (event.since_ns, event.time_ns) == (floor.now_ns, floor.now_ns)
    assert floor.engine.book.refusals["demo"] == {"ORDER_RATE": 997}
    assert journal(floor).count("OrdersRefused") == 1
    assert floor.engine.book.find("demo", "k500") is None  # the key is free


def test_a_storm_of_refusals_for_another_reason_is_bounded_too() -> None:
    floor = open_floor(GOOD, rules=RULES)
    for number in range(100):
        send(floor, f"k{number}", size="90000")
    assert journal(floor).count("PlaceOrder") == 3
    tell(floor)
    assert [(event.reason, event.count) for event in told(floor)] == [("NOTIONAL_LIMIT", 97)]
    assert floor.engine.book.refusals["demo"] == {"NOTIONAL_LIMIT": 100}


def test_what_reduces_a_position_passes_a_storm() -> None:
    floor = open_floor(GOOD, rules=RULES)
    for number in range(10):
        send(floor, f"k{number}", size="10000")
    assert floor.engine.book.position("demo", "EURUSD").size == 30_000_00
    assert send(floor, "out", Side.SELL, "30000") is None
    out = floor.engine.book.find("demo", "out")
    assert out is not None and out.status is OrderStatus.FILLED


def test_the_rate_is_that_of_a_second_of_market_time() -> None:
    floor = open_floor(GOOD, rules=RULES)
    for number in range(5):
        send(floor, f"a{number}")
    floor.tick(GOOD)
    assert [send(floor, f"b{number}") is None for number in range(4)] == [True, True, True, False]


def test_the_journal_gives_the_same_decisions_without_the_orders_turned_away() -> None:
    floor = open_floor(GOOD, rules=RULES)
    for number in range(40):
        send(floor, f"k{number}", size="90000" if number % 3 else "1000")
        if number % 10 == 9:
            tell(floor)
            floor.tick(GOOD)
    entries = [entry for changes in floor.stored for entry in changes.journal]
    again = replay(RULES, floor.policy, entries, ticks_of(floor.batches))
    stored = [again.take_changes()]
    assert books(again.book, stored) == books(floor.engine.book, floor.stored)
    assert again.book.refusals == floor.engine.book.refusals
    assert [repr(each) for each in stored[0].events] == [
        repr(each) for changes in floor.stored for each in changes.events
    ]


def test_a_refused_amendment_is_told_too() -> None:
    floor = open_floor(GOOD, rules=RULES)
    working = floor.buy("a", type_=OrderType.LIMIT, limit="1.09990")
    with pytest.raises(FxError, match="NOTIONAL_LIMIT"):
        floor.amend(working, size=90_000_00)
    tell(floor)
    assert [(event.reason, event.count) for event in told(floor)] == [("NOTIONAL_LIMIT", 1)]
    assert floor.engine.book.refusals["demo"] == {"NOTIONAL_LIMIT": 1}
    assert floor.engine.book.order(working.order_id) == working
