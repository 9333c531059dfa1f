"""Orders that come with a take-profit and a stop-loss."""

from __future__ import annotations

from typing import Any

import pytest

from services.errors import FxError
from services.trading_gateway.domain.inputs import Facts, SetTradingState
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.terms import Typed, TypedLeg, terms
from services.trading_gateway.domain.values import (
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
    TradingState,
)
from tests.trading_gateway.kit import SECOND, Floor, open_floor, raw

GOOD = ("1.10000", "1.10010")
FAR = ("1.20000", "1.20010")
BRACKET: dict[str, Any] = {"take_profit": TypedLeg("1.10100"), "stop_loss": TypedLeg("1.09900")}
WAITING: dict[str, Any] = {"type_": OrderType.LIMIT, "limit": "1.09990"}
TOUCHED = ("1.09980", "1.09990")
"""The quote at which the waiting buy order fills."""


def legs(floor: Floor, parent: Order) -> tuple[Order, Order]:
    """Take-profit and stop-loss of an order."""
    book = floor.engine.book
    found = [book.find("demo", f"{letter}-{parent.order_id}") for letter in "tp"]
    assert found[0] is not None
    assert found[1] is not None
    return found[0], found[1]


def states(floor: Floor, parent: Order) -> list[tuple[OrderStatus, int]]:
    """Status and size of both."""
    return [(each.status, each.size) for each in legs(floor, parent)]


def now(floor: Floor, order: Order) -> Order:
    return floor.engine.book.order(order.order_id)


def held(floor: Floor, symbol: str = "EURUSD") -> int:
    return floor.engine.book.position("demo", symbol).size


# Brackets


def test_the_legs_of_a_market_order_work_once_it_is_filled_and_one_ends_the_other() -> None:
    floor = open_floor(GOOD)
    parent = floor.buy("a", **BRACKET)
    profit, loss = legs(floor, parent)
    assert (profit.side, profit.type, profit.limit) == (Side.SELL, OrderType.LIMIT, 110_100)
    assert (loss.side, loss.type, loss.stop) == (Side.SELL, OrderType.STOP, 109_900)
    assert states(floor, parent) == [(OrderStatus.ACCEPTED, 10_000_00)] * 2
    assert {each.parent_id for each in (profit, loss)} == {parent.order_id} == {profit.link_id}
    assert all(each.reduce_only for each in (profit, loss))

    floor.tick(("1.10100", "1.10110"))
    profit, loss = legs(floor, parent)
    assert (profit.status, profit.notional) == (OrderStatus.FILLED, 10_000_00 * 110_100)
    assert (loss.status, loss.reason) == (OrderStatus.CANCELLED, "LINK_FILLED")
    assert not held(floor)


def test_the_stop_loss_ends_the_take_profit() -> None:
    floor = open_floor(GOOD)
    parent = floor.buy("a", **BRACKET)
    floor.tick(("1.09890", "1.09900"))
    profit, loss = legs(floor, parent)
    assert (profit.status, loss.status) == (OrderStatus.CANCELLED, OrderStatus.FILLED)
    assert loss.notional == 10_000_00 * 109_890
    assert not held(floor)


def test_legs_are_held_until_the_order_fills_and_then_follow_its_size() -> None:
    floor = open_floor(GOOD)
    parent = floor.buy("a", **WAITING, **BRACKET)
    assert states(floor, parent) == [(OrderStatus.HELD, 10_000_00)] * 2
    assert not any(leg.at_venue for leg in legs(floor, parent))

    floor.tick(TOUCHED, sizes=(1, 4_000))
    assert states(floor, parent) == [(OrderStatus.ACCEPTED, 4_000_00)] * 2
    floor.tick(TOUCHED, sizes=(1, 5_000))
    assert states(floor, parent) == [(OrderStatus.ACCEPTED, 9_000_00)] * 2
    floor.tick(TOUCHED)
    assert states(floor, parent) == [(OrderStatus.ACCEPTED, 10_000_00)] * 2


def test_legs_follow_an_order_that_walks_the_book_in_one_step() -> None:
    floor = open_floor(GOOD)
    floor.tick(GOOD, sizes=(5_000, 3_000))
    depth = ((110_010, 3_000_00), (110_012, 4_000_00), (110_020, 3_000_00))
    loss = TypedLeg(distance="0.00050")
    parent = floor.buy("a", facts=Facts(depth=depth), take_profit=TypedLeg("1.10100"), stop_loss=loss)
    # 1.100138 on average, 1.099638 at the distance.
    assert states(floor, parent) == [(OrderStatus.ACCEPTED, 10_000_00)] * 2
    assert legs(floor, parent)[1].stop == 109_963


