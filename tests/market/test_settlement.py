"""Value dates and the days of financing, worked out by hand from the holidays that each case names."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.market.instruments import INSTRUMENTS
from services.market.settlement import bank_holidays, financed_dates, settles, spot_date


def days(symbol: str, day: str) -> int | None:
    dates = financed_dates(symbol, date.fromisoformat(day))
    return None if dates is None else (dates[1] - dates[0]).days


def test_every_instrument_has_a_calendar_for_both_its_currencies() -> None:
    for each in INSTRUMENTS.values():
        assert bank_holidays(each.base, 2026) and bank_holidays(each.quote, 2026)


@pytest.mark.parametrize(
    ("symbol", "week"),
    [
        ("EURUSD", [1, 1, 3, 1, 1]),
        ("GBPJPY", [1, 1, 3, 1, 1]),
        ("XAUUSD", [1, 1, 3, 1, 1]),
        ("USDCAD", [1, 1, 1, 3, 1]),
    ],
)
def test_a_week_without_holidays_is_charged_seven_days(symbol: str, week: list[int]) -> None:
    """T+2: Wednesday's roll moves the value date from Friday to Monday; T+1: Thursday's does."""
    monday = date(2014, 6, 9)
    assert [days(symbol, str(monday + timedelta(each))) for each in range(5)] == week
    assert [days(symbol, str(monday + timedelta(each))) for each in (5, 6)] == [None, None]


@pytest.mark.parametrize(
    ("symbol", "rolls"),
    [
        # Showa Day on Tuesday 29 April 2014; then Constitution Day (Saturday 3 May), Greenery Day (Sunday 4),
        # Children's Day (Monday 5) and its substitute (6): spot of Thursday 1 May is Wednesday 7 May.
        ("USDJPY", {"2014-04-25": 1, "2014-04-28": 0, "2014-04-29": 1, "2014-04-30": 5, "2014-05-01": 1}),
        # TARGET is closed on 1 May: it is no value date, and no day on the way.
        ("EURUSD", {"2014-04-28": 2, "2014-04-29": 3, "2014-04-30": 0, "2014-05-01": 1}),
        # Thanksgiving, Thursday 27 November 2014: no value date, yet a day on the way, for only New York
        # is closed.
        ("EURUSD", {"2014-11-24": 2, "2014-11-25": 0, "2014-11-26": 3, "2014-11-27": 1}),
        # The same for a cross: its value date is a business day in New York too.
        ("EURGBP", {"2014-11-24": 2, "2014-11-25": 0, "2014-11-26": 3}),
        # Victoria Day, Monday 19 May 2014: spot of Friday the 16th is Tuesday.
        ("USDCAD", {"2014-05-15": 4, "2014-05-16": 0, "2014-05-19": 1}),
        # Independence Day 2026 is a Saturday: American banks work on Friday 3 July.
        ("EURUSD", {"2026-06-30": 1, "2026-07-01": 3}),
    ],
)
def test_a_holiday_of_either_currency_moves_days_between_rolls(symbol: str, rolls: dict[str, int]) -> None:
    assert {day: days(symbol, day) for day in rolls} == rolls


def test_nothing_is_charged_where_nothing_trades_and_the_days_fall_on_the_roll_before() -> None:
    """25 December 2014 is no trading day, and London is closed on the 26th: spot of both days around them is
    the 30th.
    """
    assert days("EURGBP", "2014-12-25") is None
    first, last = spot_date("EURGBP", date(2014, 12, 24)), spot_date("EURGBP", date(2014, 12, 26))
    assert (first, last) == (date(2014, 12, 30), date(2014, 12, 30))
    assert days("EURGBP", "2014-12-24") == 0


@settings(deadline=None)  # the first look at a year reads its tables
@given(st.sampled_from(sorted(INSTRUMENTS)), st.dates(date(2000, 1, 3), date(2040, 12, 1)))
def test_value_dates_are_business_days_that_never_go_back(symbol: str, day: date) -> None:
    of = INSTRUMENTS[symbol]
    spot = spot_date(symbol, day)
    assert all(settles(code, spot) for code in {of.base, of.quote, "USD"})
    assert (spot - day).days >= of.value_date_lag
    dates = financed_dates(symbol, day)
    if dates is not None:
        assert dates[0] == spot <= dates[1]
        following = next(
            each
            for each in (day + timedelta(ahead) for ahead in range(1, 15))
            if financed_dates(symbol, each) is not None
        )
        # No day is lost between two rolls and none is charged twice.
        assert financed_dates(symbol, following) is not None
        assert dates[1] == spot_date(symbol, following)
