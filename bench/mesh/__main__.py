"""Measure and print; the package's docstring says what."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import bench.mesh
from bench.mesh.measure import Round, in_turn, median
from bench.mesh.ways import BARE, BARE_UVLOOP, WAYS


def main(
    names: list[str], callers: list[int], rates: list[int], rounds: int, seconds: float, sample: float
) -> None:
    with ExitStack() as stack:
        secrets = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fxmesh-bench-")))
        ways = {name: stack.enter_context(WAYS[name](secrets, sample)) for name in names}
        for count in callers:
            found = in_turn(ways, count, rounds, seconds)
            show(f"{count} caller{'s at once' if count > 1 else ''}", found)
        for rate in rates:
            show(f"{rate:,} calls a second, evenly", in_turn(ways, 0, rounds, seconds, rate))


def show(load: str, rounds: Mapping[str, list[Round]]) -> None:
    """A table, everything beside bare where that was measured, on either loop. Last the processor time of a
    call: in the process that makes it, and in all others.
    """
    found = {name: median(each) for name, each in rounds.items()}
    print(f"\n{load}")
    print(f"{'':<12}{'calls/s':>9}{'of bare':>9}{'on uvloop':>11}", end="")
    print(f"{'p50 ms':>9}{'added':>8}{'p99 ms':>9}{'µs here':>10}{'elsewhere':>11}")
    bare = found.get(BARE)
    for name, each in found.items():
        added = f"{(each.p50_s - bare.p50_s) * 1e3:.2f}" if bare else ""
        p50, p99 = each.p50_s * 1e3, each.p99_s * 1e3
        print(f"{name:<12}{each.rate:>9,.0f}{_ratio(each, bare):>9}", end="")
        print(f"{_ratio(each, found.get(BARE_UVLOOP)):>11}{p50:>9.2f}{added:>8}{p99:>9.2f}", end="")
        print(f"{each.here_s * 1e6:>10.0f}{each.elsewhere_s * 1e6:>11.0f}", flush=True)


def _ratio(one: Round, other: Round | None) -> str:
    return f"{one.rate / other.rate:.2f}" if other else ""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=bench.mesh.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--only", default=",".join(WAYS), metavar="NAMES")
    parser.add_argument("--sample", type=float, default=0.01, metavar="SHARE")
    parser.add_argument("--callers", default="1,16,64", metavar="NUMBERS")
    parser.add_argument("--rates", default="500,2000", metavar="NUMBERS", help="of calls a second")
    given = parser.parse_args()
    counts, rates = ([int(each) for each in text.split(",") if each] for text in (given.callers, given.rates))
    main(given.only.split(","), counts, rates, given.rounds, given.seconds, given.sample)
