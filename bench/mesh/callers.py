"""The processes that call: `python -m bench.mesh.callers WAY PORT SECRETS SAMPLE PIDS` runs a round for each
line `CALLERS SECONDS RATE` of its standard input and prints its figures. `PIDS` are the other processes with
a part in it.

Each way has the loop that its callers have where it is used: plain `grpc.aio` that of asyncio, unless told
otherwise; the mesh its own; httpx that of the uvicorn in which the calling service would run.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import psutil
import uvloop

from bench.mesh import rest, stack
from bench.mesh.child import child
from bench.mesh.measure import Call, Round, Way, one_round, paced_round
from services.runtime.channels import static_channels
from services.runtime.loop import run_measured
from tests.fakes.echo import SERVICE, service_pb2, service_pb2_grpc

Open: TypeAlias = Callable[[int, Path, float], AbstractAsyncContextManager[Call]]
Run: TypeAlias = Callable[[Coroutine[Any, Any, None]], None]
REQUEST = service_pb2.EchoRequest(text=rest.TEXT)


@asynccontextmanager
async def _bare(port: int, secrets: Path, sample: float) -> AsyncIterator[Call]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        unary = service_pb2_grpc.EchoServiceStub(channel).Unary
        yield lambda: unary(REQUEST, timeout=5.0)


@asynccontextmanager
async def _mesh(port: int, secrets: Path, sample: float) -> AsyncIterator[Call]:
    channels = static_channels({SERVICE: f"127.0.0.1:{port}"}, stack.calling(secrets, sample))
    unary = service_pb2_grpc.EchoServiceStub(channels.to(SERVICE)).Unary
    yield lambda: unary(REQUEST)
    await channels.close()


@asynccontextmanager
async def _rest(port: int, secrets: Path, sample: float) -> AsyncIterator[Call]:
    async with rest.calling(port) as call:
        yield call


_CALLERS: Mapping[str, tuple[Run, Open]] = {
    "bare": (asyncio.run, _bare),
    "bare-uvloop": (uvloop.run, _bare),
    "mesh": (run_measured, _mesh),
    "rest": (uvloop.run, _rest),
}


async def _answer(opened: AbstractAsyncContextManager[Call], others: tuple[psutil.Process, ...]) -> None:
    async with opened as call:
        while line := await asyncio.to_thread(sys.stdin.readline):
            callers, seconds, rate = line.split()
            if int(rate):
                found = await paced_round(call, others, int(rate), float(seconds))
            else:
                found = await one_round(call, others, int(callers), float(seconds))
            print(*astuple(found), flush=True)


@contextmanager
def calling(
    name: str, port: int, secrets: Path, sample: float, others: tuple[psutil.Process, ...]
) -> Iterator[Way]:
    """The callers of that way, who call `port`; yields what has them run a round."""
    pids = ",".join(str(each.pid) for each in others)
    with child("-m", __name__, name, str(port), str(secrets), str(sample), pids) as process:

        def one(callers: int, seconds: float, rate: int = 0) -> Round:
            process.tell(f"{callers} {seconds} {rate}")
            return Round(*map(float, process.answer().split()))

        yield one


if __name__ == "__main__":
    run, opening = _CALLERS[sys.argv[1]]
    called = opening(int(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4]))
    run(_answer(called, tuple(psutil.Process(int(each)) for each in sys.argv[5].split(","))))
