"""What each concern of the mesh costs a call: the whole stack, and the stack without each in turn.

    python bench/mesh_costs.py [--rounds 5] [--seconds 0.5] [--callers 16]

First each concern alone: the time that its hook takes of a call of the echo method, the least of several
repetitions, which other work on the machine changes little. Then as seen from outside: one child process
serves an echo bare and through every variant of the plan, this one calls likewise, and rounds alternate over
all, so that whatever else the machine does meets all of them. A line is a variant: calls a second as a ratio
to bare `grpc.aio` in the same round, the processor time of a call in both processes, and what leaving the
concern out saves of it (medians). On a busy machine that is noise of many microseconds; more rounds help.

`python -m bench.mesh` compares the whole stack with bare at several loads, and traced.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
import timeit
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import grpc
import psutil

from bench.mesh import stack
from interceptors.calls import ClientCall, ServerCall
from interceptors.plan import Concern, Concerns, Place
from services.runtime.channels import MeshChannels, static_channels
from services.runtime.health import Health
from services.runtime.identity import Principal, PrincipalKind
from services.runtime.loop import MeasuredLoop, current_load
from services.runtime.memory_context import MemoryContext
from services.runtime.policy import MethodPolicy, method_policy
from services.runtime.serve import MeshServer
from tests.fakes.echo import SERVICE, service_pb2, service_pb2_grpc

CallT = TypeVar("CallT", ServerCall, ClientCall)
FULL = "all"
BARE = "bare"
_CALLER = Principal("echo", PrincipalKind.SERVICE)
Call: TypeAlias = Callable[[Any], Awaitable[Any]]


def without(concerns: Concerns[CallT]) -> Mapping[str, dict[Place, Concern[CallT]]]:
    """All of them, and all but each. Nothing goes on without a deadline, so that one stays; and nobody whose
    name is not known is let in, so that who calls and what they may go together.
    """
    variants = {FULL: dict(concerns)}
    for place in concerns:
        if place not in (Place.DEADLINE, Place.AUTHORIZATION):
            out = {place, Place.AUTHORIZATION} if place is Place.AUTHENTICATION else {place}
            variants[place.value] = {other: each for other, each in concerns.items() if other not in out}
    return variants


def alone(place: Place, concern: Concern[Any], make: Callable[[MethodPolicy], Any]) -> float:
    """Microseconds that a concern takes of a call: its steps, its check of a request, its end."""
    method = method_policy(f"/{SERVICE}/Unary")
    hook = concern(method)
    if hook is None:
        return 0.0
    request = service_pb2.EchoRequest(text="EURUSD")
    step, check, leave = hook.enter or hook.admit, hook.check, hook.leave

    def once() -> None:
        call = make(method)
        if place is not Place.DEADLINE:
            call.deadline = float("inf")
        if step is not None:
            step(call)
        if check is not None:
            check(request)
        if leave is not None:
            leave(call)

    made = min(timeit.repeat(lambda: make(method), number=2000, repeat=9))
    return (min(timeit.repeat(once, number=2000, repeat=9)) - made) / 2000 * 1e6


def print_alone(secrets: Path) -> None:
    """The price of each concern by itself."""
    load = current_load()
    assert load is not None  # this runs on a measured loop
    load.rested = float("inf")  # measuring is no overload
    token = stack.token(secrets)
    for side, concerns, make in (
        ("server", stack.serving(secrets), lambda method: _served(method, token)),
        ("client", stack.calling(secrets), lambda method: ClientCall(method, 5.0, None)),
    ):
        for place, concern in concerns.items():
            print(f"{side} {place.value:<16} {alone(place, concern, make):>6.2f} µs")
    load.rested = time.monotonic()


def _served(method: MethodPolicy, token: str) -> ServerCall:
    metadata = (("x-correlation-id", "bench"), ("authorization", f"Bearer {token}"))
    call = ServerCall(method, MemoryContext(5.0, metadata, None))
    call.principal = _CALLER
    return call


async def serve(secrets: Path) -> None:
    """The child: a server a variant, their names and ports on stdout, until stdin closes."""
    add = service_pb2_grpc.add_EchoServiceServicer_to_server
    bare = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    add(stack.Echo(), bare)
    ports = {BARE: bare.add_insecure_port("127.0.0.1:0")}
    await bare.start()
    servers = []
    for name, concerns in without(stack.serving(secrets)).items():
        server = MeshServer("127.0.0.1", 0, concerns, Health())
        server.add(add, stack.Echo())
        await server.start()
        servers.append(server)
        ports[name] = server.port
    print(*(f"{name}={port}" for name, port in ports.items()), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await bare.stop(None)
    for server in servers:
        await server.close()


def variants(ports: Mapping[str, int], opened: list[MeshChannels], secrets: Path) -> dict[str, Call]:
    """The calls to compare by name: bare, everything, and everything but one concern of one side."""

    def meshed(port: int, concerns: Concerns[ClientCall]) -> Call:
        channels = static_channels({SERVICE: f"127.0.0.1:{port}"}, concerns)
        opened.append(channels)
        call: Call = service_pb2_grpc.EchoServiceStub(channels.to(SERVICE)).Unary
        return call

    clients = without(stack.calling(secrets))
    calls = {FULL: meshed(ports[FULL], clients[FULL])}
    for name, port in ports.items():
        if name not in (BARE, FULL):
            calls[f"server without {name}"] = meshed(port, clients[FULL])
    for name, concerns in clients.items():
        if name != FULL:
            # A caller that does not say who it is needs a server that does not ask.
            anonymous = name == Place.AUTHENTICATION.value
            calls[f"client without {name}"] = meshed(ports[name if anonymous else FULL], concerns)
    return calls


def cpu_s(child: psutil.Process) -> float:
    """Processor time used so far by this process and the child."""
    times = child.cpu_times()
    return time.process_time() + times.user + times.system


async def rate(call: Call, callers: int, seconds: float, child: psutil.Process) -> tuple[float, float]:
    """Calls a second of `callers` concurrent callers, and processor microseconds a call."""
    request = service_pb2.EchoRequest(text="EURUSD")
    end = time.perf_counter() + seconds
    counts = [0] * callers

    async def caller(number: int) -> None:
        while time.perf_counter() < end:
            await call(request)
            counts[number] += 1

    began, used = time.perf_counter(), cpu_s(child)
    await asyncio.gather(*(caller(number) for number in range(callers)))
    total = sum(counts)
    return total / (time.perf_counter() - began), (cpu_s(child) - used) / total * 1e6


async def measure(
    calls: Mapping[str, Call], rounds: int, seconds: float, callers: int, child: psutil.Process
) -> dict[str, tuple[float, float]]:
    """Median calls a second as a ratio to bare in the same round, and microseconds a call, by variant."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for call in calls.values():
        await rate(call, callers, min(seconds, 0.2), child)
    for _ in range(rounds):
        bare, _cpu = await rate(calls[BARE], callers, seconds, child)
        for name, call in calls.items():
            speed, cpu = await rate(call, callers, seconds, child)
            found[name].append((speed / bare, cpu))
    return {
        name: (statistics.median(each[0] for each in all_), statistics.median(each[1] for each in all_))
        for name, all_ in found.items()
    }


