"""Automatic decisions: what is ordered on a signal, in which size, and why a signal is left alone."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from services.trading_gateway.domain.autotrade import ORDERED, Policy
from services.trading_gateway.domain.changes import Decision
from services.trading_gateway.domain.events import RiskLimitChanged
from services.trading_gateway.domain.inputs import (
    Advice,
    Facts,
    Opinion,
    SetAutoTrade,
    SetTradingState,
    Signal,
    SignalDecided,
)
from services.trading_gateway.domain.limits import LimitName
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.valuation import account_view
from services.trading_gateway.domain.values import OrderOrigin, OrderStatus, OrderType, Side, TradingState
from tests.trading_gateway.kit import SECOND, START, Floor, open_floor

GOOD = ("1.10000", "1.10010")
HOUR = 3_600 * SECOND
SIGNAL = Signal(
    signal_id="syn-1:EURUSD:1h:trend:20140507T1000Z",
    session_id="syn-1",
    symbol="EURUSD",
    timeframe="1h",
    timeframe_ns=HOUR,
    strategy="trend",
    side=Side.BUY,
    strength_ppm=600_000,
    probability_ppm=None,
    bar_open_ns=START - HOUR,
    time_ns=START,
    tick_sequence=1,
    number=1,
)


def decided(floor: Floor, signal: Signal = SIGNAL, **more: object) -> Decision:
    asked = SignalDecided(floor.now_ns, "demo", signal, Advice.COMPLETE, "", 100, (), Facts())
    decision = floor.engine.decide(replace(asked, **more))  # type: ignore[arg-type]
    floor.settle()
    return decision


def another(side: Side, number: int = 2, **more: object) -> Signal:
    return replace(SIGNAL, signal_id=f"other-{number}", side=side, number=number, **more)  # type: ignore[arg-type]


def protective(floor: Floor) -> list[Order]:
    return [order for order in floor.engine.book.working() if order.reduce_only]


def test_a_signal_becomes_a_market_order_sized_by_risk_and_range_with_a_stop() -> None:
    floor = open_floor(GOOD)

    decision = decided(floor)

    # 0.5 % of 100,000 over a stop two ranges (0.00200) away: 250,000 units.
    order = floor.engine.book.order(decision.order_id)
    assert (decision.reason, order.status, order.size) == (ORDERED, OrderStatus.FILLED, 250_000_00)
    assert (order.origin, order.signal_id, order.type) == (
        OrderOrigin.SIGNAL,
        SIGNAL.signal_id,
        OrderType.MARKET,
    )
    (stop,) = protective(floor)
    assert (stop.side, stop.type, stop.size, stop.stop) == (Side.SELL, OrderType.STOP, 250_000_00, 109_810)
    assert (stop.status, stop.origin) == (OrderStatus.ACCEPTED, OrderOrigin.SIGNAL)


def test_leverage_caps_the_size_and_micro_lots_round_it_down() -> None:
    floor = open_floor(GOOD, policy=Policy(leverage=Fraction(1)))
    decision = decided(floor, average_range=1)
    assert floor.engine.book.order(decision.order_id).size == 90_000_00  # 100,000 / 1.1001 = 90,900


def test_a_stop_hit_loses_about_the_risk_share() -> None:
    floor = open_floor(GOOD)
    decided(floor)
    floor.tick(("1.09810", "1.09820"))

    assert floor.engine.book.position("demo", "EURUSD").flat
    assert floor.account().realised == -50_000
    assert not protective(floor)


def test_an_opposite_signal_turns_the_position_and_its_protection() -> None:
    floor = open_floor(GOOD)
    decided(floor)
    decision = decided(floor, another(Side.SELL))

    assert floor.engine.book.order(decision.order_id).size == 250_000_00 + 249_000_00
    assert floor.engine.book.position("demo", "EURUSD").size == -249_000_00
    (stop,) = protective(floor)
    assert (stop.side, stop.size) == (Side.BUY, 249_000_00)


def test_without_flipping_an_opposite_signal_only_closes() -> None:
    floor = open_floor(GOOD, policy=Policy(flip=False))
    decided(floor)
    decided(floor, another(Side.SELL))

    assert floor.engine.book.position("demo", "EURUSD").flat
    assert not protective(floor)


def test_closing_by_hand_withdraws_the_protection() -> None:
    floor = open_floor(GOOD)
    decided(floor)
    floor.sell("by-hand", "250000")
    assert not floor.engine.book.working()


def test_a_protective_stop_reduces_what_is_left_and_never_opens() -> None:
    floor = open_floor(GOOD)
    decided(floor)
    floor.sell("half", "200000")
    floor.tick(("1.09810", "1.09820"))
    assert floor.engine.book.position("demo", "EURUSD").flat
    assert not floor.engine.book.working()


def test_what_a_check_refuses_is_said_in_the_decision() -> None:
    floor = open_floor(GOOD)
    floor.engine.set_trading_state(SetTradingState(START, "demo", TradingState.REDUCING, ""))
    assert decided(floor).reason == "TRADING_REDUCING"


@pytest.mark.parametrize(
    ("signal", "more", "reason"),
    [
        (SIGNAL, {"time_ns": START + HOUR + 1}, "SIGNAL_TOO_OLD"),
        (SIGNAL, {"advice": Advice.UNAVAILABLE}, "PEER_UNAVAILABLE"),
        (SIGNAL, {"average_range": None}, "NOT_ENOUGH_BARS"),
        (replace(SIGNAL, strength_ppm=390_000), {}, "WEAK_SIGNAL"),
        (replace(SIGNAL, probability_ppm=330_000), {}, "WEAK_SIGNAL"),
        (SIGNAL, {"opinions": (Opinion("breakout", Side.SELL, 700_000),)}, "CONTRADICTED"),
        (replace(SIGNAL, symbol="USDJPY"), {}, "NO_QUOTE"),
        (SIGNAL, {"average_range": 60_000}, "SIZE_TOO_SMALL"),
        (SIGNAL, {"facts": Facts(feed_alive=False)}, "FEED_STALE"),
    ],
)
def test_why_a_signal_is_left_alone(signal: Signal, more: dict[str, object], reason: str) -> None:
    floor = open_floor(GOOD)
    decision = decided(floor, signal, **more)
    assert decision.reason == reason
    assert floor.engine.book.position("demo", signal.symbol).flat


def test_a_predicted_probability_lifts_a_signal_over_the_threshold() -> None:
    floor = open_floor(GOOD)
    assert decided(floor, replace(SIGNAL, strength_ppm=390_000, probability_ppm=600_000)).reason == ORDERED


def test_a_position_or_order_on_the_signals_side_is_enough() -> None:
    floor = open_floor(GOOD)
    decided(floor)
    assert decided(floor, another(Side.BUY)).reason == "ALREADY_IN_POSITION"

    waiting = open_floor(GOOD)
    waiting.buy("limit", type_=OrderType.LIMIT, limit="1.09000")
    assert decided(waiting).reason == "ORDER_WORKING"


def test_a_decision_says_where_its_size_comes_from() -> None:
    """0.5 % of 100,000 USD over twice a range of 0.00100: 500 / 0.00200 = 250,000 EUR."""
    decision = decided(open_floor(GOOD))
    assert (decision.symbol, decision.side, decision.strategy) == ("EURUSD", Side.BUY, SIGNAL.strategy)
    assert (decision.risked, decision.stop_distance) == (50_000, 200)
    assert decision.score_ppm == SIGNAL.strength_ppm * (SIGNAL.probability_ppm or 500_000) // 1_000_000
    assert decision.detail.endswith(": risks 500.00 USD over a stop of 0.00200")


@pytest.mark.parametrize(
    ("average_range", "risked"),
    [
        # 0.5 % would buy 5,000,000 EUR over 0.00010; three times the equity buys 272,000 of them.
        (5, 27_20),
        # 500 / 0.00206 = 242,718 EUR, in micro lots 242,000.
        (103, 498_52),
    ],
)
def test_a_decision_says_what_the_size_that_was_ordered_loses(average_range: int, risked: int) -> None:
    floor = open_floor(GOOD)
    decision = decided(floor, average_range=average_range)
    size = floor.engine.book.order(decision.order_id).size
    assert decision.risked == risked == size * 2 * average_range // 10**5
    words = f"risks {risked // 100}.{risked % 100:02} USD over a stop of 0.00{2 * average_range:03}"
    assert decision.detail.endswith(words)


def test_what_is_turned_is_not_risked_again() -> None:
    floor = open_floor(GOOD)
    decided(floor)
    decision = decided(floor, another(Side.SELL))  # 499,000 EUR sold, of which 249,000 are the entry
    assert decision.risked == 498_00


def test_the_risk_in_another_currency_is_what_would_be_posted() -> None:
    """0.5 % of 100,000 USD are 51,000 JPY at 102.000: over 0.306 that buys 166,000 EUR."""
    floor = open_floor(GOOD)
    floor.tick(("102.000", "102.010"), symbol="USDJPY")
    floor.tick(("112.200", "112.210"), symbol="EURJPY")
    decision = decided(floor, replace(SIGNAL, symbol="EURJPY"), average_range=153)
    assert floor.engine.book.position("demo", "EURJPY").size == 166_000_00
    assert decision.risked == 498_00  # 166,000 × 0.306 = 50,796 JPY, bought at 102.000
    floor.tick(("111.904", "111.914"), symbol="EURJPY")
    assert floor.account().realised == -decision.risked


def switch(floor: Floor, symbol: str, *, on: bool) -> None:
    asked = SetAutoTrade(floor.now_ns, "demo", on, symbol, "key:ada", "a test", START)
    floor.engine.set_auto_trade(asked)
    floor.settle()


def test_a_symbol_that_is_switched_off_is_left_alone_and_says_so() -> None:
    floor = open_floor(GOOD)
    switch(floor, "USDJPY", on=False)
    switch(floor, "EURUSD", on=False)
    refused = decided(floor)
    assert (refused.reason, refused.order_id) == ("AUTO_TRADE_OFF", "")
    assert refused.detail == "auto-trading of EURUSD is switched off"
    assert account_view(floor.engine.book, floor.account()).auto_trade_off == ("EURUSD", "USDJPY")
    # Orders of a person are none of its business.
    assert floor.buy("by-hand", "1000").status is OrderStatus.FILLED
    floor.sell("back", "1000")
    switch(floor, "EURUSD", on=True)
    assert decided(floor, another(Side.BUY)).reason == "ORDERED"
    assert account_view(floor.engine.book, floor.account()).auto_trade_off == ("USDJPY",)


def test_both_switches_are_audited_once_a_change() -> None:
    floor = open_floor(GOOD)
    for symbol, on in (("EURUSD", True), ("EURUSD", False), ("EURUSD", False), ("", False), ("", False)):
        switch(floor, symbol, on=on)
    audit = [each for changes in floor.stored for each in changes.limit_changes]
    assert [(each.symbol, each.name, each.old, each.new, each.changed_by) for each in audit] == [
        ("EURUSD", LimitName.AUTO_TRADE, "1", "0", "key:ada"),
        ("", LimitName.AUTO_TRADE, "1", "0", "key:ada"),
    ]
    told = [
        each.change
        for changes in floor.stored
        for each in changes.events
        if isinstance(each, RiskLimitChanged)
    ]
    assert told == audit
