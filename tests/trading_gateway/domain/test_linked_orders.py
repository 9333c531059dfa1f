"""Orders that share one size, and orders that follow another: one cancels, one triggers the other."""

from __future__ import annotations

from typing import Any

import pytest

from services.errors import FxError
from services.trading_gateway.domain.inputs import PlaceOrder
from services.trading_gateway.domain.terms import Typed, TypedLeg, terms
from services.trading_gateway.domain.values import OrderOrigin, OrderStatus, OrderType, Side
from tests.trading_gateway.domain.test_families import GOOD, TOUCHED, WAITING, legs, now
from tests.trading_gateway.kit import open_floor

# One cancels the other


def test_linked_orders_share_one_size() -> None:
    floor = open_floor(GOOD)
    low = floor.buy("low", type_=OrderType.LIMIT, limit="1.09990", link="x")
    high = floor.buy("high", type_=OrderType.STOP, stop="1.10050", link="x")
    alone = floor.buy("alone", type_=OrderType.STOP, stop="1.10300", link="y")
    floor.tick(TOUCHED, sizes=(1, 4_000))
    assert (now(floor, high).status, now(floor, high).size) == (OrderStatus.ACCEPTED, 6_000_00)
    floor.tick(TOUCHED)
    assert now(floor, low).status is OrderStatus.FILLED
    assert (now(floor, high).status, now(floor, high).reason) == (OrderStatus.CANCELLED, "LINK_FILLED")
    assert (now(floor, alone).status, now(floor, alone).size) == (OrderStatus.ACCEPTED, 10_000_00)


def test_linked_orders_of_two_sizes_lose_what_the_other_fills() -> None:
    floor = open_floor(GOOD)
    small = floor.buy("small", "3000", type_=OrderType.LIMIT, limit="1.09990", link="x")
    large = floor.buy("large", "10000", type_=OrderType.STOP, stop="1.10050", link="x")
    amended = floor.amend(large, size=8_000_00)
    assert amended.size == 8_000_00
    floor.tick(TOUCHED)
    assert now(floor, small).status is OrderStatus.FILLED
    assert now(floor, large).size == 5_000_00


def test_cancelling_one_of_two_linked_orders_leaves_the_other() -> None:
    floor = open_floor(GOOD)
    low = floor.buy("low", type_=OrderType.LIMIT, limit="1.09990", link="x")
    high = floor.buy("high", type_=OrderType.STOP, stop="1.10050", link="x")
    floor.cancel(low)
    assert now(floor, high).status is OrderStatus.ACCEPTED


# One triggers the other


def test_an_order_after_another_works_for_what_that_has_filled_and_no_more_than_it_asked_for() -> None:
    floor = open_floor(GOOD)
    first = floor.buy("first", **WAITING)
    then = floor.sell("then", "7000", type_=OrderType.LIMIT, limit="1.10200", after=first.order_id)
    assert (then.status, then.size) == (OrderStatus.HELD, 7_000_00)
    floor.tick(TOUCHED, sizes=(1, 4_000))
    assert (now(floor, then).status, now(floor, then).size) == (OrderStatus.ACCEPTED, 4_000_00)
    floor.tick(TOUCHED)
    assert (now(floor, then).size, now(floor, first).status) == (7_000_00, OrderStatus.FILLED)


def test_orders_after_orders_go_with_the_first_when_it_ends_without_a_fill() -> None:
    floor = open_floor(GOOD)
    first = floor.buy("first", **WAITING)
    second = floor.buy("second", type_=OrderType.LIMIT, limit="1.09900", after=first.order_id, **BRACKET_LOW)
    third = floor.sell("third", type_=OrderType.LIMIT, limit="1.10200", after=second.order_id)
    floor.cancel(first)
    family = [second, third, *legs(floor, second)]
    assert {(now(floor, each).status, now(floor, each).reason) for each in family} == {
        (OrderStatus.CANCELLED, "PARENT_ENDED")
    }


BRACKET_LOW: dict[str, Any] = {"take_profit": TypedLeg("1.10000"), "stop_loss": TypedLeg("1.09800")}


def test_a_held_order_can_be_cancelled_and_takes_with_it_what_follows_it() -> None:
    floor = open_floor(GOOD)
    first = floor.buy("first", **WAITING)
    second = floor.buy("second", type_=OrderType.LIMIT, limit="1.09900", after=first.order_id, **BRACKET_LOW)
    gone = floor.cancel(second)
    assert (gone.status, gone.reason) == (OrderStatus.CANCELLED, "CANCELLED_BY_USER")
    assert all(leg.reason == "PARENT_ENDED" for leg in legs(floor, second))
    assert now(floor, first).status is OrderStatus.ACCEPTED


def test_an_order_that_may_not_be_sent_any_more_is_refused_when_it_is_released() -> None:
    floor = open_floor(GOOD)
    first = floor.buy("first", **WAITING)
    # A sell stop at 1.09985: below the market when it was asked for, above it when the first one fills.
    then = floor.sell("then", type_=OrderType.STOP, stop="1.09985", after=first.order_id)
    floor.tick(TOUCHED)
    assert (now(floor, then).status, now(floor, then).reason) == (OrderStatus.REJECTED, "STOP_WRONG_SIDE")


def test_an_order_follows_only_one_that_is_there_and_not_over() -> None:
    floor = open_floor(GOOD)
    first = floor.buy("first", **WAITING)
    floor.tick(("150.000", "150.010"), symbol="USDJPY")
    with pytest.raises(FxError, match="UNKNOWN_ORDER"):
        floor.buy("a", after="o-none")
    with pytest.raises(FxError, match="VALIDATION_FAILED"):
        floor.buy("b", symbol="USDJPY", after=first.order_id)
    floor.cancel(first)
    with pytest.raises(FxError, match="ORDER_FINAL"):
        floor.buy("c", after=first.order_id)


# Fingerprints


def test_the_same_key_with_another_leg_is_another_order() -> None:
    floor = open_floor(GOOD)
    keys = set()
    for number, typed in enumerate(
        (Typed(), Typed(stop_loss=TypedLeg("1.09")), Typed(stop_loss=TypedLeg("1.08")), Typed(link_id="x"))
    ):
        wanted = terms("EURUSD", Side.BUY, OrderType.MARKET, "1000", typed)
        placed = floor.engine.place(PlaceOrder(floor.now_ns, "demo", f"k{number}", wanted, OrderOrigin.USER))
        keys.add(placed.terms_key)
    assert len(keys) == 4