async def main(rounds: int, seconds: float, callers: int, secrets: Path) -> None:
    """Measure and print."""
    print_alone(secrets)
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        *("--serve", str(secrets)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdin is not None
    served = (await child.stdout.readline()).decode().split()
    ports = {name: int(port) for name, _, port in (each.partition("=") for each in served)}
    opened: list[MeshChannels] = []
    plain = grpc.aio.insecure_channel(f"127.0.0.1:{ports[BARE]}")
    bare: Any = service_pb2_grpc.EchoServiceStub(plain).Unary
    calls: dict[str, Call] = {
        BARE: lambda request: bare(request, timeout=5),
        **variants(ports, opened, secrets),
    }
    found = await measure(calls, rounds, seconds, callers, psutil.Process(child.pid))
    whole = found[FULL][1]
    print(f"{'':<32} {'to bare':>8} {'µs a call':>10} {'saves µs':>9}")
    for name, (ratio, cpu) in found.items():
        saves = "" if name in (BARE, FULL) else f"{whole - cpu:>9.1f}"
        print(f"{name:<32} {ratio:>8.2f} {cpu:>10.1f} {saves}", flush=True)
    for channels in opened:
        await channels.close()
    await plain.close()
    child.stdin.close()
    await child.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--serve", type=Path, metavar="SECRETS", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=MeasuredLoop) as runner:
        if arguments.serve:
            runner.run(serve(arguments.serve))
        else:
            with tempfile.TemporaryDirectory(prefix="fxmesh-bench-") as folder:
                runner.run(main(arguments.rounds, arguments.seconds, arguments.callers, Path(folder)))