def test_a_leg_stays_while_its_entry_may_open_the_position_again() -> None:
    floor = open_floor(GOOD)
    parent = floor.buy("a", **WAITING, **BRACKET)
    floor.tick(TOUCHED, sizes=(1, 4_000))
    floor.tick(GOOD, sizes=(9_000, 9_000))
    floor.sell("by hand", "4000")
    assert not held(floor)
    assert states(floor, parent) == [(OrderStatus.ACCEPTED, 4_000_00)] * 2
    floor.tick(TOUCHED)
    assert states(floor, parent) == [(OrderStatus.ACCEPTED, 10_000_00)] * 2
    floor.tick(("1.09890", "1.09900"))
    assert not held(floor)


def test_a_fill_of_one_leg_takes_its_size_from_the_other_and_ends_the_entry() -> None:
    floor = open_floor(GOOD)
    parent = floor.buy("a", **WAITING, **BRACKET)
    floor.tick(TOUCHED, sizes=(1, 6_000))
    floor.tick(("1.10100", "1.10110"), sizes=(2_000, 1))

    profit, loss = legs(floor, parent)
    assert (profit.status, profit.size, profit.filled) == (
        OrderStatus.PARTIALLY_FILLED,
        6_000_00,
        2_000_00,
    )
    assert (loss.status, loss.size, loss.filled) == (OrderStatus.ACCEPTED, 4_000_00, 0)
    ended = now(floor, parent)
    assert (ended.status, ended.reason, ended.filled) == (OrderStatus.CANCELLED, "LEG_FILLED", 6_000_00)

    floor.tick(("1.09890", "1.09900"))
    profit, loss = legs(floor, parent)
    assert (profit.status, profit.filled) == (OrderStatus.CANCELLED, 2_000_00)
    assert (loss.status, loss.filled) == (OrderStatus.FILLED, 4_000_00)
    assert not held(floor)


@pytest.mark.parametrize("end", ["cancelled", "expired", "never taken"])
def test_an_order_that_ends_without_a_fill_takes_its_legs_with_it(end: str) -> None:
    floor = open_floor(GOOD)
    due = floor.now_ns + 5 * SECOND
    timing: dict[str, Any] = {"tif": TimeInForce.GTD, "expires_ns": due} if end == "expired" else {}
    if end == "never taken":
        floor.tick(GOOD, sizes=(1, 5_000))
        parent = floor.buy("a", tif=TimeInForce.FOK, **BRACKET)
    else:
        parent = floor.buy("a", **WAITING, **timing, **BRACKET)
    if end == "cancelled":
        floor.cancel(parent)
    elif end == "expired":
        floor.tick(GOOD, at_ns=due)

    assert now(floor, parent).final
    assert [(leg.status, leg.reason) for leg in legs(floor, parent)] == [
        (OrderStatus.CANCELLED, "PARENT_ENDED")
    ] * 2
    assert not floor.engine.book.working()


def test_a_refused_order_has_no_legs() -> None:
    floor = open_floor(GOOD)
    refused = floor.buy("a", "20000000", **BRACKET)
    assert refused.status is OrderStatus.REJECTED
    assert floor.engine.book.find("demo", f"p-{refused.order_id}") is None


def test_what_an_order_has_filled_stays_protected_when_its_rest_is_cancelled() -> None:
    floor = open_floor(GOOD)
    parent = floor.buy("a", **WAITING, **BRACKET)
    floor.tick(TOUCHED, sizes=(1, 3_000))
    floor.cancel(parent)
    assert states(floor, parent) == [(OrderStatus.ACCEPTED, 3_000_00)] * 2


