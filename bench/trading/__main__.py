"""Measure and print; the package's docstring says what."""

from __future__ import annotations

import argparse
import asyncio

import bench.trading
from bench.trading import orders, recovery, risk
from services.runtime.loop import MeasuredLoop

PARTS = ("risk", "orders", "recovery")


def main() -> None:
    """The parts asked for, or all."""
    parser = argparse.ArgumentParser(
        description=bench.trading.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each round")
    parser.add_argument("--callers", default="1,32", metavar="NUMBERS")
    parser.add_argument("--orders", type=int, default=100_000, help="in each history of recovery")
    parser.add_argument("--histories", default=",".join(recovery.HISTORIES), metavar="NAMES")
    given = parser.parse_args()
    parts = given.parts or PARTS
    if "risk" in parts:
        risk.measure(given.rounds, given.seconds / 2)
    with asyncio.Runner(loop_factory=MeasuredLoop) as runner:
        if "orders" in parts:
            callers = [int(each) for each in given.callers.split(",")]
            runner.run(orders.measure(callers, given.rounds, given.seconds))
        if "recovery" in parts:
            runner.run(recovery.measure(given.orders, given.rounds, given.histories.split(",")))


if __name__ == "__main__":
    main()
