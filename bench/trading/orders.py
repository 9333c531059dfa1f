"""PlaceOrder of the real process, beside what it rests on, in turn."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

from fxmesh.types.v1 import market_pb2

from bench.mesh.measure import Round, median, one_round
from bench.mesh.ways import BARE, WAYS
from bench.trading.commits import Commits, commits
from bench.trading.surroundings import Trading, limit_order, market_order, surroundings, trading

SIDES = (market_pb2.SIDE_BUY, market_pb2.SIDE_SELL)
Way: TypeAlias = Callable[[int, float], Awaitable[Round]]
"""Runs a round of so many callers and seconds."""
ECHO, COMMIT, GROUP, FILLED, RESTING = "echo", "commit", "group commit", "market order", "limit order"


async def measure(callers: list[int], rounds: int, seconds: float) -> None:
    """Measure and print."""
    with TemporaryDirectory(prefix="fxmesh-bench-") as folder:
        async with _ways(Path(folder)) as (ways, bare):
            for count in callers:
                show(count, await _in_turn(ways, bare, count, rounds, seconds))


@asynccontextmanager
async def _ways(folder: Path) -> AsyncIterator[tuple[Mapping[str, Way], Commits]]:
    async with AsyncExitStack() as stack:
        nats = await stack.enter_async_context(surroundings(folder))
        running = await stack.enter_async_context(trading(folder, nats))
        called = stack.enter_context(WAYS[BARE](folder, 0.0))

        async def echo(callers: int, seconds: float) -> Round:
            return await asyncio.to_thread(called, callers, seconds)

        bare = stack.enter_context(commits(folder))
        yield {ECHO: echo, FILLED: _filled(running), RESTING: _resting(running)}, bare


def _filled(running: Trading) -> Way:
    """Market orders, in turn bought and sold, so that the position stays small."""
    sides = itertools.cycle(SIDES)
    return partial(
        one_round,
        lambda: running.stub.PlaceOrder(market_order(next(sides)), timeout=10.0),
        (running.process,),
    )


def _resting(running: Trading) -> Way:
    """Limit orders two percent away from the market."""
    far = str(round(running.price * 98 / 100, 5))
    return partial(
        one_round,
        lambda: running.stub.PlaceOrder(limit_order(SIDES[0], far), timeout=10.0),
        (running.process,),
    )


async def _in_turn(
    ways: Mapping[str, Way], bare: Commits, callers: int, rounds: int, seconds: float
) -> Mapping[str, Round]:
    """The medians of each over `rounds`, after a warm-up."""
    found: dict[str, list[Round]] = {}
    for way in ways.values():
        await way(callers, seconds / 2)
    for _ in range(rounds):
        found.setdefault(COMMIT, []).append(committed(bare, 1, seconds))
        if callers > 1:
            found.setdefault(GROUP, []).append(committed(bare, callers, seconds))
        for name, way in ways.items():
            found.setdefault(name, []).append(await way(callers, seconds))
    return {name: median(of_one) for name, of_one in found.items()}


def committed(bare: Commits, rows: int, seconds: float) -> Round:
    """Rows a second, `rows` a commit; each row waits for its commit."""
    took: list[float] = []
    used, began = time.process_time(), time.perf_counter()
    now = began
    while now < began + seconds:
        bare.commit(rows)
        before, now = now, time.perf_counter()
        took.append(now - before)
    took.sort()
    done = len(took) * rows
    here = (time.process_time() - used) / done
    return Round(done / (now - began), took[len(took) // 2], took[len(took) * 99 // 100], here, 0.0)


def show(callers: int, found: Mapping[str, Round]) -> None:
    """A table; rates beside the echo's and the bare commits'."""
    print(f"\n{callers} {'caller' if callers == 1 else 'callers at once'}")
    print(f"{'':<14}{'a second':>10}{'of echo':>9}{'of commit':>11}", end="")
    print(f"{'of group':>10}" if GROUP in found else "", end="")
    print(f"{'p50 ms':>9}{'p99 ms':>9}{'µs here':>10}{'elsewhere':>11}")
    for name, each in found.items():
        ratios = [each.rate / found[other].rate for other in (ECHO, COMMIT, GROUP) if other in found]
        print(f"{name:<14}{each.rate:>10,.0f}{ratios[0]:>9.3f}{ratios[1]:>11.3f}", end="")
        print(f"{ratios[2]:>10.3f}" if GROUP in found else "", end="")
        print(f"{each.p50_s * 1e3:>9.2f}{each.p99_s * 1e3:>9.2f}", end="")
        print(f"{each.here_s * 1e6:>10.0f}{each.elsewhere_s * 1e6:>11.0f}", flush=True)
