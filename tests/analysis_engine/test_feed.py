"""One symbol of a session: windows, state, the end, the clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.analysis_engine.compose import plan_of
from services.analysis_engine.config import Settings
from services.analysis_engine.domain.feed import Feed
from services.analysis_engine.domain.signals import ClosedBar, FoundPattern, Side
from services.analysis_engine.domain.windows import BarRing, Timeline
from services.quant.bars import Bar
from services.quant.timeframes import SECOND_NS, Timeframe
from tests.analysis_engine.world import DIGITS, file_bars, file_batch, ticks_at

PLAN = plan_of(Settings())


def _feed(session: str = "s1", *, live: bool = False) -> Feed:
    return Feed(session, "EURUSD", DIGITS, PLAN, live=live)


def _bar(index: int, timeframe: Timeframe = Timeframe.M1, *, partial: bool = False) -> Bar:
    low, high = 100_000 + index, 100_010 + index
    return Bar(
        "EURUSD", timeframe, index * timeframe.ns, DIGITS,
        low, high, low, high, low + 2, high + 2, low + 2, high + 2, index + 1, partial,
    )  # fmt: skip


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 99, 100, 101, 163, 200, 500])
def test_a_ring_holds_the_last_bars_exactly(count: int) -> None:
    ring = BarRing("EURUSD", Timeframe.M1, DIGITS, 100)
    bars = [_bar(index, partial=index % 7 == 0) for index in range(count)]
    for bar in bars:
        ring.append(bar)
    assert (len(ring), ring.appended) == (min(count, 100), count)
    assert ring.last(1_000) == bars[-100:]
    assert ring.last(3) == bars[-3:] if count else ring.last(3) == []
    assert ring.last(0) == []


def test_a_ring_smaller_than_what_it_gathers_holds_the_last_bars() -> None:
    ring = BarRing("EURUSD", Timeframe.M1, DIGITS, 3)
    for index in range(200):
        ring.append(_bar(index))
    assert ring.last(9) == [_bar(197), _bar(198), _bar(199)]


def test_stored_bars_go_before_the_session_and_only_those() -> None:
    timeline = Timeline("EURUSD", Timeframe.M1, DIGITS, 10, 100)
    for index in (50, 51):
        timeline.append(_bar(index))
    stored = [_bar(47), _bar(48, partial=True), _bar(47), _bar(49), _bar(50), _bar(60)]
    assert timeline.warm_up(stored) == [_bar(47), _bar(49)]
    series = timeline.series()
    assert series is not None
    assert [each // Timeframe.M1.ns for each in series.open_ns.tolist()] == [47, 49, 50, 51]
    assert timeline.bars.last(10) == [_bar(50), _bar(51)]


def test_daily_bars_cut_at_midnight_utc_do_not_warm_up_days_that_roll_in_new_york(shared_data: Path) -> None:
    timeline = Timeline("EURUSD", Timeframe.D1, DIGITS, 10, 100)
    path = shared_data / "bars_d1" / "oanda_eurusd_d1_bidask_2007-2014.csv.gz"
    assert timeline.warm_up(list(file_bars(path, Timeframe.D1))[:50]) == []


def test_a_timeline_of_seconds_makes_its_series_of_the_bars_kept() -> None:
    timeline = Timeline("EURUSD", Timeframe.S1, DIGITS, 10, None)
    assert timeline.series() is None
    for index in range(12):
        timeline.append(_bar(index, Timeframe.S1))
    series = timeline.series()
    assert series is not None
    assert len(series) == 10
    assert timeline.warm_up([_bar(0, Timeframe.S1)]) == []


def test_bars_name_the_tick_that_closed_them() -> None:
    feed = _feed()
    closed = feed.take(ticks_at((0, 30, 59.9, 60, 61, 119, 125), first=11))
    assert [(each.bar.timeframe, each.bar.open_ns, each.tick_sequence) for each in closed] == [
        (Timeframe.M1, 0, 14),
        (Timeframe.M1, 60 * SECOND_NS, 17),
    ]
    assert [each.bar.open_ns // SECOND_NS for each in feed.take(ticks_at((180,), first=18))] == [120]


def test_the_clock_closes_what_is_due_and_later_ticks_cannot_reopen_it() -> None:
    feed = _feed(live=True)
    feed.take(ticks_at((0, 30)))
    assert feed.advance(59 * SECOND_NS) == []
    ((closed),) = feed.advance(60 * SECOND_NS)
    assert (closed.bar.timeframe, closed.tick_sequence, closed.bar.tick_count) == (Timeframe.M1, 2, 2)
    assert feed.take(ticks_at((59, 61), first=3)) == []
    assert feed.late_ticks == 1


def test_the_end_closes_everything_and_marks_what_was_cut_short() -> None:
    feed = _feed()
    feed.take(ticks_at((0, 30, 299)))
    closed = feed.end(300 * SECOND_NS)
    assert {each.bar.timeframe: each.bar.partial for each in closed} == {
        Timeframe.M1: False, Timeframe.M5: False, Timeframe.M15: True, Timeframe.M30: True,
        Timeframe.H1: True, Timeframe.H4: True, Timeframe.D1: True,
    }  # fmt: skip
    assert feed.ended
    for each in closed:
        judgement = feed.judge(each)
        assert (judgement.snapshot is None) is each.bar.partial


def test_nothing_is_said_of_a_bar_cut_short() -> None:
    feed = _feed()
    judgement = feed.judge(ClosedBar("s1", _bar(5, Timeframe.H1, partial=True), 9))
    assert (judgement.snapshot, judgement.patterns, judgement.opinions) == (None, (), ())
    assert feed.timelines[Timeframe.H1].bars.last(1) == [_bar(5, Timeframe.H1, partial=True)]


def test_patterns_bear_their_direction(shared_data: Path) -> None:
    path = shared_data / "bars_h1" / "oanda_eurusd_h1_bidask_2007-2014.csv.gz"
    feed = _feed()
    found: list[FoundPattern] = []
    for bar, _ in zip(file_bars(path, Timeframe.H1), range(400), strict=False):
        found += feed.judge(ClosedBar("s1", bar, 1)).patterns
    assert {each.side for each in found} == {Side.BUY, Side.SELL, None}
    assert {each.strength for each in found} == {1, 2}
    assert "engulfing" in {each.name for each in found}


def test_a_feed_resumed_from_its_state_says_the_same(shared_data: Path) -> None:
    part = file_batch(shared_data, "oanda_eurusd")[:12_000]
    through, first, second = _feed(), _feed(), _feed()
    said = [through.judge(each) for each in through.take(part)]
    closed = first.take(part[:7_777])
    again = [first.judge(each) for each in closed]
    kept: dict[Timeframe, tuple[list[Bar], list[Bar]]] = {}
    for each in closed:
        kept.setdefault(each.bar.timeframe, ([], []))[1].append(each.bar)
    second.resume(first.state(), kept)
    again += [second.judge(each) for each in second.take(part[7_777:])]
    assert repr(again) == repr(said)  # nan is not equal to itself, but written alike
    assert second.state() == through.state()
