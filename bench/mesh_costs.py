"""What each concern of the mesh costs a call: the whole stack, and the stack without each in turn.

    python bench/mesh_costs.py [--starts 4] [--rounds 3] [--seconds 0.5] [--callers 64]

First each concern alone: the time that its hook takes of a call of the echo method, the least of several
repetitions, which other work on the machine changes little. Then in its place: a process serves an echo bare,
one on uvloop, one with an empty plan, one with the whole stack, and one each with all but a concern; the last
three are called alike. A line is such a server: calls a second as a ratio to bare, the processor time of a
call in its callers' process and in the server's, and what leaving the concern out saves the server (medians).
Two processes of the same code differ by some microseconds from start to start, so all are started several
times; rounds alternate over them, so that whatever else the machine does meets all.

`python -m bench.mesh` compares the whole stack with bare at several loads, and traced.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
import timeit
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.mesh import stack
from bench.mesh.callers import calling
from bench.mesh.child import child
from bench.mesh.measure import Round, Way, in_turn, median
from bench.mesh.ways import BARE, BARE_UVLOOP, MESH, WAYS
from interceptors.calls import ClientCall, ServerCall
from interceptors.plan import Concern, Concerns, Place
from services.runtime.health import Health
from services.runtime.identity import Principal, PrincipalKind
from services.runtime.loop import current_loop, run_measured
from services.runtime.memory_context import MemoryContext
from services.runtime.policy import MethodPolicy, method_policy
from services.runtime.serve import MeshServer
from tests.fakes.echo import SERVICE, service_pb2, service_pb2_grpc

SAMPLE = 0.01
EMPTY, FULL = "empty plan", "all"
_CALLER = Principal("echo", PrincipalKind.SERVICE)


def without(concerns: Concerns[ServerCall]) -> Mapping[str, Concerns[ServerCall]]:
    """None of them, all, and all but each. Nothing goes on without a deadline, so that one stays; and nobody
    whose name is not known is let in, so that who calls and what they may go together.
    """
    variants: dict[str, Concerns[ServerCall]] = {EMPTY: {}, FULL: concerns}
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

    return _least(once) - _least(lambda: make(method))


def _least(work: Callable[[], object]) -> float:
    """Microseconds: of many short repetitions some meet a moment in which nothing else runs."""
    return min(timeit.repeat(work, number=100, repeat=200)) / 100 * 1e6


def print_alone(secrets: Path) -> None:
    """The price of each concern by itself."""
    loop = current_loop()
    assert loop is not None
    load = loop.load
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


async def serve(name: str, secrets: Path) -> None:
    """A child: one server, its port on stdout, until stdin closes."""
    server = MeshServer("127.0.0.1", 0, without(stack.serving(secrets, SAMPLE))[name], Health())
    server.add(service_pb2_grpc.add_EchoServiceServicer_to_server, stack.Echo())
    await server.start()
    print(server.port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.close()


@contextmanager
def meshed(name: str, secrets: Path) -> Iterator[Way]:
    """The whole client, and a server of that name."""
    with child(__file__, "--serve", name, "--secrets", str(secrets)) as server:
        port = int(server.answer())
        with calling(MESH, port, secrets, SAMPLE, (server.process,)) as way:
            yield way


def started(names: Sequence[str], rounds: int, seconds: float, callers: int) -> Mapping[str, list[Round]]:
    """The rounds of all, freshly started."""
    with ExitStack() as all_:
        secrets = Path(all_.enter_context(tempfile.TemporaryDirectory(prefix="fxmesh-bench-")))
        ways = {each: all_.enter_context(WAYS[each](secrets, SAMPLE)) for each in (BARE, BARE_UVLOOP)}
        for name in names:
            ways[name] = all_.enter_context(meshed(name, secrets))
        return in_turn(ways, callers, rounds, seconds)


async def look() -> list[str]:
    """Print the price of each concern by itself; gives the names of the servers to start."""
    with tempfile.TemporaryDirectory(prefix="fxmesh-bench-") as folder:
        print_alone(Path(folder))
        return list(without(stack.serving(Path(folder), SAMPLE)))


def main(starts: int, rounds: int, seconds: float, callers: int) -> None:
    """Measure and print."""
    names = run_measured(look())
    found: dict[str, list[Round]] = {}
    for number in range(1, starts + 1):
        print(f"start {number} of {starts}", file=sys.stderr)
        for name, taken in started(names, rounds, seconds, callers).items():
            found.setdefault(name, []).extend(taken)
    medians = {name: median(taken) for name, taken in found.items()}
    print(f"{'server':<24} {'to bare':>8} {'µs here':>9} {'µs there':>9} {'saves µs':>9}")
    for name, each in medians.items():
        left_out = name not in (BARE, BARE_UVLOOP, EMPTY, FULL)
        saves = f"{(medians[FULL].elsewhere_s - each.elsewhere_s) * 1e6:>9.1f}" if left_out else ""
        print(
            f"{'without ' + name if left_out else name:<24} {each.rate / medians[BARE].rate:>8.2f}"
            f" {each.here_s * 1e6:>9.1f} {each.elsewhere_s * 1e6:>9.1f} {saves}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--starts", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--serve", metavar="NAME", help=argparse.SUPPRESS)
    parser.add_argument("--secrets", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        run_measured(serve(given.serve, given.secrets))
    else:
        main(given.starts, given.rounds, given.seconds, given.callers)
