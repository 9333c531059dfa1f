"""Real ticks through the handlers: bars equal to the published file, one effect per tick, the same in every
run.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from services.analysis_engine.domain.signals import PredictionStatus
from services.errors import FxError
from services.quant.bars import Bar
from services.quant.timeframes import Timeframe
from tests.analysis_engine.world import AWAY, NO_MODEL, World, ending, file_bars, file_batch, heard


def _prices(bar: Bar) -> tuple[int, ...]:
    return (
        bar.open_ns, bar.bid_open, bar.bid_high, bar.bid_low, bar.bid_close,
        bar.ask_open, bar.ask_high, bar.ask_low, bar.ask_close,
    )  # fmt: skip


@pytest.mark.integration
async def test_the_whole_file_gives_the_published_minute_bars(shared_data: Path) -> None:
    whole, world = file_batch(shared_data, "oanda_eurusd"), World()
    batches = list(whole.split(100))
    for start in range(0, len(batches), 64):
        await world.ticks.handle([heard(batch) for batch in batches[start : start + 64]])
    await world.ticks.handle([ending(whole)])
    published = world.bus.bars(Timeframe.M1)
    path = shared_data / "bars_m1" / "oanda_eurusd_m1_bidask_20140501-09.csv.gz"
    assert len(published) == 9_552
    assert [_prices(bar) for bar in published] == [_prices(bar) for bar in file_bars(path, Timeframe.M1)]
    assert sum(bar.tick_count for bar in published) == len(whole) == world.ticks.ticks
    for timeframe in world.plan.signals | {Timeframe.M5, Timeframe.H4, Timeframe.D1}:
        assert sum(bar.tick_count for bar in world.bus.bars(timeframe)) == len(whole)
    assert world.bus.doubles == 0
    assert {each.strategy for each in world.bus.signals()} == {"trend", "mean_reversion", "breakout"}
    assert {each.timeframe for each in world.bus.signals()} == world.plan.signals


async def test_ticks_cut_otherwise_overlapping_and_again_give_the_same_events(shared_data: Path) -> None:
    part = file_batch(shared_data, "oanda_eurusd")[:15_000]
    plain, rough = World(), World()
    for batch in part.split(100):
        await plain.ticks.handle([heard(batch)])
    for start in range(0, len(part), 700):
        again = part[max(start - 250, 0) : start + 700]
        await rough.ticks.handle([heard(batch) for batch in again.split(97)])
        await rough.ticks.handle([heard(again)])
    assert rough.bus.events == plain.bus.events
    assert list(rough.bus.events) == list(plain.bus.events)
    assert len(plain.bus.signals()) > 20
    assert rough.ticks.ticks == plain.ticks.ticks == len(part)
    assert rough.ticks.duplicates > len(part)
    assert (plain.ticks.duplicates, plain.ticks.missing) == (0, 0)


async def test_two_runs_give_the_same_bytes_in_the_same_order(shared_data: Path) -> None:
    part = file_batch(shared_data, "oanda_eurusd")[:12_000]
    runs = [World(), World()]
    for world in runs:
        for batch in part.split(100):
            await world.ticks.handle([heard(batch)])
    first, second = (list(world.bus.events.items()) for world in runs)
    assert first == second
    assert len(first) > 800


@pytest.mark.parametrize("saved", [True, False], ids=["after the checkpoint", "before the checkpoint"])
async def test_a_restart_in_the_middle_of_a_bar_changes_nothing(
    shared_data: Path, tmp_path: Path, *, saved: bool
) -> None:
    part = file_batch(shared_data, "oanda_eurusd")[:12_000]
    plain, killed = World(), World(folder=tmp_path)
    for batch in part.split(100):
        await plain.ticks.handle([heard(batch)])
    batches = list(part.split(500))
    for number, batch in enumerate(batches):
        if number % 5 == 3:
            if not saved:
                # The process dies after the bus has stored what it published and before anything else.
                killed.bus.fail_after = 0
                with suppress(FxError):
                    await killed.ticks.handle([heard(batch)])
                killed.bus.fail_after = None
            killed.restart()
            # What was acknowledged may come again, and what was not does.
            await killed.ticks.handle([heard(batches[number - 1])])
        await killed.ticks.handle([heard(batch)])
    assert killed.bus.events == plain.bus.events
    assert (killed.bus.doubles > 0) is not saved
    assert killed.ticks.missing == 0


async def test_a_failed_publish_is_made_up_for_by_the_next_attempt(shared_data: Path) -> None:
    part = file_batch(shared_data, "oanda_eurusd")[:6_000]
    plain, failing = World(), World()
    for batch in part.split(300):
        await plain.ticks.handle([heard(batch)])
        failing.bus.fail_after = 0
        with suppress(FxError):
            await failing.ticks.handle([heard(batch)])
        failing.bus.fail_after = None
        await failing.ticks.handle([heard(batch)])
    assert failing.bus.events == plain.bus.events
    assert failing.bus.doubles > 0


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (AWAY, PredictionStatus.UNAVAILABLE),
        (NO_MODEL, PredictionStatus.NO_MODEL),
        (None, PredictionStatus.PREDICTED),
    ],
    ids=["inference down", "no model", "model"],
)
async def test_signals_appear_whatever_inference_does(
    shared_data: Path, failure: FxError | None, status: PredictionStatus
) -> None:
    part = file_batch(shared_data, "oanda_eurusd")[:10_000]
    world = World()
    world.model.failure = failure
    for batch in part.split(200):
        await world.ticks.handle([heard(batch)])
    signals = world.bus.signals()
    found = {each.prediction.status for each in signals}
    assert found == {status, PredictionStatus.NOT_ENOUGH_BARS}
    plain = World()
    for batch in part.split(200):
        await plain.ticks.handle([heard(batch)])
    assert [(each.signal_id, each.strength, each.number) for each in signals] == [
        (each.signal_id, each.strength, each.number) for each in plain.bus.signals()
    ]


async def test_crossed_ticks_break_nothing(shared_data: Path) -> None:
    part = file_batch(shared_data, "fxcm_eurusd")[:20_000]
    assert sum(map(part.crossed, range(len(part)))) > 500
    world = World()
    for batch in part.split(100):
        await world.ticks.handle([heard(batch)])
    assert sum(bar.tick_count for bar in world.bus.bars()) > 19_000
    assert world.bus.signals()
