"""Calls a second, and how long one takes, of several ways in turn."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

Call: TypeAlias = Callable[[], Awaitable[object]]

WARM_UP_S = 0.5


@dataclass(frozen=True, slots=True)
class Round:
    """One round of one way: calls a second, and the seconds that half and 99 % of them stayed below."""

    rate: float
    p50_s: float
    p99_s: float


async def one_round(call: Call, callers: int, seconds: float) -> Round:
    """`callers` at once, each calling again as soon as it was answered. Raises what a call raises."""
    took: list[float] = []
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
    rate = len(took) / (time.perf_counter() - began)
    return Round(rate, took[len(took) // 2], took[len(took) * 99 // 100])


async def in_turn(ways: Mapping[str, Call], callers: int, rounds: int, seconds: float) -> Mapping[str, Round]:
    """The medians of each way over `rounds`, after a warm-up."""
    found: dict[str, list[Round]] = {name: [] for name in ways}
    for call in ways.values():
        await one_round(call, callers, min(seconds, WARM_UP_S))
    for _ in range(rounds):
        for name, call in ways.items():
            found[name].append(await one_round(call, callers, seconds))
    return {
        name: Round(
            statistics.median(each.rate for each in of_one),
            statistics.median(each.p50_s for each in of_one),
            statistics.median(each.p99_s for each in of_one),
        )
        for name, of_one in found.items()
    }