def test_distances_count_from_the_average_fill_to_the_tick_further_away() -> None:
    floor = open_floor(GOOD)
    parent = floor.buy(
        "a",
        type_=OrderType.LIMIT,
        limit="1.09990",
        take_profit=TypedLeg(distance="0.00100"),
        stop_loss=TypedLeg(distance="0.00050"),
    )
    profit, loss = legs(floor, parent)
    assert (profit.limit, loss.stop) == (None, None)
    floor.tick(("1.09980", "1.09990"), sizes=(1, 4_000))
    profit, loss = legs(floor, parent)
    assert (profit.limit, loss.stop) == (110_090, 109_940)
    floor.tick(("1.09970", "1.09981"))

    # 4,000 at 1.09990 and 6,000 at 1.09981: 1.099846 on average, so 1.100846 and 1.099346.
    profit, loss = legs(floor, parent)
    assert (profit.limit, loss.stop) == (110_085, 109_934)
    assert states(floor, parent) == [(OrderStatus.ACCEPTED, 10_000_00)] * 2


def test_a_short_entry_has_its_legs_the_other_way_round() -> None:
    floor = open_floor(GOOD)
    parent = floor.sell("a", take_profit=TypedLeg(distance="0.00100"), stop_loss=TypedLeg(distance="0.00050"))
    profit, loss = legs(floor, parent)
    assert (profit.side, profit.limit, loss.stop) == (Side.BUY, 109_900, 110_050)


def test_a_trailing_stop_loss_starts_where_the_order_fills() -> None:
    floor = open_floor(GOOD)
    parent = floor.buy("a", **WAITING, stop_loss=TypedLeg(trail_distance="0.00030"))
    floor.tick(FAR, ("1.10000", "1.10010"))
    floor.tick(TOUCHED)
    loss = floor.engine.book.find("demo", f"p-{parent.order_id}")
    assert loss is not None
    assert (loss.type, loss.stop, loss.status) == (
        OrderType.TRAILING_STOP,
        109_950,
        OrderStatus.ACCEPTED,
    )


def test_an_entry_that_turns_a_position_protects_what_it_opened() -> None:
    floor = open_floor(GOOD)
    floor.sell("short", "4000")
    parent = floor.buy("a", "10000", **BRACKET)
    assert held(floor) == 6_000_00
    assert states(floor, parent) == [(OrderStatus.ACCEPTED, 6_000_00)] * 2


def test_closing_the_position_otherwise_ends_its_legs() -> None:
    floor = open_floor(GOOD)
    parent = floor.buy("a", **BRACKET)
    floor.sell("close")
    assert {(leg.status, leg.reason) for leg in legs(floor, parent)} == {
        (OrderStatus.CANCELLED, "POSITION_CLOSED")
    }


def test_cancelling_one_leg_leaves_the_other() -> None:
    floor = open_floor(GOOD)
    parent = floor.buy("a", **BRACKET)
    profit, loss = legs(floor, parent)
    floor.cancel(profit)
    assert now(floor, loss).status is OrderStatus.ACCEPTED
    floor.tick(("1.09890", "1.09900"))
    assert not held(floor)


def test_a_held_leg_can_be_amended_and_keeps_that() -> None:
    floor = open_floor(GOOD)
    parent = floor.buy(
        "a", **WAITING, take_profit=BRACKET["take_profit"], stop_loss=TypedLeg(distance="0.00050")
    )
    profit, loss = legs(floor, parent)
    amended = floor.amend(loss, stop=raw("EURUSD", "1.09800"))
    assert (amended.status, amended.stop) == (OrderStatus.HELD, 109_800)
    floor.amend(profit, size=2_000_00)
    floor.tick(TOUCHED)

    profit, loss = legs(floor, parent)
    assert (loss.status, loss.stop, loss.size) == (OrderStatus.ACCEPTED, 109_800, 10_000_00)
    assert (profit.status, profit.size) == (OrderStatus.ACCEPTED, 2_000_00)
    floor.tick(("1.10100", "1.10110"))
    assert (now(floor, loss).status, now(floor, loss).size) == (OrderStatus.ACCEPTED, 8_000_00)


def test_a_working_leg_can_be_amended_and_goes_on_following_its_entry() -> None:
    floor = open_floor(GOOD)
    parent = floor.buy("a", **WAITING, stop_loss=TypedLeg(distance="0.00050"))
    floor.tick(TOUCHED, sizes=(1, 4_000))
    loss = floor.engine.book.find("demo", f"p-{parent.order_id}")
    assert loss is not None
    floor.amend(loss, stop=109_900)
    floor.tick(("1.09970", "1.09980"))
    assert (now(floor, loss).stop, now(floor, loss).size) == (109_900, 10_000_00)


