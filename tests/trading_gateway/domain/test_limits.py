"""Limits by account and symbol, set at run time: each refuses with its reason, is audited and journalled."""

from __future__ import annotations

from fractions import Fraction

import pytest

from services.errors import FxError
from services.trading_gateway.domain.events import RiskLimitChanged
from services.trading_gateway.domain.exposure import risk_state
from services.trading_gateway.domain.inputs import SetLimits
from services.trading_gateway.domain.limits import LimitName, LimitSetting, parse_value, value_text
from services.trading_gateway.domain.replaying import replay
from services.trading_gateway.domain.rules import Rules
from services.trading_gateway.domain.values import OrderStatus, OrderType
from tests.trading_gateway.domain.test_checks import why
from tests.trading_gateway.domain.test_whole_runs import ticks_of
from tests.trading_gateway.kit import SECOND, START, Floor, open_floor

GOOD = ("1.10000", "1.10010")


def set_limit(floor: Floor, name: str, text: str, symbol: str = "", account: str = "demo") -> int:
    """How many changes that made."""
    code = floor.account(account).currency
    wanted = LimitName(name)
    setting = LimitSetting(account, symbol, wanted, parse_value(wanted, text, symbol, code))
    asked = SetLimits(floor.now_ns, account, (setting,), "key:ada", "new desk", START + 7)
    changes = floor.engine.set_limits(asked)
    floor.settle()
    return len(changes)


@pytest.mark.parametrize(
    ("name", "value", "symbol", "reason"),
    [
        ("tradable", "0", "EURUSD", "INSTRUMENT_NOT_TRADABLE"),
        ("tradable", "0", "", "INSTRUMENT_NOT_TRADABLE"),
        ("order_size", "9999", "EURUSD", "SIZE_ABOVE_MAXIMUM"),
        ("order_notional", "11000.99", "", "NOTIONAL_LIMIT"),
        ("order_notional", "11000.99", "EURUSD", "NOTIONAL_LIMIT"),
        ("position_notional", "11000.99", "EURUSD", "POSITION_LIMIT"),
        ("currency_exposure", "10999", "", "EXPOSURE_LIMIT"),
        ("leverage", "1", "", "INSUFFICIENT_MARGIN"),
        ("leverage", "1", "EURUSD", "INSUFFICIENT_MARGIN"),
        ("orders_per_second", "0", "", "ORDER_RATE"),
    ],
)
def test_each_limit_refuses_and_is_given_back(name: str, value: str, symbol: str, reason: str) -> None:
    floor = open_floor(GOOD)
    floor.open("thin", deposit=500_000)
    assert set_limit(floor, name, value, symbol, "thin") == 1
    assert why(floor.buy("a", "10000", account="thin")) == reason
    assert floor.buy("other", "10000").status is OrderStatus.FILLED  # another account has its own
    assert set_limit(floor, name, "", symbol, "thin") == 1
    floor.tick(GOOD, GOOD)
    assert floor.buy("b", "10000", account="thin").status is OrderStatus.FILLED


def test_limits_of_price_age_and_collar() -> None:
    floor = open_floor(GOOD)
    set_limit(floor, "price_collar", "0.001")
    assert why(floor.buy("a", type_=OrderType.LIMIT, limit="1.09800")) == "PRICE_COLLAR"
    set_limit(floor, "price_collar", "0.002", "EURUSD")
    assert floor.buy("b", type_=OrderType.LIMIT, limit="1.09800").status is OrderStatus.ACCEPTED
    set_limit(floor, "price_age", "5")
    floor.engine.read(floor.batches[-1][1:], floor.now_ns + 6 * SECOND)
    assert why(floor.place("c", floor.buy("d").side, "1000")) == "QUOTE_OVER_AGE"


def test_daily_loss_and_drawdown_are_set_for_the_account() -> None:
    for name, reason in (("daily_loss", "DAILY_LOSS_LIMIT"), ("drawdown", "DRAWDOWN_LIMIT")):
        floor = open_floor(GOOD)
        floor.buy("a", "10000")  # 1 USD of spread in 100,000
        assert floor.buy("b", "1000").status is OrderStatus.FILLED
        set_limit(floor, name, "0.00001")
        assert why(floor.buy("c", "1000")) == reason


