"""Opening hours: weekends, daylight saving both ways, pauses, holidays, trading days; then real ticks."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import FxError
from services.market.calendar import CALENDARS, HOUR_NS, Calendar, calendar, civil_day, roll_ns
from services.market.holidays import fx_closed, good_friday

SECOND = 1_000_000_000
FX, METALS, ALWAYS = calendar("fx"), calendar("metals"), calendar("always_open")


GOOD_FRIDAYS = (
    "0421 0413 0329 0418 0409 0325 0414 0406 0321 0410 0402 0422 0406 "  # 2000 to 2012
    "0329 0418 0403 0325 0414 0330 0419 0410 0402 0415 0407 0329 0418"  # to 2025
)


def ns(text: str) -> int:
    """ISO time, UTC unless it says otherwise."""
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) * SECOND


def test_an_unknown_calendar_is_refused() -> None:
    with pytest.raises(FxError, match="must be one of fx, metals, always_open"):
        calendar("nyse")


@pytest.mark.parametrize(
    ("opens", "closes"),
    [
        ("2014-05-04T21:00:00", "2014-05-09T21:00:00"),  # summer: 17:00 New York is 21:00 UTC
        ("2014-01-05T22:00:00", "2014-01-10T22:00:00"),  # winter
        ("2014-03-02T22:00:00", "2014-03-07T22:00:00"),  # the week before clocks go forward
        ("2014-03-09T21:00:00", "2014-03-14T21:00:00"),  # forward on Sunday 9 March, hours before the open
        (
            "2014-10-26T21:00:00",
            "2014-10-31T21:00:00",
        ),  # the week before clocks go back (Europe's already have)
        ("2014-11-02T22:00:00", "2014-11-07T22:00:00"),  # back on Sunday 2 November
        ("2006-04-02T21:00:00", "2006-04-07T21:00:00"),  # until 2006 the change was in April
        ("2006-10-29T22:00:00", "2006-11-03T22:00:00"),
    ],
)
def test_the_currency_week_follows_new_york(opens: str, closes: str) -> None:
    start, end = ns(opens), ns(closes)
    assert [FX.is_open(time) for time in (start - 1, start, end - 1, end)] == [False, True, True, False]
    assert FX.next_open(start - 1) == start
    assert FX.next_close(start) == FX.next_close(start - HOUR_NS) == end
    assert FX.open_between(start - 10 * HOUR_NS, end + 10 * HOUR_NS) == 120 * HOUR_NS
    assert FX.trading_day(start) == datetime.fromisoformat(opens).date() + timedelta(days=1)


def test_from_within_the_week_the_next_opening_is_sundays() -> None:
    wednesday = ns("2014-05-07T12:00:00")
    assert FX.next_open(wednesday) == FX.next_open(ns("2014-05-04T21:00:00")) == ns("2014-05-11T21:00:00")
    assert METALS.next_open(wednesday) == ns("2014-05-07T22:00:00")


def test_the_weekend_is_closed_throughout_and_belongs_to_monday() -> None:
    friday_close, sunday_open = ns("2014-05-02T21:00:00"), ns("2014-05-04T21:00:00")
    for time in range(friday_close, sunday_open, HOUR_NS // 2):
        assert not FX.is_open(time) and not METALS.is_open(time) and not FX.in_week(time)
        assert FX.trading_day(time) == date(2014, 5, 5)
        assert FX.next_change(time) == sunday_open
        assert METALS.next_change(time) == sunday_open + HOUR_NS


def test_the_trading_day_rolls_at_17_new_york() -> None:
    assert FX.trading_day(ns("2014-05-07T20:59:59")) == date(2014, 5, 7)
    assert FX.trading_day(ns("2014-05-07T21:00:00")) == date(2014, 5, 8)
    assert FX.trading_day(ns("2014-01-07T21:59:59")) == date(2014, 1, 7)
    assert FX.trading_day(ns("2014-01-07T22:00:00")) == date(2014, 1, 8)


def test_metals_pause_from_17_to_18_every_day() -> None:
    pause = ns("2014-05-07T21:00:00")
    assert [METALS.is_open(pause + step) for step in (-1, 0, HOUR_NS - 1, HOUR_NS)] == [
        True,
        False,
        False,
        True,
    ]
    assert METALS.next_close(pause - 1) == pause
    assert METALS.next_open(pause - 1) == METALS.next_open(pause) == pause + HOUR_NS
    assert METALS.next_close(pause) == pause + 24 * HOUR_NS
    assert METALS.open_between(ns("2014-05-04T00:00:00"), ns("2014-05-10T00:00:00")) == 5 * 23 * HOUR_NS
    assert METALS.trading_day(pause) == date(2014, 5, 8)
    assert FX.is_open(pause)


@pytest.mark.parametrize(
    "pause",
    [
        "2014-03-06T22:00:00",  # Thursday, New York on winter time
        "2014-03-10T21:00:00",  # Monday, clocks went forward on Sunday
        "2014-10-30T21:00:00",  # Thursday, New York still on summer time, Europe no longer
        "2014-11-03T22:00:00",  # Monday, clocks went back on Sunday
    ],
)
def test_the_pause_follows_new_york_on_both_sides_of_a_change_of_clocks(pause: str) -> None:
    start, end = ns(pause), ns(pause) + HOUR_NS
    assert [METALS.is_open(time) for time in (start - 1, start, end - 1, end)] == [True, False, False, True]
    assert (METALS.next_close(start - 1), METALS.next_open(start)) == (start, end)
    assert METALS.open_between(start - HOUR_NS, end + HOUR_NS) == 2 * HOUR_NS
    assert FX.is_open(start) and FX.open_between(start, end) == HOUR_NS


@pytest.mark.parametrize(
    ("closes", "opens"),
    [
        ("2014-03-07T22:00:00", "2014-03-09T22:00:00"),  # 17:00 winter time to 18:00 summer time
        ("2014-10-31T21:00:00", "2014-11-02T23:00:00"),  # 17:00 summer time to 18:00 winter time
    ],
)
def test_the_metals_weekend_over_a_change_of_clocks(closes: str, opens: str) -> None:
    assert METALS.next_close(ns(closes) - 1) == ns(closes)
    assert METALS.next_open(ns(closes)) == ns(opens)
    assert METALS.open_between(ns(closes), ns(opens)) == 0


@pytest.mark.parametrize(
    ("opening_missed", "closes", "opens"),
    [
        ("2013-12-25T12:00:00", "2013-12-24T22:00:00", "2013-12-25T22:00:00"),  # Wednesday
        ("2014-01-01T12:00:00", "2013-12-31T22:00:00", "2014-01-01T22:00:00"),
        ("2009-12-25T12:00:00", "2009-12-24T22:00:00", "2009-12-27T22:00:00"),  # Friday: a long weekend
        ("2018-01-01T12:00:00", "2017-12-29T22:00:00", "2018-01-01T22:00:00"),  # Monday: opens a day late
    ],
)
def test_christmas_and_new_year_have_no_trading_day(opening_missed: str, closes: str, opens: str) -> None:
    inside, close, reopen = ns(opening_missed), ns(closes), ns(opens)
    assert not FX.is_open(inside)
    assert FX.next_close(close - 1) == close and FX.next_open(close - 1) == reopen
    assert FX.next_open(inside) == reopen and FX.next_change(inside) == reopen
    assert FX.trading_day(inside) == FX.trading_day(reopen)
    assert FX.open_between(close, reopen) == 0
    assert METALS.next_open(inside) == reopen + HOUR_NS


def test_a_holiday_on_a_sunday_moves_nothing() -> None:
    assert FX.is_open(ns("2011-12-25T22:00:00")) and FX.is_open(ns("2012-01-01T22:00:00"))


def test_files_are_judged_by_the_week_since_venues_did_trade_on_holidays() -> None:
    assert FX.in_week(ns("2007-12-25T03:00:00")) and not FX.is_open(ns("2007-12-25T03:00:00"))
    assert not FX.in_week(ns("2007-12-22T03:00:00"))
    assert not METALS.in_week(ns("2014-05-07T21:30:00")) and METALS.in_week(ns("2014-05-07T22:00:00"))


def test_good_friday_closes_metals_only() -> None:
    assert " ".join(f"{good_friday(year):%m%d}" for year in range(2000, 2026)) == GOOD_FRIDAYS
    assert good_friday(2038) == date(2038, 4, 23)  # the latest Easter of the century
    noon = ns("2014-04-18T16:00:00")
    assert FX.is_open(noon) and not METALS.is_open(noon)
    assert METALS.next_open(noon) == ns("2014-04-20T22:00:00")


def test_the_synthetic_market_never_closes() -> None:
    saturday = ns("2014-05-03T12:00:00")
    assert ALWAYS.is_open(saturday) and ALWAYS.is_open(ns("2014-12-25T12:00:00"))
    assert ALWAYS.next_open(saturday) is ALWAYS.next_close(saturday) is ALWAYS.next_change(saturday) is None
    assert ALWAYS.trading_day(saturday) == date(2014, 5, 3)
    assert ALWAYS.trading_day(ns("2014-05-03T21:00:00")) == date(2014, 5, 4)
    assert ALWAYS.open_between(0, saturday) == saturday


def test_no_open_time_passes_backwards() -> None:
    noon = ns("2014-05-07T12:00:00")
    for each in CALENDARS.values():
        assert each.open_between(noon, noon - HOUR_NS) == each.open_between(noon, noon) == 0


def test_the_memo_does_not_change_an_answer() -> None:
    """Times that jump about, asked of one calendar and of a new one each time, get the same answers."""
    times = [ns("2014-05-01T00:00:00") + (number * 7919 % 500) * HOUR_NS for number in range(500)]
    fresh = [Calendar("metals", frozenset(range(5)), fx_closed, 1) for _ in times]
    shared = Calendar("metals", frozenset(range(5)), fx_closed, 1)
    assert [shared.is_open(time) for time in times] == [
        each.is_open(time) for each, time in zip(fresh, times, strict=False)
    ]
    assert len({shared.is_open(time) for time in times}) == 2


ANY_TIME = st.integers(ns("1999-12-28T00:00:00"), ns("2035-01-05T00:00:00"))


@given(time=ANY_TIME, name=st.sampled_from(["fx", "metals"]))
def test_changes_are_where_the_state_changes_and_nowhere_before(time: int, name: str) -> None:
    each = calendar(name)
    change, state = each.next_change(time), each.is_open(time)
    assert change is not None and change > time
    assert each.is_open(change - 1) is state and each.is_open(change) is not state
    assert each.open_between(time, change) == (change - time if state else 0)


@given(time=ANY_TIME, span=st.integers(0, 40 * 24), name=st.sampled_from(["fx", "metals", "always_open"]))
def test_open_time_adds_up(time: int, span: int, name: str) -> None:
    each, end = calendar(name), time + span * HOUR_NS
    middle = time + (span // 3) * HOUR_NS + 12_345
    if middle <= end:
        assert each.open_between(time, middle) + each.open_between(middle, end) == each.open_between(
            time, end
        )


@given(time=ANY_TIME)
def test_a_civil_day_ends_at_17_new_york(time: int) -> None:
    day = civil_day(time)
    assert roll_ns(day - timedelta(days=1)) <= time < roll_ns(day)
    local = datetime.fromtimestamp(roll_ns(day) // SECOND, ZoneInfo("America/New_York"))
    assert (local.date(), local.hour, local.minute) == (day, 17, 0)


def truefx_times(path: Path) -> Iterator[int]:
    """Times of a TrueFX file; dates repeat, so each is parsed once."""
    days: dict[str, int] = {}
    with gzip.open(path, "rt") as file:
        for line in file:
            text = line.split(",", 2)[1]
            if text[:8] not in days:
                days[text[:8]] = ns(f"{text[:4]}-{text[4:6]}-{text[6:8]}")
            seconds = int(text[9:11]) * 3600 + int(text[12:14]) * 60 + int(text[15:17])
            yield days[text[:8]] + seconds * SECOND + int(text[18:21]) * 1_000_000


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("oanda_eurusd_ticks_20140501-09_truefx.csv.gz", 321_559),
        ("audusd_ticks_20200130-31_truefx.csv.gz", 100_000),
    ],
)
def test_every_real_tick_lies_in_open_hours(shared_data: Path, name: str, count: int) -> None:
    times = list(truefx_times(shared_data / "ticks" / name))
    assert len(times) == count
    assert [time for time in times if not FX.is_open(time)] == []


def test_fxcm_quoted_two_hours_before_the_week_opened(shared_data: Path) -> None:
    """Venues differ at the edges of the week: these ticks are outside hours, and that must show."""
    times = list(truefx_times(shared_data / "ticks/fxcm_eurusd_ticks_20140501-09_truefx.csv.gz"))
    outside = [time for time in times if not FX.is_open(time)]
    assert (len(times), len(outside)) == (675_401, 706)
    assert {FX.next_open(time) for time in outside} == {ns("2014-05-04T21:00:00")}
    assert min(outside) > ns("2014-05-04T19:00:00")


def test_oanda_stopped_in_the_last_second_of_the_week_and_came_back_in_its_first(shared_data: Path) -> None:
    times = list(truefx_times(shared_data / "ticks/oanda_eurusd_ticks_20140501-09_truefx.csv.gz"))
    last = max(time for time in times if time < ns("2014-05-03T00:00:00"))
    first = min(time for time in times if time > last)
    assert FX.next_close(last) == ns("2014-05-02T21:00:00")
    assert ns("2014-05-02T21:00:00") - last < 2 * SECOND
    assert FX.next_open(first) != FX.next_open(last) == ns("2014-05-04T21:00:00")
    assert 0 <= first - ns("2014-05-04T21:00:00") < SECOND


def test_new_years_first_ticks_of_two_more_sources(shared_data: Path) -> None:
    """HistData 2020 starts at 17:00:00.065 EST of 1 January, TrueFX 2013 at 22:00 UTC."""
    text = (shared_data / "ticks/histdata_ascii_eurusd_ticks_20200101.csv").read_text().split(",", 1)[0]
    first = ns(f"{text[:4]}-{text[4:6]}-{text[6:8]}T{text[9:11]}:{text[11:13]}:{text[13:15]}-05:00")
    assert first == FX.next_open(first - 1) and FX.trading_day(first) == date(2020, 1, 2)
    second = (
        (shared_data / "ticks/truefx_usdjpy_ticks_20130101.csv").read_text().splitlines()[1].split(",")[0]
    )
    assert FX.is_open(ns(second)) and not FX.is_open(ns(second) - SECOND)


def test_hourly_bars_of_eight_years_lie_in_the_week_and_outside_holidays_since_2010(
    shared_data: Path,
) -> None:
    with gzip.open(shared_data / "bars_h1/oanda_eurusd_h1_bidask_2007-2014.csv.gz", "rt") as file:
        next(file)
        times = [ns(line[:19]) for line in file]
    assert len(times) == 49_806
    assert [time for time in times if not FX.in_week(time)] == []
    closed = [time for time in times if not FX.is_open(time)]
    assert len(closed) == 44  # parts of Christmas and New Year, 2007 to 2009
    assert max(closed) < ns("2010-01-01T00:00:00")
