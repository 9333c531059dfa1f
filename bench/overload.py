"""What a server still does at ten times the load it can bear: goodput with admission control, and without.

    python bench/overload.py [--times 10] [--work-ms 20] [--seconds 5] [--deadline 0.75]

A child process serves calls that each compute on its event loop for `--work-ms` (of wall time, so that a busy
machine does not change what the server can bear); its capacity is measured first, by a few callers that wait
for their answers. Then calls come open-loop, `--times` as many a second, whatever becomes of them, each with
`--deadline` seconds. Goodput is what was answered in time, as a share of what a server at capacity answers in
the same seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import grpc
from prometheus_client import CollectorRegistry

from interceptors.errors import PUSHBACK_KEY
from interceptors.standard import server_concerns
from services.runtime.clock import WallClock
from services.runtime.health import Health
from services.runtime.ids import Uuid7Ids
from services.runtime.limits import Limits
from services.runtime.loop import run_measured
from services.runtime.serve import MeshServer
from tests.fakes.echo import service_pb2, service_pb2_grpc

Request, Response = service_pb2.EchoRequest, service_pb2.EchoResponse


class Burner:
    """Each call keeps the event loop computing for `work_s`."""

    def __init__(self, work_s: float) -> None:
        self._work_s = work_s

    async def Unary(self, request: Any, _: Any) -> Any:  # noqa: N802 the contract's name
        end = time.perf_counter() + self._work_s
        while time.perf_counter() < end:
            sum(range(100))
        return Response()

    def __getattr__(self, name: str) -> Any:
        return getattr(service_pb2_grpc.EchoServiceServicer(), name)


@dataclass
class Outcome:
    """What became of the calls of one run."""

    sent: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    took: list[float] = field(default_factory=list)
    pushbacks: list[int] = field(default_factory=list)
    """Milliseconds that shed calls were told to wait."""
    seconds: float = 0.0

    @property
    def good(self) -> int:
        """Answered in time."""
        return self.codes["OK"]


async def serve(work_s: float, *, admission: bool) -> None:
    """The child: prints its port, serves until stdin closes."""
    limits = Limits(admission=admission)
    concerns = server_concerns(Uuid7Ids(WallClock()), CollectorRegistry(), limits=limits)
    server = MeshServer("127.0.0.1", 0, concerns, Health())
    server.add(service_pb2_grpc.add_EchoServiceServicer_to_server, Burner(work_s))
    await server.start()
    print(server.port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.close()


async def capacity(call: Any, seconds: float) -> float:
    """Calls a second with four callers that wait for their answers."""
    end = time.perf_counter() + seconds
    done = 0

    async def caller() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await call(Request(), timeout=10)
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(4)))
    return done / (time.perf_counter() - began)


async def flood(call: Any, per_second: float, seconds: float, deadline_s: float) -> Outcome:
    """Calls at a steady rate, whatever becomes of them."""
    outcome = Outcome()

    async def one() -> None:
        began = time.perf_counter()
        try:
            await call(Request(), timeout=deadline_s)
            outcome.codes["OK"] += 1
            outcome.took.append(time.perf_counter() - began)
        except grpc.aio.AioRpcError as failure:
            outcome.codes[failure.code().name] += 1
            told = dict(failure.trailing_metadata() or ()).get(PUSHBACK_KEY)
            if told is not None:
                outcome.pushbacks.append(int(told))

    began = time.perf_counter()
    calls = set()
    while (elapsed := time.perf_counter() - began) < seconds:
        while outcome.sent < elapsed * per_second:
            calls.add(asyncio.create_task(one()))
            outcome.sent += 1
        await asyncio.sleep(0.002)
    outcome.seconds = time.perf_counter() - began
    await asyncio.gather(*calls)
    return outcome


async def run(
    times: float, work_s: float, seconds: float, deadline_s: float, *, admission: bool
) -> tuple[float, Outcome]:
    """One child, one flood: its capacity (calls a second) and what became of the calls."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        "--serve",
        *("--work-ms", str(work_s * 1000)),
        *(() if admission else ("--no-admission",)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdin is not None
    try:
        port = int(await child.stdout.readline())
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = service_pb2_grpc.EchoServiceStub(channel).Unary
            await capacity(call, 0.5)
            bears = await capacity(call, min(2.0, seconds))
            return bears, await flood(call, times * bears, seconds, deadline_s)
    finally:
        child.stdin.close()
        await child.wait()


def told(name: str, bears: float, outcome: Outcome) -> str:
    """One line of figures."""
    p99 = statistics.quantiles(outcome.took, n=100)[98] if len(outcome.took) > 1 else 0.0
    could = bears * outcome.seconds
    return (
        f"{name:<18} capacity {bears:,.0f}/s  sent {outcome.sent}  answered in time {outcome.good} of "
        f"{could:.0f} possible: goodput {outcome.good / could:.2f}  p99 {p99 * 1000:.0f} ms  "
        f"{dict(outcome.codes)}"
    )


async def main(times: float, work_s: float, seconds: float, deadline_s: float) -> None:
    """Measure and print."""
    for name, admission in (("with admission", True), ("without", False)):
        print(told(name, *await run(times, work_s, seconds, deadline_s, admission=admission)), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=float, default=10.0)
    parser.add_argument("--work-ms", type=float, default=20.0)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--deadline", type=float, default=0.75)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--no-admission", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        run_measured(serve(given.work_ms / 1000, admission=not given.no_admission))
    else:
        asyncio.run(main(given.times, given.work_ms / 1000, given.seconds, given.deadline))