def test_a_limit_of_a_symbol_comes_before_one_of_the_account() -> None:
    floor = open_floor(GOOD)
    set_limit(floor, "order_notional", "5000")
    set_limit(floor, "order_notional", "20000", "EURUSD")
    assert floor.buy("a", "10000").status is OrderStatus.FILLED
    floor.tick(("110.000", "110.010"), symbol="USDJPY")
    assert why(floor.buy("b", "10000", symbol="USDJPY")) == "NOTIONAL_LIMIT"


def test_a_change_is_audited_with_what_was_there_before() -> None:
    floor = open_floor(GOOD)
    assert set_limit(floor, "order_notional", "5000") == 1
    assert set_limit(floor, "order_notional", "5000.00") == 0
    assert set_limit(floor, "order_notional", "7500.5") == 1
    assert set_limit(floor, "order_notional", "") == 1
    changes = [each for stored in floor.stored for each in stored.limit_changes]
    assert [(each.number, each.old, each.new) for each in changes] == [
        (1, "", "5000.00"),
        (2, "5000.00", "7500.50"),
        (3, "7500.50", ""),
    ]
    assert {(each.changed_by, each.reason, each.wall_ns) for each in changes} == {
        ("key:ada", "new desk", START + 7)
    }
    events = [event for stored in floor.stored for event in stored.events]
    assert [each.change for each in events if isinstance(each, RiskLimitChanged)] == changes


def test_the_journal_gives_limits_and_their_audit_again() -> None:
    floor = open_floor(GOOD)
    set_limit(floor, "order_notional", "5000")
    floor.buy("a", "10000")
    set_limit(floor, "leverage", "10", "EURUSD")
    entries = [entry for changes in floor.stored for entry in changes.journal]
    again = replay(Rules(), floor.policy, entries, ticks_of(floor.batches))
    assert again.book.limits.set_for("demo") == floor.engine.book.limits.set_for("demo")
    assert again.take_changes().limit_changes == [
        each for changes in floor.stored for each in changes.limit_changes
    ]


def test_the_state_of_risk_shows_what_was_set() -> None:
    floor = open_floor(GOOD)
    set_limit(floor, "leverage", "10", "EURUSD")
    set_limit(floor, "daily_loss", "0.02")
    limits = risk_state(floor.engine.book, floor.account(), floor.now_ns).limits
    assert [(each.name, each.symbol, each.limit) for each in limits if each.set_at_run_time] == [
        ("daily_loss", "", "0.02"),
        ("leverage", "EURUSD", "10"),
    ]
    assert next(each.limit for each in limits if each.name == "daily_loss") == "2000.00"


@pytest.mark.parametrize(
    ("name", "text", "symbol", "fault"),
    [
        ("daily_loss", "1.1", "", "must be from 0 to 1"),
        ("stop_out", "101", "", "must be from 0 to 100"),
        ("leverage", "0", "", "must be from 1 to 10000"),
        ("tradable", "2", "", "must be from 0 to 1"),
        ("orders_per_second", "1.5", "", "at most 0 decimals"),
        ("order_notional", "1.001", "", "at most 2 decimals"),
        ("order_notional", "-1", "", "must not be negative"),
        ("daily_loss", "0.1", "EURUSD", "limit of the account"),
        ("order_size", "1000", "", "limit of a symbol"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(name: str, text: str, symbol: str, fault: str) -> None:
    with pytest.raises(FxError, match=fault):
        parse_value(LimitName(name), text, symbol, "USD")


def test_money_is_in_the_currency_of_the_account() -> None:
    assert parse_value(LimitName.ORDER_NOTIONAL, "1000000", "", "JPY") == 1_000_000
    assert value_text(LimitName.ORDER_NOTIONAL, 1_000_000, "", "JPY") == "1000000"
    assert parse_value(LimitName.ORDER_SIZE, "2500", "EURUSD", "JPY") == 250_000
    assert Fraction(parse_value(LimitName.DRAWDOWN, "0.125", "", "JPY") or 0, 10**6) == Fraction(1, 8)
