"""New risk is converted at live crosses only; what has happened is booked at the quote that is there."""

from __future__ import annotations

import pytest

from services.trading_gateway.domain.inputs import Facts
from services.trading_gateway.domain.markets import Session
from services.trading_gateway.domain.values import OrderStatus, OrderType
from tests.trading_gateway.domain.test_checks import why
from tests.trading_gateway.kit import SECOND, START, Floor

EURJPY, USDJPY = ("112.200", "112.210"), ("102.000", "102.010")
EURUSD = ("1.10000", "1.10010")
AGE = 600 * SECOND
"""What all of these symbols allow."""
BOTH = Facts(both_currencies=True)


def floor_of(scope: str = "", session: str = "syn-1") -> Floor:
    """A dollar account that trades EURJPY, both quoted at `START`."""
    floor = Floor()
    floor.announce()
    if scope:
        floor.announce(Session(scope, replay=True, symbols=("EURJPY", "USDJPY"), always_open=True))
    floor.open(scope=scope)
    quote(floor, USDJPY, "USDJPY", START, session)
    quote(floor, EURJPY, "EURJPY", START, session)
    return floor


def quote(floor: Floor, price: tuple[str, str], symbol: str, at_ns: int, session: str = "syn-1") -> None:
    """Twice: the first after a silence is not traded on."""
    floor.tick(price, price, symbol=symbol, at_ns=at_ns - SECOND, session=session)


@pytest.mark.parametrize(("age_ns", "taken"), [(AGE, True), (AGE + 1, False)])
def test_new_risk_needs_a_quote_to_convert_at_that_is_fresh(age_ns: int, taken: bool) -> None:
    floor = floor_of()
    quote(floor, EURJPY, "EURJPY", START + age_ns)
    order = floor.buy("a", symbol="EURJPY")
    if taken:
        assert order.status is OrderStatus.FILLED
        return
    assert why(order) == "QUOTE_OVER_AGE"
    assert order.reason_detail == (
        "JPY is converted to USD at USDJPY, whose last good quote is 600 s old in market time"
    )
    quote(floor, USDJPY, "USDJPY", START + age_ns)
    assert floor.buy("b", symbol="EURJPY").status is OrderStatus.FILLED


def test_the_last_good_quote_is_what_counts_and_each_step_of_two() -> None:
    floor = Floor()
    floor.announce(Session("syn-1", replay=False, symbols=("AUDNZD", "NZDUSD", "USDCHF"), always_open=True))
    floor.open(currency="CHF")
    later = START + AGE + SECOND
    quote(floor, ("0.90000", "0.90010"), "USDCHF", START)
    quote(floor, ("0.86000", "0.86010"), "NZDUSD", later)
    quote(floor, ("1.08000", "1.08010"), "AUDNZD", later)
    floor.tick(("0.90010", "0.90000"), symbol="USDCHF", at_ns=later)  # crossed: nothing converts at it
    refused = floor.buy("a", symbol="AUDNZD")
    assert why(refused) == "QUOTE_OVER_AGE"
    assert "at USDCHF" in refused.reason_detail
    quote(floor, ("0.90000", "0.90010"), "USDCHF", later + 2 * SECOND)
    assert floor.buy("b", symbol="AUDNZD").status is OrderStatus.FILLED


def test_what_takes_risk_away_passes_and_what_happened_is_booked_at_the_quote_that_is_there() -> None:
    floor = floor_of()
    floor.buy("a", "10000", symbol="EURJPY")
    floor.sell("stop", "4000", symbol="EURJPY", type_=OrderType.STOP, stop="112.000")
    waiting = floor.buy("limit", "1000", symbol="EURJPY", type_=OrderType.LIMIT, limit="112.100")
    quote(floor, ("111.980", "111.990"), "EURJPY", START + AGE + SECOND)
    assert floor.engine.book.position("demo", "EURJPY").size == 700_000
    assert floor.engine.book.order(waiting.order_id).status is OrderStatus.FILLED
    assert floor.sell("b", "7000", symbol="EURJPY").status is OrderStatus.FILLED
    assert floor.engine.book.position("demo", "EURJPY").flat
    last = [each for changes in floor.stored for each in changes.fills][-1]
    assert last.path == "1/USDJPY bid 102.000 #2"


def test_a_live_feed_that_rests_is_none_to_convert_at() -> None:
    floor = floor_of()
    floor.announce(Session("r1", replay=True, symbols=("USDJPY",), always_open=True))
    refused = floor.buy("a", symbol="EURJPY")
    assert why(refused) == "FEED_STALE"
    assert "at USDJPY" in refused.reason_detail


def test_a_replay_is_judged_by_its_own_quotes_and_clock() -> None:
    floor = floor_of("r1", "r1")
    live = START + 10 * AGE  # far ahead of the replay
    quote(floor, USDJPY, "USDJPY", live)
    later = START + AGE // 2
    floor.now_ns = later
    quote(floor, EURJPY, "EURJPY", later, "r1")
    assert floor.buy("a", symbol="EURJPY").status is OrderStatus.FILLED
    quote(floor, USDJPY, "USDJPY", live + AGE // 2)
    floor.now_ns = later = START + AGE + SECOND
    quote(floor, EURJPY, "EURJPY", later, "r1")
    assert why(floor.buy("b", symbol="EURJPY")) == "QUOTE_OVER_AGE"  # however fresh the live one is


@pytest.mark.parametrize(("age_ns", "reason"), [(AGE, ""), (AGE + 1, "QUOTE_OVER_AGE")])
def test_exposure_to_the_base_currency_needs_a_fresh_quote_too(age_ns: int, reason: str) -> None:
    floor = floor_of()
    quote(floor, EURUSD, "EURUSD", START)
    quote(floor, USDJPY, "USDJPY", START + age_ns)
    quote(floor, EURJPY, "EURJPY", START + age_ns)
    order = floor.buy("a", symbol="EURJPY", facts=BOTH)
    assert order.reason == reason
    if not reason:
        return
    assert order.reason_detail == (
        "EUR is converted to USD at EURUSD, whose last good quote is 600 s old in market time"
    )
    # As an earlier release judged, and journaled, it.
    assert floor.buy("b", symbol="EURJPY").status is OrderStatus.FILLED
    assert floor.sell("c", symbol="EURJPY", facts=BOTH).status is OrderStatus.FILLED  # closes it
    floor.announce(Session("r1", replay=True, symbols=("EURUSD",), always_open=True))
    assert why(floor.buy("d", symbol="EURJPY", facts=BOTH)) == "FEED_STALE"


def test_a_pair_that_leads_to_the_account_itself_is_judged_as_a_quote_only() -> None:
    floor = floor_of()
    quote(floor, EURUSD, "EURUSD", START + AGE + SECOND)  # USDJPY and EURJPY are over age by then
    assert floor.buy("a", facts=BOTH).status is OrderStatus.FILLED
    quote(floor, USDJPY, "USDJPY", START + 3 * AGE)
    assert floor.buy("b", symbol="USDJPY", facts=BOTH).status is OrderStatus.FILLED
