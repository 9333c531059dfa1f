"""Every pre-trade check refuses with its own reason, and lets pass what only reduces."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from services.errors import FxError
from services.trading_gateway.domain.inputs import Facts, SetTradingState
from services.trading_gateway.domain.markets import Session
from services.trading_gateway.domain.orders import Order, Terms
from services.trading_gateway.domain.rules import Rules
from services.trading_gateway.domain.terms import Typed, terms
from services.trading_gateway.domain.values import (
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
    TradingState,
    TriggerSide,
)
from tests.trading_gateway.kit import REPLAY_SESSION, SECOND, START, Floor, open_floor

GOOD = ("1.10000", "1.10010")
SATURDAY = START + 3 * 86_400 * SECOND


def why(order: Order) -> str:
    """The reason an order was refused for; fails for one that was not."""
    assert order.status is OrderStatus.REJECTED, order
    assert order.reason_detail
    return order.reason


def test_the_kill_switch_stops_all_orders_and_lets_cancels_through() -> None:
    floor = open_floor(GOOD)
    working = floor.buy("a", type_=OrderType.LIMIT, limit="1.09990")
    floor.engine.set_trading_state(SetTradingState(START, "demo", TradingState.HALTED, "drill"))

    assert why(floor.buy("b")) == "TRADING_HALTED"
    assert floor.cancel(working).status is OrderStatus.CANCELLED


def test_reducing_takes_only_what_brings_a_position_nearer_to_flat() -> None:
    floor = open_floor(GOOD)
    floor.buy("a", "10000")
    floor.sell("d", "6000", type_=OrderType.LIMIT, limit="1.10100")
    floor.engine.set_trading_state(SetTradingState(START, "demo", TradingState.REDUCING, "drift"))

    assert why(floor.buy("b", "1")) == "TRADING_REDUCING"
    assert why(floor.sell("c", "10001")) == "TRADING_REDUCING"
    assert why(floor.sell("e", "4001")) == "TRADING_REDUCING"  # with what works already it would turn
    assert floor.sell("f", "4000").status is OrderStatus.FILLED


def test_market_states_that_nothing_is_traded_in() -> None:
    assert (
        why(open_floor(GOOD, rules=Rules(untradable=frozenset({"EURUSD"}))).buy("a"))
        == "INSTRUMENT_NOT_TRADABLE"
    )
    floor = open_floor(GOOD)
    assert why(floor.place("a", Side.BUY, "1000", facts=Facts(feed_alive=False))) == "FEED_STALE"
    assert why(floor.buy("b", symbol="USDJPY")) == "NO_QUOTE"
    floor.tick(("1.10020", "1.10010"))
    assert why(floor.buy("c")) == "QUOTE_CROSSED"
    floor.tick(GOOD, skip=2)
    assert why(floor.buy("d")) == "QUOTE_GAPPED"
    floor.tick(GOOD)
    assert floor.buy("e").status is OrderStatus.FILLED


def test_a_quote_too_old_in_market_time_is_not_traded_on() -> None:
    floor = open_floor(GOOD)
    floor.engine.read(floor.batches[-1][1:], floor.now_ns + 601 * SECOND)
    assert why(floor.buy("a")) == "QUOTE_OVER_AGE"


def test_a_replays_market_keeps_its_calendar_and_the_synthetic_one_is_always_open() -> None:
    floor = Floor()
    floor.announce()
    floor.announce(REPLAY_SESSION)
    floor.open()
    floor.open("replay-r1", scope="r1")
    floor.tick(GOOD, at_ns=SATURDAY)
    floor.tick(GOOD, session="r1", at_ns=SATURDAY)

    assert floor.buy("a").status is OrderStatus.FILLED
    assert why(floor.place("a", Side.BUY, "1000", account="replay-r1")) == "MARKET_CLOSED"
    assert (
        why(floor.place("b", Side.BUY, "1000", symbol="USDJPY", account="replay-r1"))
        == "INSTRUMENT_NOT_TRADABLE"
    )


def test_gold_is_not_traded_in_its_daily_pause() -> None:
    """17:00 to 18:00 in New York is 21:00 to 22:00 UTC in May."""
    floor, gold = Floor(), Session("r1", replay=True, symbols=("XAUUSD",), always_open=False)
    floor.announce(gold)
    floor.open("replay-r1", scope="r1")
    pause = START + 10 * 3600 * SECOND
    found = []
    for number, at_ns in enumerate((pause - SECOND, pause, pause + 3599 * SECOND, pause + 3600 * SECOND)):
        floor.tick(("1290.100", "1290.400"), symbol="XAUUSD", session="r1", at_ns=at_ns)
        found.append(floor.place(str(number), Side.BUY, "1", symbol="XAUUSD", account="replay-r1"))

    assert [each.status is OrderStatus.FILLED for each in found] == [True, False, False, True]
    assert [why(each) for each in found[1:3]] == ["MARKET_CLOSED"] * 2


@pytest.mark.parametrize(("side", "stop"), [(Side.BUY, "1.10010"), (Side.SELL, "1.10000")])
def test_a_stop_on_the_wrong_side_is_refused(side: Side, stop: str) -> None:
    floor = open_floor(GOOD)
    assert why(floor.place("a", side, "1000", type_=OrderType.STOP, stop=stop)) == "STOP_WRONG_SIDE"


@pytest.mark.parametrize("limit", ["1.04500", "1.15511", "11.0001"])
def test_a_price_far_from_the_market_is_refused(limit: str) -> None:
    floor = open_floor(GOOD)
    assert why(floor.buy("a", type_=OrderType.LIMIT, limit=limit)) == "PRICE_COLLAR"


def test_limits_of_size_and_exposure() -> None:
    small = Rules(order_notional=1_200_000, position_notional=2_000_000, currency_exposure=10**12)
    floor = open_floor(GOOD, rules=small)
    assert why(floor.buy("a", "11000")) == "NOTIONAL_LIMIT"
    assert floor.buy("b", "10000").status is OrderStatus.FILLED
    assert why(floor.buy("c", "10000")) == "POSITION_LIMIT"
    assert floor.buy("d", "8000", type_=OrderType.LIMIT, limit="1.09990").status is OrderStatus.ACCEPTED
    assert why(floor.buy("e", "1000")) == "POSITION_LIMIT"  # with what works already


def test_the_exposure_to_a_currency_is_netted_over_symbols() -> None:
    floor = open_floor(GOOD, rules=Rules(currency_exposure=1_500_000))
    floor.tick(("110.000", "110.010"), symbol="USDJPY")
    floor.tick(("121.000", "121.020"), symbol="EURJPY")
    assert floor.buy("a", "10000").status is OrderStatus.FILLED  # +10,000 EUR, -11,000 USD
    assert why(floor.buy("b", "10000")) == "EXPOSURE_LIMIT"
    assert why(floor.buy("c", "10000", symbol="EURJPY")) == "EXPOSURE_LIMIT"
    assert (
        floor.buy("d", "9000", symbol="USDJPY").status is OrderStatus.FILLED
    )  # brings USD nearer to nothing


def test_margin_must_be_covered_by_equity() -> None:
    floor = Floor()
    floor.announce()
    floor.open(deposit=100_000)  # 1,000.00 USD
    floor.tick(GOOD)
    assert why(floor.buy("a", "28000")) == "INSUFFICIENT_MARGIN"  # 28,000 × 1.1001 × 3.33 % = 1,025.74
    assert floor.buy("b", "27000").status is OrderStatus.FILLED
    assert why(floor.buy("c", "1000")) == "INSUFFICIENT_MARGIN"
    assert floor.sell("d", "27000").status is OrderStatus.FILLED


def test_losses_of_the_day_and_from_the_peak_stop_new_risk() -> None:
    floor = Floor(Rules(daily_loss=Fraction(1, 100), drawdown=Fraction(2, 100)))
    floor.announce()
    floor.open(deposit=1_000_000)
    floor.tick(GOOD)
    floor.buy("a", "100000")
    floor.tick(("1.09910", "1.09920"))  # 100 of 10,000 lost
    assert why(floor.buy("b", "1000")) == "DAILY_LOSS_LIMIT"
    assert floor.sell("c", "50000").status is OrderStatus.FILLED

    next_day = START + 10 * 3_600 * SECOND
    floor.tick(("1.09910", "1.09920"), ("1.09910", "1.09920"), at_ns=next_day)
    assert floor.account().day_start_equity < 1_000_000
    assert floor.buy("d", "1000").status is OrderStatus.FILLED
    floor.tick(("1.09700", "1.09710"))
    assert why(floor.buy("e", "1000")) == "DAILY_LOSS_LIMIT"
    after = floor.now_ns + 24 * 3_600 * SECOND
    floor.tick(("1.09700", "1.09710"), at_ns=after)
    floor.tick(("1.09700", "1.09710"))
    assert why(floor.buy("f", "1000")) == "DRAWDOWN_LIMIT"


def test_an_account_in_a_currency_without_a_cross_is_refused() -> None:
    floor = Floor()
    floor.announce()
    floor.open("francs", currency="CHF")
    floor.tick(GOOD)
    assert why(floor.place("a", Side.BUY, "1000", account="francs")) == "NO_CONVERSION_RATE"


def test_order_rate_and_backlog_guard_new_risk_only() -> None:
    floor = open_floor(GOOD, rules=Rules(orders_per_second=2, outbox_backlog=5))
    assert floor.buy("a", "1000").status is OrderStatus.FILLED
    assert floor.buy("b", "1000").status is OrderStatus.FILLED
    assert why(floor.buy("c", "1000")) == "ORDER_RATE"
    assert floor.sell("d", "2000").status is OrderStatus.FILLED
    floor.tick(GOOD)
    assert floor.buy("e", "1000").status is OrderStatus.FILLED
    assert why(floor.place("f", Side.BUY, "1000", facts=Facts(outbox_backlog=6))) == "OUTBOX_BACKLOG"
    assert floor.place("g", Side.SELL, "1000", facts=Facts(outbox_backlog=6)).status is OrderStatus.FILLED


def test_a_bus_without_room_refuses_new_risk_only() -> None:
    floor = open_floor(GOOD)
    assert floor.buy("a", "1000").status is OrderStatus.FILLED
    assert why(floor.place("b", Side.BUY, "1000", facts=Facts(bus_full=True))) == "STREAM_FULL"
    assert floor.place("c", Side.SELL, "1000", facts=Facts(bus_full=True)).status is OrderStatus.FILLED


def test_refusals_are_counted_by_reason() -> None:
    floor = open_floor(GOOD)
    floor.buy("a", symbol="USDJPY")
    floor.buy("b", symbol="USDJPY")
    assert floor.engine.book.refusals["demo"] == {"NO_QUOTE": 2}


@pytest.mark.parametrize(
    ("type_", "size", "more", "reason"),
    [
        (OrderType.LIMIT, "1000", {}, "PRICE_REQUIRED"),
        (OrderType.STOP, "1000", {}, "PRICE_REQUIRED"),
        (OrderType.STOP, "1000", {"limit_price": "1.1"}, "PRICE_NOT_ALLOWED"),
        (OrderType.MARKET, "1000", {"limit_price": "1.1"}, "PRICE_NOT_ALLOWED"),
        (OrderType.LIMIT, "1000", {"limit_price": "1.1", "stop_price": "1.1"}, "PRICE_NOT_ALLOWED"),
        (OrderType.LIMIT, "1000", {"limit_price": "1.100001"}, "PRICE_TICK"),
        (OrderType.LIMIT, "1000", {"limit_price": "0"}, "VALIDATION_FAILED"),
        (OrderType.MARKET, "1000.5", {}, "SIZE_STEP"),
        (OrderType.MARKET, "1000.001", {}, "SIZE_STEP"),
        (OrderType.MARKET, "0", {}, "SIZE_BELOW_MINIMUM"),
        (OrderType.MARKET, "999999999999", {}, "SIZE_ABOVE_MAXIMUM"),
        (OrderType.MARKET, "1e5", {}, "VALIDATION_FAILED"),
        (OrderType.MARKET, "１000", {}, "VALIDATION_FAILED"),
        (OrderType.MARKET, "1000", {"time_in_force": TimeInForce.GTC}, "TIME_IN_FORCE_INVALID"),
        (
            OrderType.STOP,
            "1000",
            {"stop_price": "1.2", "time_in_force": TimeInForce.FOK},
            "TIME_IN_FORCE_INVALID",
        ),
        (
            OrderType.LIMIT,
            "1000",
            {"limit_price": "1.1", "time_in_force": TimeInForce.GTD},
            "TIME_IN_FORCE_INVALID",
        ),
        (OrderType.LIMIT, "1000", {"limit_price": "1.1", "expires_ns": 5}, "TIME_IN_FORCE_INVALID"),
        (OrderType.STOP_LIMIT, "1000", {"limit_price": "1.1"}, "PRICE_REQUIRED"),
        (OrderType.STOP_LIMIT, "1000", {"stop_price": "1.1"}, "PRICE_REQUIRED"),
        (OrderType.MARKET_IF_TOUCHED, "1000", {}, "PRICE_REQUIRED"),
        (
            OrderType.MARKET_IF_TOUCHED,
            "1000",
            {"stop_price": "1.1", "limit_price": "1.1"},
            "PRICE_NOT_ALLOWED",
        ),
        (
            OrderType.MARKET_IF_TOUCHED,
            "1000",
            {"stop_price": "1.1", "time_in_force": TimeInForce.IOC},
            "TIME_IN_FORCE_INVALID",
        ),
        (OrderType.TRAILING_STOP, "1000", {}, "PRICE_REQUIRED"),
        (OrderType.TRAILING_STOP, "1000", {"trail_distance": "0"}, "VALIDATION_FAILED"),
        (OrderType.TRAILING_STOP, "1000", {"trail_distance": "0.001001"}, "PRICE_TICK"),
        (OrderType.TRAILING_STOP, "1000", {"trail_distance": "0.01", "stop_price": "1"}, "PRICE_NOT_ALLOWED"),
        (OrderType.STOP, "1000", {"stop_price": "1.1", "trail_distance": "0.01"}, "PRICE_NOT_ALLOWED"),
        (OrderType.LIMIT, "1000", {"limit_price": "1.1", "trigger": TriggerSide.MID}, "OPTION_NOT_ALLOWED"),
        (OrderType.MARKET, "1000", {"post_only": True}, "OPTION_NOT_ALLOWED"),
        (
            OrderType.STOP_LIMIT,
            "1000",
            {"limit_price": "1", "stop_price": "1", "post_only": True},
            "OPTION_NOT_ALLOWED",
        ),
        (
            OrderType.LIMIT,
            "1000",
            {"limit_price": "1.1", "post_only": True, "time_in_force": TimeInForce.IOC},
            "OPTION_NOT_ALLOWED",
        ),
    ],
)
def test_the_shape_of_an_order_is_the_callers_fault(
    type_: OrderType, size: str, more: dict[str, Any], reason: str
) -> None:
    with pytest.raises(FxError) as caught:
        asked(type_, size, **more)
    assert (caught.value.kind.name, caught.value.reason) == ("INVALID_ARGUMENT", reason)
    assert caught.value.violations


def asked(type_: OrderType, size: str, **more: Any) -> Terms:
    """Terms of a buy order of EURUSD; prices and conditions by name."""
    timing = {name: more.pop(name) for name in ("time_in_force", "expires_ns") if name in more}
    return terms("EURUSD", Side.BUY, type_, size, Typed(**more), **timing)


def test_trailing_zeros_are_no_decimals() -> None:
    wanted = asked(OrderType.LIMIT, "1000.0000", limit_price="1.1000000")
    assert (wanted.size, wanted.limit) == (1_000_00, 110_000)


def test_an_unknown_symbol_is_named() -> None:
    with pytest.raises(FxError, match="UNKNOWN_SYMBOL"):
        terms("EURXXX", Side.BUY, OrderType.MARKET, "1000")
