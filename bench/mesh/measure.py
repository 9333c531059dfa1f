"""Calls a second, how long one takes, and the processor time of it, of several ways in turn."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import TypeAlias

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


Way: TypeAlias = Callable[[int, float], Round]
"""Runs a round of so many callers and seconds."""


async def one_round(call: Call, others: tuple[psutil.Process, ...], callers: int, seconds: float) -> Round:
    """`callers` at once, each calling again as soon as it was answered. Raises what a call raises.

    `others`: the processes beside this one that have a part in it.
    """
    took: list[float] = []
    here, elsewhere = time.process_time(), _used(others)
    began = time.perf_counter()
    end = began + seconds

    async def caller() -> None:
        now = time.perf_counter()
        while now < end:
            await call()
            before, now = now, time.perf_counter()
            took.append(now - before)

    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(caller())
    took.sort()
    calls = len(took)
    return Round(
        calls / (time.perf_counter() - began),
        took[calls // 2],
        took[calls * 99 // 100],
        (time.process_time() - here) / calls,
        (_used(others) - elsewhere) / calls,
    )


def in_turn(ways: Mapping[str, Way], callers: int, rounds: int, seconds: float) -> dict[str, list[Round]]:
    """The rounds of each way, after a warm-up."""
    for way in ways.values():
        way(callers, min(seconds, WARM_UP_S))
    found: dict[str, list[Round]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(way(callers, seconds))
    return found


def median(rounds: Sequence[Round]) -> Round:
    """Of each figure by itself."""
    return Round(*(statistics.median(column) for column in zip(*map(astuple, rounds), strict=True)))


def _used(processes: tuple[psutil.Process, ...]) -> float:
    """Seconds of processor so far."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)
