"""Longer bars from shorter ones agree with published files and with bars built from ticks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from services.errors import FxError, Kind
from services.quant.bars import Bar, BarBuilder
from services.quant.resample import resample
from services.quant.timeframes import SECOND_NS, DayOrigin, Timeframe

TicksOf = Callable[[str], tuple[list[int], list[int], list[int]]]
BarsOf = Callable[..., list[Bar]]
MINUTE = 60 * SECOND_NS


def minute(number: int, bid: int, *, partial: bool = False) -> Bar:
    return Bar(
        "EURUSD", Timeframe.M1, number * MINUTE, 5,
        bid, bid + 2, bid - 2, bid + 1, bid + 10, bid + 12, bid + 8, bid + 11, tick_count=3, partial=partial,
    )  # fmt: skip


def same_prices(left: Bar, right: Bar) -> bool:
    return replace(left, tick_count=0, partial=False) == replace(right, tick_count=0, partial=False)


def test_days_of_eight_years_of_hours_equal_the_published_days_cut_at_utc_midnight(bars_of: BarsOf) -> None:
    hours = bars_of("oanda", Timeframe.H1, DayOrigin.UTC)
    published = bars_of("oanda", Timeframe.D1, DayOrigin.UTC)
    days = resample(hours, Timeframe.D1, DayOrigin.UTC)
    assert len(days) == len(published) == 2_502
    assert all(same_prices(mine, theirs) for mine, theirs in zip(days, published, strict=True))
    assert days[-1].partial  # the H1 file ends at 19:00 UTC on New Year's Eve


def test_hours_of_fxcm_minutes_equal_the_published_hours(bars_of: BarsOf) -> None:
    hours = resample(bars_of("fxcm", Timeframe.M1), Timeframe.H1)
    published = {bar.open_ns: bar for bar in bars_of("fxcm", Timeframe.H1)}
    assert len(hours) == 162
    assert all(same_prices(bar, published[bar.open_ns]) for bar in hours)


@pytest.mark.parametrize("timeframe", [each for each in Timeframe if each.ns > Timeframe.M1.ns])
def test_joined_minutes_equal_bars_of_the_ticks(ticks_of: TicksOf, timeframe: Timeframe) -> None:
    ticks = ticks_of("oanda")
    minutes, direct = (BarBuilder("EURUSD", each, 5) for each in (Timeframe.M1, timeframe))
    shorter = minutes.add_many(*ticks)
    longer = direct.add_many(*ticks)
    end_ns = ticks[0][-1]
    last_minute, last = minutes.flush(end_ns), direct.flush(end_ns)
    assert last_minute is not None
    assert resample([*shorter, last_minute], timeframe, through_ns=end_ns) == [*longer, last]


def test_prices_counts_and_the_open_end() -> None:
    first, second = resample([minute(0, 100), minute(3, 90), minute(5, 95)], Timeframe.M5)
    assert first == Bar(
        "EURUSD", Timeframe.M5, 0, 5, 100, 102, 88, 91, 110, 112, 98, 101, tick_count=6, partial=False
    )
    assert second.partial  # the file says nothing of the minutes after 00:06
    assert not resample([minute(5, 95)], Timeframe.M5, through_ns=10 * MINUTE)[0].partial


def test_a_bar_made_of_a_partial_one_is_partial() -> None:
    first, second = resample([minute(4, 100, partial=True), minute(9, 100)], Timeframe.M5)
    assert first.partial
    assert not second.partial


def test_nothing_makes_nothing() -> None:
    assert resample([], Timeframe.H1) == []


@pytest.mark.parametrize(("source", "target"), [("1m", "1m"), ("5m", "1m"), ("10s", "15s")])
def test_lengths_that_do_not_fit_are_refused(source: str, target: str) -> None:
    bar = replace(minute(0, 100), timeframe=Timeframe.parse(source))
    with pytest.raises(FxError) as caught:
        resample([bar], Timeframe.parse(target))
    assert (caught.value.kind, caught.value.reason) == (Kind.INVALID_ARGUMENT, "BAD_PARAMETER")


def test_days_of_another_origin_are_refused() -> None:
    bar = replace(minute(0, 100), timeframe=Timeframe.H4, day_origin=DayOrigin.NEW_YORK)
    with pytest.raises(FxError, match="day_origin"):
        resample([bar], Timeframe.D1, DayOrigin.UTC)


@pytest.mark.parametrize("other", [minute(1, 100), replace(minute(2, 100), symbol="GBPUSD")])
def test_mixed_or_disordered_bars_are_refused(other: Bar) -> None:
    with pytest.raises(ValueError, match=r"out of order|two kinds"):
        resample([minute(1, 100), other], Timeframe.M5)
