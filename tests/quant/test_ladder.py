"""All timeframes of one tick stream: each as if it had been built alone, and closed at the same moment."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.quant.bars import Bar, BarBuilder
from services.quant.ladder import BarLadder
from services.quant.timeframes import SECOND_NS, DayOrigin, Timeframe

TicksOf = Callable[[str], tuple[list[int], list[int], list[int]]]
DAY = 86_400 * SECOND_NS
CLOCK_BACK = 1_414_886_400 * SECOND_NS  # 2014-11-02 00:00 UTC, the day of 25 hours in New York

# A gap in seconds and either a tick (bid, spread) or None, which only moves the market clock.
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0, 0.2, 0.7, 1, 4, 11, 29, 61, 307, 1801, 3600, 9000, 90_000]),
        st.none() | st.tuples(st.integers(100, 120), st.integers(-1, 5)),
    ),
    min_size=1,
    max_size=40,
)
TIMEFRAMES = st.sets(st.sampled_from(list(Timeframe)), min_size=1)
Step = tuple[float, tuple[int, int] | None]


def run(builders: list[BarBuilder], steps: list[Step]) -> list[set[Bar]]:
    """What each step closes when every timeframe is built alone."""
    now, closed = CLOCK_BACK, []
    for gap, tick in steps:
        now += int(gap * 10) * SECOND_NS // 10
        bars = [each.close_due(now) for each in builders]  # a tick moves the market clock as well
        if tick is not None:
            bars += [each.add(now, tick[0], sum(tick)) for each in builders]
        closed.append({bar for bar in bars if bar is not None})
    closed.append({bar for bar in (each.flush(now) for each in builders) if bar is not None})
    return closed


@settings(deadline=None, max_examples=200)
@given(steps=STEPS, timeframes=TIMEFRAMES, origin=st.sampled_from(list(DayOrigin)))
def test_each_step_closes_the_bars_that_separate_builders_close(
    steps: list[Step], timeframes: set[Timeframe], origin: DayOrigin
) -> None:
    expected = run([BarBuilder("EURUSD", each, 5, origin) for each in timeframes], steps)
    ladder, now, closed = BarLadder("EURUSD", 5, timeframes, origin), CLOCK_BACK, []
    for gap, tick in steps:
        now += int(gap * 10) * SECOND_NS // 10
        bars = ladder.advance(now) if tick is None else ladder.add(now, tick[0], sum(tick))
        assert [bar.timeframe.ns for bar in bars] == sorted(bar.timeframe.ns for bar in bars)
        closed.append(set(bars))
    closed.append(set(ladder.flush(now)))
    assert closed == expected


@settings(deadline=None)
@given(steps=STEPS, timeframes=TIMEFRAMES, cut=st.integers(1, 10))
def test_batches_close_the_same_bars_in_the_same_order_as_single_ticks(
    steps: list[Step], timeframes: set[Timeframe], cut: int
) -> None:
    now, times, bids, asks = CLOCK_BACK, [], [], []
    for gap, tick in steps:
        now += int(gap * 10) * SECOND_NS // 10
        bid, spread = tick or (110, 1)
        times.append(now)
        bids.append(bid)
        asks.append(bid + spread)
    singles, batches = BarLadder("EURUSD", 5, timeframes), BarLadder("EURUSD", 5, timeframes)
    one_by_one = [bar for tick in zip(times, bids, asks, strict=True) for bar in singles.add(*tick)]
    batched: list[Bar] = []
    for start in range(0, len(times), cut):
        batch = slice(start, start + cut)
        batched += batches.add_many(times[batch], bids[batch], asks[batch])
    assert batched == one_by_one
    assert batches.flush(now) == singles.flush(now)


@pytest.mark.parametrize(
    ("shortest", "ticks"), [(Timeframe.M1, 321_559), (Timeframe.S1, 60_000)], ids=["nine days", "two days"]
)
def test_real_ticks_give_the_bars_of_separate_builders(
    ticks_of: TicksOf, shortest: Timeframe, ticks: int
) -> None:
    times, bids, asks = (column[:ticks] for column in ticks_of("oanda"))
    timeframes = [each for each in Timeframe if each.ns >= shortest.ns]
    ladder = BarLadder("EURUSD", 5, timeframes)
    bars: list[Bar] = []
    for start in range(0, len(times), 100):
        batch = slice(start, start + 100)
        bars += ladder.add_many(times[batch], bids[batch], asks[batch])
    bars += ladder.flush(times[-1])
    for timeframe in timeframes:
        alone = BarBuilder("EURUSD", timeframe, 5)
        expected = alone.add_many(times, bids, asks)
        last = alone.flush(times[-1])
        assert last is not None
        assert [bar for bar in bars if bar.timeframe is timeframe] == [*expected, last]


@settings(deadline=None)
@given(steps=STEPS, timeframes=TIMEFRAMES, at=st.integers(0, 40))
def test_another_process_goes_on_from_the_state_as_if_nothing_had_happened(
    steps: list[Step], timeframes: set[Timeframe], at: int
) -> None:
    def feed(ladder: BarLadder, part: list[Step], now: int) -> tuple[list[Bar], int]:
        out: list[Bar] = []
        for gap, tick in part:
            now += int(gap * 10) * SECOND_NS // 10
            out += ladder.advance(now) if tick is None else ladder.add(now, tick[0], sum(tick))
        return out, now

    whole = BarLadder("EURUSD", 5, timeframes)
    expected, end = feed(whole, steps, CLOCK_BACK)
    first, second = BarLadder("EURUSD", 5, timeframes), BarLadder("EURUSD", 5, timeframes)
    before, now = feed(first, steps[:at], CLOCK_BACK)
    second.resume(first.state())
    after, _ = feed(second, steps[at:], now)
    assert before + after == expected
    assert second.flush(end) == whole.flush(end)


def test_the_clock_closes_what_a_former_process_began() -> None:
    before = BarLadder("EURUSD", 5, [Timeframe.S1, Timeframe.M1])
    before.add(CLOCK_BACK, 100, 101)
    assert [bar.timeframe for bar in before.advance(CLOCK_BACK + SECOND_NS)] == [Timeframe.S1]
    after = BarLadder("EURUSD", 5, [Timeframe.S1, Timeframe.M1])
    after.resume(before.state())
    assert [bar.timeframe for bar in after.advance(CLOCK_BACK + 60 * SECOND_NS)] == [Timeframe.M1]


def test_the_forming_bar_of_a_long_timeframe_knows_the_last_tick() -> None:
    ladder = BarLadder("EURUSD", 5)
    for second, bid in ((0, 100), (70, 90), (71, 130), (71.5, 110)):
        ladder.add(CLOCK_BACK + int(second * 10) * SECOND_NS // 10, bid, bid + 1)
    forming = ladder.forming(Timeframe.D1)
    assert forming is not None
    assert (forming.bid_open, forming.bid_high, forming.bid_low, forming.bid_close) == (100, 130, 90, 110)
    assert (forming.tick_count, forming.partial) == (4, True)
    ladder.advance(CLOCK_BACK + 300 * SECOND_NS)
    assert ladder.forming(Timeframe.M5) is None


def test_a_timeframe_that_is_not_built_is_not_known() -> None:
    ladder = BarLadder("EURUSD", 5, [Timeframe.S10, Timeframe.S15])  # built on an inner rung of 5 s
    with pytest.raises(KeyError):
        ladder.forming(Timeframe.S5)


def test_late_ticks_are_counted_once() -> None:
    ladder = BarLadder("EURUSD", 5)
    ladder.add(CLOCK_BACK, 100, 101)
    ladder.advance(CLOCK_BACK + 2 * SECOND_NS)
    assert ladder.add(CLOCK_BACK + SECOND_NS, 1, 2) == []
    assert ladder.late_ticks == 1
    minute = ladder.forming(Timeframe.M1)
    assert minute is not None
    assert minute.bid_low == 100


def test_no_timeframe_and_a_foreign_state_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        BarLadder("EURUSD", 5, [])
    ladder = BarLadder("EURUSD", 5, [Timeframe.M1])
    ladder.add(0, 1, 2)
    with pytest.raises(ValueError, match="1 rungs for a ladder of 2"):
        BarLadder("EURUSD", 5, [Timeframe.M1, Timeframe.M5]).resume(ladder.state())
    with pytest.raises(ValueError, match="state of 1m where the ladder has 5m"):
        BarLadder("EURUSD", 5, [Timeframe.M5]).resume(ladder.state())
