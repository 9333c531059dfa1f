"""Replays in lockstep: ticks and signals in the order of the ticks, however they arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import pytest_asyncio

from services.trading_gateway.domain.inputs import Signal
from services.trading_gateway.domain.values import OrderStatus, Side
from services.trading_gateway.handlers import Progress, trailing
from services.trading_gateway.ports import Barrier, DecisionQuery, FillQuery, OrderQuery, TicksCame
from tests.trading_gateway.domain.test_autotrade import SIGNAL
from tests.trading_gateway.kit import REPLAY_SESSION, SECOND, START, batch
from tests.trading_gateway.world import AWAY, World, until

RISING = [(f"1.38{number:03d}", f"1.38{number + 10:03d}") for number in range(0, 400, 10)]


def signal(number: int, side: Side, tick: int) -> Signal:
    return replace(
        SIGNAL,
        signal_id=f"r1:{number}",
        session_id="r1",
        number=number,
        side=side,
        tick_sequence=tick,
        time_ns=START + tick * SECOND,
        timeframe_ns=2 * SECOND,
    )


SIGNALS = [signal(1, Side.BUY, 4), signal(2, Side.SELL, 5), signal(3, Side.BUY, 17), signal(4, Side.SELL, 39)]


@pytest_asyncio.fixture
async def lockstep(world: World) -> World:
    world.run("lockstep", "signals")
    return world


async def send(world: World, first: int, last: int) -> None:
    """Ticks `first` to `last` of the replay."""
    ticks = batch(RISING[first - 1 : last], session="r1", first=first, start_ns=START + first * SECOND)
    await world.following.handle(TicksCame(ticks, 0, ended=False, paced=False))


async def passed(world: World, sequence: int) -> None:
    await until(lambda: any(each[2] == sequence for each in world.market.acknowledged))


async def test_a_batch_is_held_until_its_barrier_and_signals_trade_at_their_ticks(lockstep: World) -> None:
    await lockstep.announce(REPLAY_SESSION)
    await send(lockstep, 1, 20)
    for each in SIGNALS[:3]:
        await lockstep.signals.on_signal(each)
    await lockstep.at_rest()
    assert "replay-r1" not in lockstep.desk.engine.book.accounts

    await lockstep.following.handle(Barrier("r1", "EURUSD", 20, 3))
    await passed(lockstep, 20)

    assert lockstep.market.acknowledged == [("r1", "EURUSD", 20, False)]
    orders = await lockstep.orders.page(OrderQuery("replay-r1", statuses=(OrderStatus.FILLED,)))
    automatic = [each for each in orders[::-1] if each.signal_id.startswith("r1") and not each.reduce_only]
    assert [each.created_ns for each in automatic] == [START + tick * SECOND for tick in (4, 5, 17)]
    assert automatic[0].notional == automatic[0].filled * 138_040
    assert (await lockstep.store.load()).undecided == ()


async def test_a_barrier_waits_for_all_signals_before_it(lockstep: World) -> None:
    await lockstep.announce(REPLAY_SESSION)
    await send(lockstep, 1, 20)
    await lockstep.following.handle(Barrier("r1", "EURUSD", 20, 2))
    await lockstep.signals.on_signal(SIGNALS[0])
    await lockstep.at_rest()
    assert lockstep.market.acknowledged == []
    await lockstep.signals.on_signal(SIGNALS[1])
    await passed(lockstep, 20)


async def test_the_end_is_acknowledged_and_an_unheard_acknowledgement_is_repeated(lockstep: World) -> None:
    await lockstep.announce(REPLAY_SESSION)
    await send(lockstep, 1, 3)
    await lockstep.following.handle(Barrier("r1", "EURUSD", 3, 0))
    await passed(lockstep, 3)
    end = batch([], session="r1", first=4)
    await lockstep.following.handle(TicksCame(end, 0, ended=True, paced=False))
    lockstep.market.failures = [AWAY, AWAY]
    await lockstep.following.handle(Barrier("r1", "EURUSD", 3, 0))
    await until(lambda: len(lockstep.market.acknowledged) == 2)
    assert lockstep.market.acknowledged[-1] == ("r1", "EURUSD", 3, True)


async def test_a_paced_replay_is_read_as_it_comes(lockstep: World) -> None:
    await lockstep.announce(REPLAY_SESSION)
    await lockstep.following.handle(TicksCame(batch(RISING[:4], session="r1"), 0, ended=False, paced=True))
    assert lockstep.counts.ticks_read == 5


async def test_an_unpaced_replay_is_read_behind_analysis_and_traded_at_its_ticks(lockstep: World) -> None:
    lockstep.run("trailing")
    await lockstep.announce(REPLAY_SESSION)
    for first in (1, 11, 21):
        await send(lockstep, first, first + 9)
    await lockstep.at_rest()
    assert lockstep.counts.ticks_read == 1  # of the live market
    for each in SIGNALS[:2]:
        await lockstep.signals.on_signal(each)
    lockstep.analysis.reached = (20, 3)
    await lockstep.at_rest()
    assert lockstep.counts.ticks_read == 1  # a signal is still on its way
    await lockstep.signals.on_signal(SIGNALS[2])
    await until(lambda: lockstep.counts.ticks_read == 21)
    await lockstep.all_decided()

    decisions = (await lockstep.store.decisions(DecisionQuery("replay-r1", limit=9)))[::-1]
    assert [each.time_ns for each in decisions] == [START + tick * SECOND for tick in (4, 5, 17)]
    assert lockstep.trailing.ahead["r1"] == 0


async def test_an_analysis_that_is_away_is_asked_again_and_what_was_read_without_it_is_counted(
    lockstep: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trailing, "FIRST_PAUSE_S", 0.05)
    lockstep.run("trailing")
    await lockstep.announce(REPLAY_SESSION)
    lockstep.analysis.failure = AWAY
    for first in (1, 11):
        await send(lockstep, first, first + 9)
    await until(lambda: lockstep.counts.ticks_read == 21)  # whoever does not answer is not waited for
    assert lockstep.trailing.ahead["r1"] == 20

    lockstep.analysis.failure, lockstep.analysis.reached = None, (20, 2)
    await until(lambda: asyncio.get_running_loop().time() > lockstep.trailing.asks_again_s)
    await send(lockstep, 21, 30)
    await lockstep.signals.on_signal(SIGNALS[2])
    await lockstep.at_rest()
    assert lockstep.counts.ticks_read == 21  # waited for again
    lockstep.analysis.reached = (30, 1)
    await until(lambda: lockstep.counts.ticks_read == 31)
    progress = await Progress(lockstep.desk, lockstep.trailing).of("r1")
    assert progress.ahead == 20


async def test_the_end_of_a_short_replay_is_not_waited_for_longer_than_analysis_takes(
    lockstep: World,
) -> None:
    lockstep.run("trailing")
    await lockstep.announce(REPLAY_SESSION)
    await send(lockstep, 1, 20)
    lockstep.analysis.reached = (20, 0)  # not one bar was closed
    async with asyncio.timeout(trailing.PATIENCE_S):
        end = batch([], session="r1", first=21)
        await lockstep.following.handle(TicksCame(end, 0, ended=True, paced=False))
        await until(lambda: lockstep.counts.ticks_read == 21)


async def test_analysis_standing_still_holds_an_unpaced_replay_up_only_once(
    lockstep: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trailing, "FIRST_PATIENCE_S", 0.05)
    lockstep.run("trailing")
    await lockstep.announce(REPLAY_SESSION)
    for first in range(1, 40, 2):
        await send(lockstep, first, first + 1)
    end = batch([], session="r1", first=41)
    await lockstep.following.handle(TicksCame(end, 0, ended=True, paced=False))
    await until(lambda: lockstep.counts.ticks_read == 41)
    await lockstep.signals.on_signal(SIGNALS[0])
    await lockstep.all_decided()
    assert [each.reason for each in await lockstep.store.decisions(DecisionQuery("replay-r1", limit=9))] == [
        "SIGNAL_TOO_OLD"
    ]


async def _whole(folder: Path, cuts: Sequence[int], random: Random, *, restart_at: int = -1) -> list[str]:
    """A lockstep replay of all ticks in batches ending at `cuts`; signals arrive when they please."""
    world = World(folder)
    await world.start()
    world.run("lockstep", "signals")
    await world.announce(REPLAY_SESSION)
    first = 1
    for number, last in enumerate(cuts):
        due = [each for each in SIGNALS if first <= each.tick_sequence <= last]
        early = [each for each in due if random.random() < 0.5]
        for each in early:
            await world.signals.on_signal(each)
        await send(world, first, last)
        if number == restart_at:
            await world.restart()
            world.run("lockstep", "signals")
            await send(world, first, last)
        barrier = Barrier("r1", "EURUSD", last, sum(each.tick_sequence <= last for each in SIGNALS))
        if random.random() < 0.5:
            await world.following.handle(barrier)
            for each in due:
                await world.signals.on_signal(each)
        else:
            for each in due:
                await world.signals.on_signal(each)
            await world.following.handle(barrier)
        await passed(world, last)
        first = last + 1
    fills = [repr(each.fill) for each in await world.orders.fills(FillQuery("replay-r1"))]
    decisions = [repr(each) for each in await world.store.decisions(DecisionQuery("replay-r1", limit=100))]
    account = repr((await world.accounts.get("replay-r1")).account)
    await world.stop()
    return [*fills, *decisions, account]


async def test_batches_arrival_and_restarts_change_nothing_of_a_lockstep_replay(tmp_path: Path) -> None:
    expected = await _whole(tmp_path / "one", [40], Random(1))
    assert sum(line.startswith("Fill") for line in expected) >= 4
    for seed, cuts in enumerate([[40], [10, 20, 30, 40], [4, 5, 6, 38, 39, 40], [3, 16, 17, 40]]):
        found = await _whole(tmp_path / f"{seed}", cuts, Random(seed), restart_at=len(cuts) // 2)
        assert found == expected, cuts
