"""An order that was let through only because it reduces a position can never open one."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from services.trading_gateway.domain.conditions import PERFECT
from services.trading_gateway.domain.inputs import SetTradingState
from services.trading_gateway.domain.orders import Amendment, Order, amendment_asked
from services.trading_gateway.domain.placing import same_order
from services.trading_gateway.domain.rules import Rules
from services.trading_gateway.domain.simulated import SimulatedBooks
from services.trading_gateway.domain.terms import Typed, terms
from services.trading_gateway.domain.values import OrderStatus, OrderType, TradingState
from tests.trading_gateway.domain.test_whole_runs import same_again
from tests.trading_gateway.kit import Floor, open_floor

GOOD = ("1.10000", "1.10010")
BELOW = ("1.09940", "1.09950")
STOP: dict[str, Any] = {"type_": OrderType.STOP, "stop": "1.09950"}


def now(floor: Floor, order: Order) -> Order:
    return floor.engine.book.order(order.order_id)


def to(floor: Floor, state: TradingState) -> None:
    floor.engine.set_trading_state(SetTradingState(floor.now_ns, "demo", state, "drill"))


def held(floor: Floor) -> int:
    return floor.engine.book.position("demo", "EURUSD").size


@pytest.fixture
def long_and_reducing() -> Floor:
    floor = open_floor(GOOD)
    floor.buy("long")
    to(floor, TradingState.REDUCING)
    return floor


def test_it_goes_when_its_position_is_closed_otherwise(long_and_reducing: Floor) -> None:
    floor = long_and_reducing
    stop = floor.sell("stop", **STOP)
    assert (stop.status, stop.reduce_only) == (OrderStatus.ACCEPTED, True)
    floor.sell("close")
    assert (now(floor, stop).status, now(floor, stop).reason) == (OrderStatus.CANCELLED, "POSITION_CLOSED")
    floor.tick(BELOW)
    assert held(floor) == 0
    same_again(floor)


def test_it_fills_no_more_than_what_is_left(long_and_reducing: Floor) -> None:
    floor = long_and_reducing
    stop = floor.sell("stop", **STOP)
    floor.sell("part", "6000")
    floor.tick(BELOW)
    over = now(floor, stop)
    assert (over.status, over.filled, over.reason) == (OrderStatus.CANCELLED, 4_000_00, "NOTHING_TO_REDUCE")
    assert held(floor) == 0


def test_an_amendment_that_is_let_through_to_reduce_binds_the_order() -> None:
    floor = open_floor(GOOD)
    floor.buy("long")
    stop = floor.sell("stop", "1000", **STOP)
    assert not stop.reduce_only
    to(floor, TradingState.REDUCING)
    stop = floor.amend(stop, size=10_000_00)
    assert (stop.status, stop.size, stop.reduce_only) == (OrderStatus.ACCEPTED, 10_000_00, True)
    floor.sell("close")
    floor.tick(BELOW)
    assert (now(floor, stop).reason, held(floor)) == ("POSITION_CLOSED", 0)


def test_a_follower_that_is_let_through_to_reduce_when_it_is_released_is_bound_then() -> None:
    floor = open_floor(GOOD)
    floor.buy("long", "20000")
    entry = floor.sell("entry", type_=OrderType.LIMIT, limit="1.10100")
    follower = floor.sell("follower", **STOP, after=entry.order_id)
    assert not follower.reduce_only
    to(floor, TradingState.REDUCING)
    floor.tick(("1.10100", "1.10110"))
    assert (now(floor, follower).status, now(floor, follower).reduce_only) == (OrderStatus.ACCEPTED, True)
    floor.sell("close")
    floor.tick(BELOW)
    assert (now(floor, follower).reason, held(floor)) == ("POSITION_CLOSED", 0)


@pytest.mark.parametrize(
    ("rules", "size"),
    [
        (Rules(order_notional=1_000_000), "9090"),
        (Rules(position_notional=1_000_000), "9090"),
        (Rules(leverage=1), "90900"),
        (Rules(daily_loss=Fraction(1, 100_000)), "90900"),
        (Rules(drawdown=Fraction(1, 100_000)), "90900"),
    ],
    ids=["order notional", "position notional", "margin", "daily loss", "drawdown"],
)
def test_no_limit_is_got_round_by_two_orders(rules: Rules, size: str) -> None:
    floor = open_floor(GOOD, rules=rules)
    floor.buy("long", size)
    target = floor.sell("target", size, type_=OrderType.LIMIT, limit="1.12000")
    assert (target.status, target.reduce_only) == (OrderStatus.ACCEPTED, True)
    floor.sell("close", size)
    assert (now(floor, target).reason, held(floor)) == ("POSITION_CLOSED", 0)


def test_what_would_have_gone_without_the_position_stays_as_it_was_asked() -> None:
    floor = open_floor(GOOD)
    floor.buy("long")
    stop = floor.sell("stop", **STOP)
    assert not stop.reduce_only
    floor.sell("close")
    floor.tick(BELOW)
    assert (now(floor, stop).status, held(floor)) == (OrderStatus.FILLED, -10_000_00)


def test_the_same_request_again_finds_the_order(long_and_reducing: Floor) -> None:
    stop = long_and_reducing.sell("stop", **STOP)
    asked = terms("EURUSD", stop.side, stop.type, "10000", Typed(stop_price=STOP["stop"]))
    assert same_order(stop, asked) is stop


def test_a_venue_outside_is_told_with_the_amendment() -> None:
    floor = open_floor(GOOD)
    floor.buy("long")
    order = floor.sell("stop", "1000", **STOP)
    venue = SimulatedBooks(PERFECT)
    venue.submit(order, floor.now_ns)
    bound = replace(order, reduce_only=True)
    venue.amend(amendment_asked(bound, floor.now_ns, Amendment(size=10_000_00)), floor.now_ns)
    kept = venue.orders[order.order_id].order
    assert (kept.size, kept.reduce_only) == (10_000_00, True)
