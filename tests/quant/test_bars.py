"""Bars from ticks: exact, final once given out, and the same however the ticks were batched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.quant.bars import BAR_PRICES, NEVER_DUE_NS, Bar, BarBuilder
from services.quant.timeframes import SECOND_NS, DayOrigin, Timeframe

TicksOf = Callable[[str], tuple[list[int], list[int], list[int]]]
BarsOf = Callable[..., list[Bar]]
MINUTE = 60 * SECOND_NS


def prices(bar: Bar) -> tuple[int, ...]:
    return tuple(getattr(bar, name) for name in BAR_PRICES)


def built(bars: list[Bar], last: Bar | None) -> list[Bar]:
    return bars if last is None else [*bars, last]


@pytest.mark.parametrize(("broker", "count"), [("oanda", 9_552), ("fxcm", 9_590)])
def test_minute_bars_of_real_ticks_equal_the_published_ones(
    ticks_of: TicksOf, bars_of: BarsOf, broker: str, count: int
) -> None:
    published = bars_of(broker, Timeframe.M1)
    assert len(published) == count
    times, bids, asks = ticks_of(broker)
    builder = BarBuilder("EURUSD", Timeframe.M1, 5)
    bars: list[Bar] = []
    for start in range(0, len(times), 100):
        batch = slice(start, start + 100)
        bars += builder.add_many(times[batch], bids[batch], asks[batch])
    bars = built(bars, builder.flush())
    assert [(bar.open_ns, prices(bar)) for bar in bars] == [(bar.open_ns, prices(bar)) for bar in published]
    assert sum(bar.tick_count for bar in bars) == len(times)
    assert builder.late_ticks == 0


def test_hour_bars_of_real_ticks_equal_the_published_ones_once_their_open_is_the_last_close(
    ticks_of: TicksOf, bars_of: BarsOf
) -> None:
    """OANDA's H1 file opens each bar at the close before it (all of its 49,805 steps), so its opens, and now
    and then a high or low, are no tick of the hour. With that rule applied all 165 hours agree."""
    published = bars_of("oanda", Timeframe.H1)
    before = dict(zip([bar.open_ns for bar in published[1:]], published, strict=False))
    builder = BarBuilder("EURUSD", Timeframe.H1, 5)
    hours = built(builder.add_many(*ticks_of("oanda")), builder.flush())
    carried = []
    for bar in hours:
        bid, ask = before[bar.open_ns].bid_close, before[bar.open_ns].ask_close
        carried.append(
            replace(
                bar,
                bid_open=bid, bid_high=max(bar.bid_high, bid), bid_low=min(bar.bid_low, bid),
                ask_open=ask, ask_high=max(bar.ask_high, ask), ask_low=min(bar.ask_low, ask),
            )
        )  # fmt: skip
    of_these_days = {bar.open_ns: prices(bar) for bar in published if bar.open_ns >= hours[0].open_ns}
    assert len(hours) == 165
    for bar, raw in zip(carried, hours, strict=True):
        assert prices(bar) == of_these_days[bar.open_ns]
        assert (raw.bid_close, raw.ask_close) == (bar.bid_close, bar.ask_close)
    assert sum(prices(raw) == of_these_days[raw.open_ns] for raw in hours) == 0


def test_a_bar_is_given_out_by_the_tick_that_passes_its_end() -> None:
    builder = BarBuilder("EURUSD", Timeframe.M1, 5, DayOrigin.UTC)
    assert builder.add(0, 10, 12) is None
    assert builder.add(MINUTE - 1, 8, 13) is None
    closed = builder.add(MINUTE, 9, 11)
    assert closed == Bar(
        "EURUSD", Timeframe.M1, 0, 5, 10, 10, 8, 8, 12, 13, 12, 13, tick_count=2, day_origin=DayOrigin.UTC
    )
    assert closed.end_ns == MINUTE


def test_a_bucket_without_ticks_has_no_bar() -> None:
    builder = BarBuilder("EURUSD", Timeframe.M1, 5)
    times = [0, 5 * MINUTE, 5 * MINUTE + 1, 9 * MINUTE]
    bars = builder.add_many(times, [1, 2, 3, 4], [2, 3, 4, 5])
    assert [bar.open_ns for bar in bars] == [0, 5 * MINUTE]
    assert bars[1].tick_count == 2


def test_a_crossed_tick_is_in_its_bar() -> None:
    builder = BarBuilder("EURUSD", Timeframe.M1, 5)
    builder.add(0, 15, 10)
    bar = builder.flush()
    assert bar is not None
    assert (bar.bid_high, bar.ask_low) == (15, 10)


def test_the_market_clock_closes_a_bar_at_its_very_end() -> None:
    builder = BarBuilder("EURUSD", Timeframe.M1, 5)
    builder.add(30 * SECOND_NS, 1, 2)
    assert builder.due_ns == MINUTE
    assert builder.close_due(MINUTE - 1) is None
    closed = builder.close_due(MINUTE)
    assert closed is not None
    assert not closed.partial
    assert builder.due_ns == NEVER_DUE_NS
    assert builder.close_due(2 * MINUTE) is None


def test_time_that_has_passed_is_final() -> None:
    builder = BarBuilder("EURUSD", Timeframe.M1, 5)
    builder.add(0, 1, 2)
    assert builder.close_due(3 * MINUTE + 1) is not None
    assert builder.add(30 * SECOND_NS, 7, 8) is None  # its bar is out
    assert builder.add(2 * MINUTE, 7, 8) is None  # its bucket was empty when the clock left it
    assert builder.late_ticks == 2
    assert builder.forming() is None
    assert builder.add(3 * MINUTE, 3, 4) is None  # the clock is still in this bucket
    forming = builder.forming()
    assert forming is not None
    assert prices(forming) == (3, 3, 3, 3, 4, 4, 4, 4)


def test_a_step_back_within_the_bucket_keeps_the_order_of_the_feed() -> None:
    builder = BarBuilder("EURUSD", Timeframe.M1, 5)
    builder.add_many([20, 10], [5, 6], [7, 8])
    bar = builder.flush()
    assert bar is not None
    assert (bar.bid_open, bar.bid_close, bar.tick_count) == (5, 6, 2)


def test_a_batch_that_steps_back_past_a_bucket_loses_only_the_late_tick() -> None:
    builder = BarBuilder("EURUSD", Timeframe.M1, 5)
    bars = builder.add_many([0, MINUTE, 10, MINUTE + 1], [1, 2, 99, 3], [2, 3, 100, 4])
    assert [bar.tick_count for bar in bars] == [1]
    last = builder.flush()
    assert last is not None
    assert (last.bid_high, last.tick_count, builder.late_ticks) == (3, 2, 1)


@pytest.mark.parametrize(("end_ns", "partial"), [(None, True), (MINUTE - 1, True), (MINUTE, False)])
def test_the_end_of_a_session_marks_a_bar_that_had_not_ended(end_ns: int | None, partial: bool) -> None:
    builder = BarBuilder("EURUSD", Timeframe.M1, 5)
    builder.add(0, 1, 2)
    bar = builder.flush(end_ns)
    assert bar is not None
    assert bar.partial is partial
    assert builder.flush() is None
    builder.add(1, 1, 2)
    assert builder.late_ticks == 1


def test_looking_at_the_forming_bar_changes_nothing() -> None:
    builder = BarBuilder("EURUSD", Timeframe.M1, 5)
    builder.add(0, 1, 2)
    assert builder.forming() == builder.forming()
    closed = builder.add(MINUTE, 1, 2)
    assert closed is not None
    assert not closed.partial


STREAMS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(100, 120), st.integers(0, 5)), min_size=1, max_size=60
)


@settings(deadline=None)
@given(
    stream=STREAMS, cuts=st.sets(st.integers(0, 60)), timeframe=st.sampled_from([Timeframe.S1, Timeframe.S15])
)
def test_batches_may_be_cut_anywhere(
    stream: list[tuple[int, int, int]], cuts: set[int], timeframe: Timeframe
) -> None:
    times, now = [], 0
    for gap, _, _ in stream:
        now += gap * SECOND_NS // 4
        times.append(now)
    bids = [bid for _, bid, _ in stream]
    asks = [bid + spread for _, bid, spread in stream]
    one_by_one = BarBuilder("EURUSD", timeframe, 5)
    singles = [one_by_one.add(*tick) for tick in zip(times, bids, asks, strict=True)]
    expected = built([bar for bar in singles if bar is not None], one_by_one.flush())
    batched = BarBuilder("EURUSD", timeframe, 5)
    bars: list[Bar] = []
    edges = [0, *sorted(cuts), len(times)]
    for start, stop in pairwise(edges):
        bars += batched.add_many(tuple(times[start:stop]), bids[start:stop], asks[start:stop])
    assert built(bars, batched.flush()) == expected
