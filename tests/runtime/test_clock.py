"""The clock that moves only when told."""

from __future__ import annotations

import asyncio
import time

import pytest

from services.runtime.clock import EventClock, WallClock


async def _sleeper(clock: EventClock, name: str, seconds: float, woken: list[tuple[str, float]]) -> None:
    await clock.sleep(seconds)
    woken.append((name, clock.monotonic()))


async def test_sleepers_wake_at_their_own_times_in_order() -> None:
    clock = EventClock(start_ns=1_000_000_000)
    woken: list[tuple[str, float]] = []
    async with asyncio.TaskGroup() as group:
        for name, seconds in (("late", 3.0), ("first", 1.0), ("second", 1.0)):
            group.create_task(_sleeper(clock, name, seconds, woken))
        await asyncio.sleep(0)
        assert clock.next_wake_ns() == 2_000_000_000
        await clock.advance_to(3_000_000_000)
        assert woken == [("first", 1.0), ("second", 1.0)]
        await clock.advance_to(4_000_000_000)
    assert woken[-1] == ("late", 3.0)
    assert clock.next_wake_ns() is None
    assert clock.now_ns() == 4_000_000_000


async def test_one_who_sleeps_again_is_woken_within_the_same_advance() -> None:
    clock = EventClock()
    times: list[float] = []

    async def every_second() -> None:
        for _ in range(3):
            await clock.sleep(1.0)
            times.append(clock.monotonic())

    task = asyncio.create_task(every_second())
    await asyncio.sleep(0)
    await clock.advance_to(10_000_000_000)
    await task
    assert times == [1.0, 2.0, 3.0]


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = EventClock()
    task = asyncio.create_task(clock.sleep(5))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task,))
    assert clock.next_wake_ns() is None


async def test_it_never_goes_back() -> None:
    clock = EventClock(start_ns=10)
    with pytest.raises(ValueError, match="cannot go back"):
        await clock.advance_to(9)


async def test_sleeping_for_nothing_returns() -> None:
    await EventClock().sleep(0)


async def test_the_wall_clock_is_the_machines() -> None:
    clock = WallClock()
    before = time.time_ns()
    await clock.sleep(0.001)
    assert before < clock.now_ns() <= time.time_ns()
    assert clock.monotonic() <= time.monotonic()
