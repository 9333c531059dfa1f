"""Calls a second, how long one takes, and the processor time of it, of several ways in turn."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Protocol, TypeAlias

import psutil

Call: TypeAlias = Callable[[], Awaitable[object]]

WARM_UP_S = 0.5


@dataclass(frozen=True, slots=True)
class Round:
    """One round of one way: calls a second, the seconds that half and 99 % of them stayed below, and the
    seconds of processor that one took in the process of its callers and in all others.
    """

    rate: float
    p50_s: float
    p99_s: float
    here_s: float
    elsewhere_s: float


class Way(Protocol):
    """Runs a round of so many callers and seconds, or of calls at an even `rate` a second."""

    def __call__(self, callers: int, seconds: float, rate: int = 0) -> Round: ...


async def one_round(call: Call, others: tuple[psutil.Process, ...], callers: int, seconds: float) -> Round:
    """`callers` at once, each calling again as soon as it was answered. Raises what a call raises.

    `others`: the processes beside this one that have a part in it.
    """
    took: list[float] = []
    end = time.perf_counter() + seconds

    async def caller() -> None:
        now = time.perf_counter()
        while now < end:
            await call()
            before, now = now, time.perf_counter()
            took.append(now - before)

    async def all_of_them() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(callers):
                group.create_task(caller())

    return await _measured(all_of_them(), took, others)


async def paced_round(call: Call, others: tuple[psutil.Process, ...], rate: int, seconds: float) -> Round:
    """`rate` calls a second, evenly, whether those before were answered or not: what one takes when nobody
    waits for a processor. Raises what a call raises.
    """
    took: list[float] = []
    began = time.perf_counter()

    async def one() -> None:
        before = time.perf_counter()
        await call()
        took.append(time.perf_counter() - before)

    async def all_of_them() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(int(rate * seconds)):
                early = began + number / rate - time.perf_counter()
                if early > 0:
                    await asyncio.sleep(early)
                group.create_task(one())

    return await _measured(all_of_them(), took, others)


async def _measured(
    calls: Coroutine[Any, Any, None], took: list[float], others: tuple[psutil.Process, ...]
) -> Round:
    """Run what leaves in `took` the seconds of each call."""
    here, elsewhere = time.process_time(), _used(others)
    began = time.perf_counter()
    await calls
    took.sort()
    made = len(took)
    return Round(
        made / (time.perf_counter() - began),
        took[made // 2],
        took[made * 99 // 100],
        (time.process_time() - here) / made,
        (_used(others) - elsewhere) / made,
    )


def in_turn(
    ways: Mapping[str, Way], callers: int, rounds: int, seconds: float, rate: int = 0
) -> dict[str, list[Round]]:
    """The rounds of each way, after a warm-up."""
    for way in ways.values():
        way(callers, min(seconds, WARM_UP_S), rate)
    found: dict[str, list[Round]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(way(callers, seconds, rate))
    return found


def median(rounds: Sequence[Round]) -> Round:
    """Of each figure by itself."""
    return Round(*(statistics.median(column) for column in zip(*map(astuple, rounds), strict=True)))


def _used(processes: tuple[psutil.Process, ...]) -> float:
    """Seconds of processor so far."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)