@pytest.mark.parametrize("state", [TradingState.HALTED, TradingState.REDUCING])
def test_a_position_that_an_entry_opens_in_a_halt_is_protected(state: TradingState) -> None:
    floor = open_floor(GOOD)
    parent = floor.buy("a", **WAITING, **BRACKET)
    follower = floor.buy("b", type_=OrderType.LIMIT, limit="1.09000", after=parent.order_id)
    floor.engine.set_trading_state(SetTradingState(floor.now_ns, "demo", state, "enough"))
    floor.tick(TOUCHED, sizes=(1, 4_000))  # a part of the entry
    assert {(leg.status, leg.size) for leg in legs(floor, parent)} == {(OrderStatus.ACCEPTED, 4_000_00)}
    assert (now(floor, follower).status, now(floor, follower).reason) == (
        OrderStatus.REJECTED,
        f"TRADING_{state.name}",
    )
    floor.tick(TOUCHED)  # and the rest
    profit, loss = legs(floor, parent)
    assert {leg.size for leg in (profit, loss)} == {10_000_00}
    floor.tick(("1.09890", "1.09900"))
    assert now(floor, loss).status is OrderStatus.FILLED
    assert floor.engine.book.position("demo", "EURUSD").flat
    assert floor.account().trading_state is state


def test_a_leg_that_is_at_work_is_not_amended_in_a_halt() -> None:
    floor = open_floor(GOOD)
    parent = floor.buy("a", **WAITING, **BRACKET)
    floor.tick(TOUCHED)
    floor.engine.set_trading_state(SetTradingState(floor.now_ns, "demo", TradingState.HALTED, "enough"))
    _, loss = legs(floor, parent)
    with pytest.raises(FxError, match="TRADING_HALTED"):
        floor.amend(loss, stop=loss.stop)


@pytest.mark.parametrize(
    ("side", "take_profit", "stop_loss", "reason"),
    [
        (Side.BUY, TypedLeg("1.10010"), None, "TAKE_PROFIT_WRONG_SIDE"),
        (Side.SELL, TypedLeg("1.10000"), None, "TAKE_PROFIT_WRONG_SIDE"),
        (Side.BUY, None, TypedLeg("1.10010"), "STOP_LOSS_WRONG_SIDE"),
        (Side.SELL, None, TypedLeg("1.10000"), "STOP_LOSS_WRONG_SIDE"),
        (Side.BUY, TypedLeg("1.90000"), None, "PRICE_COLLAR"),
        (Side.BUY, None, TypedLeg(distance="0.90000"), "PRICE_COLLAR"),
        (Side.BUY, None, TypedLeg(trail_distance="0.90000"), "PRICE_COLLAR"),
    ],
)
def test_a_leg_that_makes_no_sense_is_refused_with_its_order(
    side: Side, take_profit: TypedLeg | None, stop_loss: TypedLeg | None, reason: str
) -> None:
    floor = open_floor(GOOD)
    refused = floor.place("a", side, "10000", take_profit=take_profit, stop_loss=stop_loss)
    assert (refused.status, refused.reason) == (OrderStatus.REJECTED, reason)


@pytest.mark.parametrize(
    ("typed", "reason", "field"),
    [
        (Typed(take_profit=TypedLeg()), "PRICE_REQUIRED", "take_profit.limit_price"),
        (Typed(stop_loss=TypedLeg()), "PRICE_REQUIRED", "stop_loss.stop_price"),
        (Typed(stop_loss=TypedLeg("1.1", "0.1")), "PRICE_NOT_ALLOWED", "stop_loss.distance"),
        (Typed(take_profit=TypedLeg("1.100001")), "PRICE_TICK", "take_profit.limit_price"),
        (Typed(stop_loss=TypedLeg(distance="0")), "VALIDATION_FAILED", "stop_loss.distance"),
        (Typed(reduce_only=True, stop_loss=TypedLeg("1.1")), "OPTION_NOT_ALLOWED", "stop_loss"),
    ],
)
def test_the_shape_of_a_leg_is_the_callers_fault(typed: Typed, reason: str, field: str) -> None:
    with pytest.raises(FxError) as caught:
        terms("EURUSD", Side.BUY, OrderType.MARKET, "1000", typed)
    assert caught.value.reason == reason
    assert [each.field for each in caught.value.violations] == [field]
