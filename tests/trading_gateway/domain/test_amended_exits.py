"""An exit that is amended passes the checks of its price: a typing error must not close a position."""

from __future__ import annotations

from typing import Any

import pytest

from services.errors import FxError
from services.trading_gateway.domain.inputs import AmendOrder, Facts, SetTradingState
from services.trading_gateway.domain.orders import Amendment, Order
from services.trading_gateway.domain.terms import TypedLeg
from services.trading_gateway.domain.values import OrderStatus, OrderType, TradingState
from tests.trading_gateway.kit import Floor, open_floor

GOOD = ("1.10000", "1.10010")
BRACKET: dict[str, Any] = {
    "take_profit": TypedLeg(price="1.10100"),
    "stop_loss": TypedLeg(price="1.09900"),
}


def exits(floor: Floor, parent: Order) -> dict[str, Order]:
    book = floor.engine.book
    found = {
        "profit": book.find("demo", f"t-{parent.order_id}"),
        "loss": book.find("demo", f"p-{parent.order_id}"),
    }
    return {name: leg for name, leg in found.items() if leg is not None}


def refused(floor: Floor, order: Order, facts: Facts | None = None, /, **change: int | None) -> str:
    """The reason an amendment was refused for, after which the order is what it was."""
    asked = AmendOrder(floor.now_ns, order.order_id, Amendment(**change), facts or Facts())
    with pytest.raises(FxError) as raised:
        floor.engine.amend(asked)
    floor.settle()
    assert floor.engine.book.order(order.order_id) == order
    return raised.value.reason


@pytest.mark.parametrize(
    ("leg", "change", "reason"),
    [
        ("profit", {"limit": 1}, "TAKE_PROFIT_WRONG_SIDE"),
        ("profit", {"limit": 110_000}, "TAKE_PROFIT_WRONG_SIDE"),
        ("profit", {"limit": 1_085_000}, "PRICE_COLLAR"),
        ("loss", {"stop": 1_085_000}, "STOP_WRONG_SIDE"),
        ("loss", {"stop": 110_000}, "STOP_WRONG_SIDE"),
        ("loss", {"stop": 10_990}, "PRICE_COLLAR"),
    ],
)
def test_at_work_its_price_makes_sense_against_the_market(
    leg: str, change: dict[str, int], reason: str
) -> None:
    floor = open_floor(GOOD)
    order = exits(floor, floor.buy("a", **BRACKET))[leg]
    assert order.status is OrderStatus.ACCEPTED
    assert refused(floor, order, **change) == reason
    assert floor.engine.book.position("demo", "EURUSD").size == 10_000_00


@pytest.mark.parametrize(
    ("leg", "change", "reason"),
    [
        ("profit", {"limit": 109_940}, "TAKE_PROFIT_WRONG_SIDE"),
        ("profit", {"limit": 109_950}, "TAKE_PROFIT_WRONG_SIDE"),
        ("loss", {"stop": 109_950}, "STOP_LOSS_WRONG_SIDE"),
        ("loss", {"stop": 109_960}, "STOP_LOSS_WRONG_SIDE"),
    ],
)
def test_held_its_price_makes_sense_against_its_entry(leg: str, change: dict[str, int], reason: str) -> None:
    floor = open_floor(GOOD)
    order = exits(floor, floor.buy("a", type_=OrderType.LIMIT, limit="1.09950", **BRACKET))[leg]
    assert order.status is OrderStatus.HELD
    assert refused(floor, order, **change) == reason


def test_nothing_is_judged_on_a_quote_that_cannot_be_traded_on_but_a_size_needs_none() -> None:
    floor = open_floor(GOOD)
    loss = exits(floor, floor.buy("a", **BRACKET))["loss"]
    assert refused(floor, loss, Facts(feed_alive=False), stop=109_910) == "FEED_STALE"
    floor.tick(("1.10020", "1.10010"))
    assert refused(floor, loss, stop=109_910) == "QUOTE_CROSSED"
    assert floor.amend(loss, size=4_000_00).size == 4_000_00


def test_a_stop_may_be_moved_into_profit_also_while_trading_only_reduces() -> None:
    floor = open_floor(GOOD)
    loss = exits(floor, floor.buy("a", **BRACKET))["loss"]
    floor.tick(("1.10080", "1.10090"))
    floor.engine.set_trading_state(SetTradingState(floor.now_ns, "demo", TradingState.REDUCING, "drill"))
    moved = floor.amend(loss, stop=110_050)
    assert (moved.status, moved.stop) == (OrderStatus.ACCEPTED, 110_050)
