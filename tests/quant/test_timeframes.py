"""Buckets of time: lengths, texts, and days that follow New York's clock."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.errors import FxError, Kind
from services.quant.timeframes import DayOrigin, Timeframe, bucket_bounds, bucket_open, day_bounds

TIMES = st.integers(min_value=0, max_value=4_000_000_000 * 10**9)


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


def test_lengths_and_texts() -> None:
    assert [each.text for each in Timeframe] == [
        "1s", "5s", "10s", "15s", "30s", "1m", "5m", "15m", "30m", "1h", "4h", "1d",
    ]  # fmt: skip
    assert [each.seconds for each in Timeframe] == [1, 5, 10, 15, 30, 60, 300, 900, 1800, 3600, 14400, 86400]
    assert Timeframe.M15.ns == 900_000_000_000


@pytest.mark.parametrize("timeframe", Timeframe)
def test_both_texts_parse(timeframe: Timeframe) -> None:
    assert Timeframe.parse(timeframe.text) is timeframe
    assert Timeframe.parse(timeframe.name) is timeframe


@pytest.mark.parametrize("text", ["", "1M", "m1", "2m", "1 m", "60", "1m\n", "１m"])
def test_other_texts_are_refused_with_the_known_ones(text: str) -> None:
    with pytest.raises(FxError, match="1s, 5s, 10s") as caught:
        Timeframe.parse(text)
    assert caught.value.kind is Kind.INVALID_ARGUMENT
    assert caught.value.violations[0].field == "timeframe"


def test_a_minute_begins_on_the_minute() -> None:
    begin, end = bucket_bounds(Timeframe.M1, ns("2014-05-01T00:01:59") + 999_999_999)
    assert (begin, end) == (ns("2014-05-01T00:01:00"), ns("2014-05-01T00:02:00"))
    assert bucket_open(Timeframe.M1, end) == end


@pytest.mark.parametrize(
    ("time", "begin", "end"),
    [
        ("2014-07-01T20:59:59", "2014-06-30T21:00:00", "2014-07-01T21:00:00"),  # summer: 17:00 is 21:00 UTC
        ("2014-07-01T21:00:00", "2014-07-01T21:00:00", "2014-07-02T21:00:00"),
        ("2014-01-02T21:59:59", "2014-01-01T22:00:00", "2014-01-02T22:00:00"),  # winter: 22:00 UTC
        ("2014-03-09T03:00:00", "2014-03-08T22:00:00", "2014-03-09T21:00:00"),  # clocks forward: 23 hours
        ("2014-11-02T03:00:00", "2014-11-01T21:00:00", "2014-11-02T22:00:00"),  # clocks back: 25 hours
    ],
)
def test_a_day_runs_from_five_in_new_york(time: str, begin: str, end: str) -> None:
    assert day_bounds(ns(time)) == (ns(begin), ns(end))
    assert bucket_bounds(Timeframe.D1, ns(time)) == (ns(begin), ns(end))


def test_a_utc_day_is_cut_at_midnight() -> None:
    bounds = bucket_bounds(Timeframe.D1, ns("2014-11-02T23:59:59"), DayOrigin.UTC)
    assert bounds == (ns("2014-11-02T00:00:00"), ns("2014-11-03T00:00:00"))
    assert bucket_open(Timeframe.H4, ns("2014-11-02T23:59:59"), DayOrigin.UTC) == ns("2014-11-02T20:00:00")


def test_four_hours_are_cut_from_the_trading_day() -> None:
    assert bucket_bounds(Timeframe.H4, ns("2014-07-01T21:00:00")) == (
        ns("2014-07-01T21:00:00"),
        ns("2014-07-02T01:00:00"),
    )


def test_the_last_four_hours_of_a_long_and_of_a_short_day_end_with_it() -> None:
    assert bucket_bounds(Timeframe.H4, ns("2014-03-09T20:30:00")) == (
        ns("2014-03-09T18:00:00"),
        ns("2014-03-09T21:00:00"),
    )
    assert bucket_bounds(Timeframe.H4, ns("2014-11-02T21:30:00")) == (
        ns("2014-11-02T21:00:00"),
        ns("2014-11-02T22:00:00"),
    )


@settings(deadline=None)
@given(time_ns=TIMES, timeframe=st.sampled_from(list(Timeframe)), origin=st.sampled_from(list(DayOrigin)))
def test_buckets_tile_time(time_ns: int, timeframe: Timeframe, origin: DayOrigin) -> None:
    begin, end = bucket_bounds(timeframe, time_ns, origin)
    assert begin <= time_ns < end
    assert bucket_bounds(timeframe, begin, origin) == (begin, end)
    assert bucket_bounds(timeframe, end - 1, origin) == (begin, end)
    assert bucket_bounds(timeframe, end, origin)[0] == end


@settings(deadline=None)
@given(time_ns=TIMES, origin=st.sampled_from(list(DayOrigin)))
def test_every_bucket_lies_within_one_of_each_longer_timeframe_it_divides(
    time_ns: int, origin: DayOrigin
) -> None:
    for shorter in Timeframe:
        begin, end = bucket_bounds(shorter, time_ns, origin)
        for longer in Timeframe:
            if longer.ns % shorter.ns == 0:
                outer_begin, outer_end = bucket_bounds(longer, time_ns, origin)
                assert outer_begin <= begin < end <= outer_end
