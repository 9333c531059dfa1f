"""Use cases one by one: warm-up, lockstep, gaps, feeds that come and go, questions."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite, isnan
from pathlib import Path

import pytest

from services.analysis_engine.adapters.store import SqliteStore
from services.analysis_engine.config import Settings
from services.analysis_engine.domain.signals import PredictionStatus, Signal, Snapshot
from services.analysis_engine.handlers import BookHeard, QuoteHeard
from services.analysis_engine.handlers.feeds import KEPT_A_SYMBOL
from services.errors import FxError
from services.market.clock import MarketClock
from services.market.ticks import TickBatch
from services.quant.bars import Bar
from services.quant.feature_formulas import FEATURE_WINDOW
from services.quant.indicators import parse_spec
from services.quant.timeframes import SECOND_NS, Timeframe
from services.tracing import Story
from tests.analysis_engine.world import (
    AWAY,
    DIGITS,
    History,
    Replay,
    World,
    ending,
    file_bars,
    file_batch,
    heard,
    through,
    ticks_at,
)

# Warm-up


def _stored(shared_data: Path) -> dict[Timeframe, list[Bar]]:
    path = shared_data / "bars_h1" / "oanda_eurusd_h1_bidask_2007-2014.csv.gz"
    before_ns = 1_398_902_400 * SECOND_NS  # where the tick file begins
    hours = [bar for bar in file_bars(path, Timeframe.H1) if bar.open_ns < before_ns + 5 * 3_600 * SECOND_NS]
    return {Timeframe.H1: hours[-2_000:]}


async def test_stored_bars_give_the_first_bar_its_indicators_and_prediction(shared_data: Path) -> None:
    world = World(history=History(_stored(shared_data)))
    part = file_batch(shared_data, "oanda_eurusd")[:8_000]
    await through(world, part)
    snapshots = [each for each in world.bus.findings if isinstance(each, Snapshot)]
    first = next(each for each in snapshots if each.timeframe is Timeframe.H1)
    expected = [bar for bar in _stored(shared_data)[Timeframe.H1] if bar.open_ns < first.open_ns]
    assert first.open_ns == expected[-1].open_ns + Timeframe.H1.ns
    assert all(
        isfinite(value)
        for name in world.plan.shown.specs
        for value in first.values[name.text].values()
        if name.text != "mfi(14)"
    )
    assert first.values["ema(200)"]["ema"] == pytest.approx(1.385, abs=0.01)
    assert [each[0].text for each in world.history.asked] == ["1m", "5m", "15m", "30m", "1h", "4h", "1d"]
    assert world.bus.bars(Timeframe.H1)[0].open_ns == first.open_ns  # stored bars are not published again


async def test_an_absent_pipeline_means_a_cold_start_and_is_not_waited_for_twice(shared_data: Path) -> None:
    world = World(history=History(_stored(shared_data), failures=[AWAY]))
    await through(world, file_batch(shared_data, "oanda_eurusd")[:8_000])
    await through(world, ticks_at((0, 60, 120), symbol="GBPUSD"))
    assert len(world.history.asked) == 1
    snapshots = [each for each in world.bus.findings if isinstance(each, Snapshot)]
    first = next(each for each in snapshots if each.timeframe is Timeframe.H1)
    assert isnan(first.values["ema(200)"]["ema"])
    await world.clock.sleep(3)
    await through(world, ticks_at((0, 60, 120), symbol="USDJPY"))
    assert len(world.history.asked) == 8


async def test_a_live_feed_that_started_cold_is_warmed_up_later(shared_data: Path) -> None:
    world = World(history=History(_stored(shared_data), failures=[AWAY]))
    part = file_batch(shared_data, "oanda_eurusd")[:8_000]
    await through(world, part, speed=1.0)
    desk = world.feeds.find(("file", "EURUSD"))
    assert desk is not None
    cold = desk.feed.timelines[Timeframe.H1].series()
    assert cold is not None
    own = len(cold)
    await world.clock.sleep(10)
    await world.feeds.warm_up_cold()
    warm = desk.feed.timelines[Timeframe.H1].series()
    assert warm is not None
    assert len(warm) == world.plan.computed_on
    assert warm.open_ns.tolist()[-own:] == cold.open_ns.tolist()
    asked = len(world.history.asked)
    await world.feeds.warm_up_cold()
    assert len(world.history.asked) == asked


# Lockstep and the like


async def test_a_lockstep_replay_hears_how_far_we_are(shared_data: Path) -> None:
    world = World(replay=Replay(lockstep=True))
    part = file_batch(shared_data, "oanda_eurusd")[:5_000]
    await through(world, part, size=500)
    await world.ticks.handle([ending(part)])
    await world.ticks.handle([ending(part)])  # delivered again: said again
    calls = world.replay.calls
    assert [(call[2], call[4]) for call in calls] == [
        *((sequence, False) for sequence in range(500, 5_001, 500)), (5_000, True), (5_000, True),
    ]  # fmt: skip
    assert [call[3] for call in calls] == [
        sum(each.tick_sequence <= sequence for each in world.bus.signals()) for sequence in
        [*range(500, 5_001, 500), 5_000, 5_000]
    ]  # fmt: skip
    assert [each.number for each in world.bus.signals()] == list(range(1, len(world.bus.signals()) + 1))


async def test_other_replays_are_asked_once_and_live_feeds_never() -> None:
    world = World()
    for start in range(1, 40, 10):
        await world.ticks.handle([heard(ticks_at(range(start, start + 10), session="r1", first=start))])
        await world.ticks.handle(
            [heard(ticks_at(range(start, start + 10), session="live", first=start), speed=1.0)]
        )
    assert [call[0] for call in world.replay.calls] == ["r1"]


async def test_a_lost_acknowledgement_is_sent_again_and_never_fails_the_ticks() -> None:
    world = World(replay=Replay(lockstep=True, failures=[AWAY, AWAY]))
    await world.ticks.handle([heard(ticks_at(range(10)))])
    assert len(world.replay.calls) == 3
    world.replay.failures = [AWAY] * 9
    await world.ticks.handle([heard(ticks_at(range(10, 20), first=11))])
    assert world.ticks.ticks == 20


async def test_a_session_without_ticks_is_acknowledged_too() -> None:
    world = World(replay=Replay(lockstep=True))
    empty = TickBatch("s1", "EURUSD", 1, DIGITS, (), (), ())
    await world.ticks.handle([heard(empty, ended=True)])
    assert world.replay.calls == [("s1", "EURUSD", 0, 0, True)]


async def test_missing_ticks_are_counted_and_what_follows_is_taken() -> None:
    world = World()
    await world.ticks.handle([heard(ticks_at(range(10)))])
    await world.ticks.handle([heard(ticks_at(range(15, 70), first=16))])
    assert (world.ticks.ticks, world.ticks.missing, world.ticks.duplicates) == (65, 5, 0)
    assert [bar.tick_count for bar in world.bus.bars()] == [55]


async def test_joining_a_feed_in_its_middle_is_no_gap() -> None:
    world = World()
    await world.ticks.handle([heard(ticks_at(range(10), first=1_000))])
    assert (world.ticks.ticks, world.ticks.missing) == (10, 0)


async def test_a_clock_that_is_ahead_of_our_ticks_closes_nothing() -> None:
    world = World()
    await world.ticks.handle([heard(ticks_at((10, 20)), speed=1.0)])
    heard_of = ((3, 1.0, "s1", 0), (2, 0.0, "s1", 0), (2, 1.0, "s2", 0), (2, 1.0, "s1", 1))
    for sequence, speed, session, bars in heard_of:
        clock = MarketClock(session, 300 * SECOND_NS, speed, sequence)
        await world.ticks.handle([QuoteHeard("EURUSD", clock)])
        assert len(world.bus.bars()) == bars


async def test_a_book_says_nothing_on_a_replay(shared_data: Path) -> None:
    world = World()
    part = file_batch(shared_data, "oanda_eurusd")[:4_000]
    await through(world, part[:100])
    await world.ticks.handle([BookHeard("file", "EURUSD", 100, 0.5), BookHeard("none", "EURUSD", 1, 0.5)])
    await through(world, part[100:])
    assert world.bus.signals()
    evidence = [every.name for each in world.bus.signals() for every in each.evidence]
    assert "order book imbalance" not in evidence


# Feeds that come and go


def _sessions(world: World) -> set[str]:
    candidates = ("live", "r0", "r1", "r2", "r3", "r4", "a", "b", "c", "replay")
    return {each for each in candidates if world.feeds.find((each, "EURUSD")) is not None}


async def test_the_latest_feed_of_a_symbol_answers_and_old_ones_are_dropped(tmp_path: Path) -> None:
    world = World(folder=tmp_path)
    await world.ticks.handle([heard(ticks_at(range(0, 200, 10), session="live"), speed=1.0)])
    for number in range(5):
        batch = ticks_at(range(0, 200, 10), session=f"r{number}")
        await world.ticks.handle([heard(batch), ending(batch)])
        session, bars = await world.queries.bars("EURUSD", Timeframe.M1, 0, "", include_open=False)
        assert (session, len(bars)) == (f"r{number}", 4)
        await world.ticks.handle(
            [heard(ticks_at((300 + number,), session="live", first=21 + number), speed=1.0)]
        )
    assert _sessions(world) == {"live", "r4", "r3"}
    assert len(world.feeds) == KEPT_A_SYMBOL
    published = len(world.bus.findings)
    batch = ticks_at(range(0, 200, 10), session="r0")
    await world.ticks.handle([heard(batch), ending(batch)])  # delivered again long after
    assert len(world.bus.findings) == published
    world.restart()
    assert _sessions(world) == {"live", "r4", "r3"}
    latest = world.feeds.latest("EURUSD")
    assert latest is not None
    assert latest.feed.session_id == "live"
    assert world.feeds.session_signals("live") == 0


async def test_a_new_feed_is_kept_however_many_others_never_ended(tmp_path: Path) -> None:
    world = World(folder=tmp_path)
    for number in range(KEPT_A_SYMBOL):
        await world.ticks.handle([heard(ticks_at(range(0, 200, 10), session=f"r{number}"))])
    await world.ticks.handle([heard(ticks_at(range(0, 200, 10), session="replay"))])
    assert world.feeds.find(("replay", "EURUSD")) is not None
    assert len(world.feeds) == KEPT_A_SYMBOL


async def test_signals_are_found_after_a_restart(shared_data: Path, tmp_path: Path) -> None:
    world = World(folder=tmp_path)
    await through(world, file_batch(shared_data, "oanda_eurusd")[:10_000])
    signals = world.bus.signals()
    assert {each.prediction.status for each in signals} > {PredictionStatus.PREDICTED}
    world.restart()
    assert await world.queries.signals((), (), "", "", 1_000) == signals[::-1]
    assert await world.queries.signal(signals[0].signal_id) == signals[0]


async def test_a_live_feed_of_a_former_process_gives_way_to_the_next_one(tmp_path: Path) -> None:
    world = World(folder=tmp_path)
    for session in ("a", "b"):
        await world.ticks.handle([heard(ticks_at(range(100), session=session), speed=1.0)])
    assert len(world.feeds) == 2
    world.restart()
    await world.ticks.handle([heard(ticks_at((101,), session="b", first=101), speed=1.0)])
    await world.ticks.handle([heard(ticks_at((200,), session="replay"))])
    assert len(world.feeds) == 3
    await world.ticks.handle([heard(ticks_at((200,), session="c"), speed=1.0)])
    assert _sessions(world) == {"b", "replay", "c"}


async def test_bars_of_the_end_are_partial_and_answered(tmp_path: Path) -> None:
    world = World(folder=tmp_path)
    batch = ticks_at(range(0, 100, 10))
    await world.ticks.handle([heard(batch), ending(batch)])
    _, bars = await world.queries.bars("EURUSD", Timeframe.M1, 0, "s1", include_open=True)
    assert [(bar.tick_count, bar.partial) for bar in bars] == [(6, False), (4, True)]
    world.restart()
    assert (await world.queries.bars("EURUSD", Timeframe.M1, 0, "s1", include_open=True))[1] == bars


async def test_old_bars_leave_the_store(tmp_path: Path) -> None:
    world = World(settings=Settings(history_bars=5, indicators="sma(5)"), folder=tmp_path)
    kept = world.plan.computed_on
    await through(world, ticks_at(range(0, 60 * (3 * kept + 5), 30)), size=50)
    minutes = [each for each in world.store.bars(("s1", "EURUSD")) if each.bar.timeframe is Timeframe.M1]
    assert kept <= len(minutes) < 2 * kept
    assert minutes[-1].bar == world.bus.bars()[-1]
    assert isinstance(world.store, SqliteStore)


# Questions


async def test_indicators_are_those_published_also_long_back(shared_data: Path) -> None:
    world = World()
    await through(world, file_batch(shared_data, "oanda_eurusd")[:10_000])
    published = [
        each for each in world.bus.findings if isinstance(each, Snapshot) and each.timeframe is Timeframe.M1
    ]
    answered = await world.queries.indicators("EURUSD", Timeframe.M1, (), 200, "")
    assert repr(answered) == repr(published[-200:])


async def test_indicators_of_seconds_are_computed_when_asked_for(shared_data: Path) -> None:
    world = World()
    await through(world, file_batch(shared_data, "oanda_eurusd")[:3_000])
    (snapshot,) = await world.queries.indicators("EURUSD", Timeframe.S5, ["sma(3)"], 0, "")
    _, bars = await world.queries.bars("EURUSD", Timeframe.S5, 3, "", include_open=False)
    middle = sum(bar.bid_close + bar.ask_close for bar in bars) / 6 / 10**DIGITS
    assert snapshot.values == {"sma(3)": {"sma": pytest.approx(middle)}}


async def test_an_indicator_says_how_many_bars_it_lacks() -> None:
    world = World()
    await world.ticks.handle([heard(ticks_at(range(0, 600, 10)))])
    with pytest.raises(FxError, match=r"NOT_ENOUGH_BARS: ema\(20\) needs 20 bars of 1m; EURUSD has 9"):
        await world.queries.indicators("EURUSD", Timeframe.M1, ["ema(20)"], 0, "")
    assert parse_spec("ema(20)").lookback == 19
    assert FEATURE_WINDOW > 9


async def test_each_signal_follows_from_the_event_whose_tick_closed_its_bar(
    shared_data: Path,
) -> None:
    world = World()
    parts = list(file_batch(shared_data, "oanda_eurusd")[:6_000].split(100))
    events = [replace(heard(part), story=Story(causation_id=part.batch_id)) for part in parts]
    for start in range(0, len(events), 16):
        await world.ticks.handle(events[start : start + 16])
    signals = [each for each in world.bus.findings if isinstance(each, Signal)]
    assert len(signals) > 3
    for signal in signals:
        (part,) = (
            each for each in parts if each.first_sequence <= signal.tick_sequence <= each.last_sequence
        )
        assert world.bus.stories[signal.signal_id].causation_id == part.batch_id
