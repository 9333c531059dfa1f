"""`python -m tests.kill --seed 7 --kills 1000 --crashes 10000`: trading dies so often, and a verdict.

Crashes inside this process come first, SIGKILLs of the real one after them. Exit code 0 when every promise
held; otherwise 1, with the seed and what was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path

from services.crash import POINTS
from tests.kill import lives
from tests.kill.load import Load
from tests.kill.processes import Town
from tests.kit.nats import NatsServer, find_program, wipe
from tests.kit.service_process import ServiceProcess

STEPS = 60
"""Calls of each trader in a run inside this process."""
IN_ONE_RUN = 25
"""Kills of the real process before everything is judged and begins anew."""
LONGEST_LIFE_S = 8.0
"""After so long at most a process is killed where it is, whatever point it was to come to."""
MOST = 1_000_000


def crash(seed: int, wanted: int, began: float) -> list[str]:
    """Runs inside this process until so many crashes were had; what is wrong."""
    had = number = 0
    while had < wanted:
        number += 1
        logged = StringIO()
        with tempfile.TemporaryDirectory(prefix="fxmesh-kill-") as folder, redirect_stdout(logged):
            run, wrong = lives.run(Path(folder), seed + number - 1, STEPS)
        had += len(run.crashes)
        say(began, f"{had} of {wanted} crashes, run {number}: {len(run.load.history.placed)} orders")
        if wrong:
            print(logged.getvalue(), end="", flush=True)
            return [*wrong, f"again: make killtest SEED={seed + number - 1} CRASHES=1 KILLS=0"]
    return []


async def kill(seed: int, wanted: int, began: float) -> list[str]:
    """Runs of real processes until so many were killed; what is wrong."""
    with tempfile.TemporaryDirectory(prefix="fxmesh-kill-") as folder:
        server = NatsServer(find_program(), Path(folder))
        server.start()
        try:
            for done in range(0, wanted, IN_ONE_RUN):
                await wipe(server)
                count = min(IN_ONE_RUN, wanted - done)
                logged = StringIO()
                with redirect_stdout(logged):
                    wrong = await _killed(server, Path(folder) / f"{done}", seed + done, count)
                say(began, f"{done + count} of {wanted} kills")
                if wrong:
                    print(logged.getvalue(), end="", flush=True)
                    return [*wrong, f"again: make killtest SEED={seed + done} CRASHES=0 KILLS={IN_ONE_RUN}"]
        finally:
            server.stop()
    return []


async def _killed(server: NatsServer, folder: Path, seed: int, count: int) -> list[str]:
    """One load over so many processes."""
    chance, load = random.Random(seed), Load(seed, MOST, 0.05)
    async with Town(server, folder, load).open() as town:
        people = asyncio.gather(*(each() for each in load.people(town)))
        for at, after_s in _deaths(chance, count):
            async with town.born(at) as dying:
                await _dead(dying, after_s)
        load.enough = True
        async with town.born() as living:
            await people
            await town.at_rest()
            wrong = await town.asked()
            living.terminate()
            await living.ended()
        return [*wrong, *await town.judged()]


def _deaths(chance: random.Random, count: int) -> Iterator[tuple[str, float]]:
    """At a point, or (no name) at a moment."""
    for _ in range(count):
        at = f"{chance.choice(tuple(POINTS))}:{chance.randint(1, 12)}" if chance.random() < 0.8 else ""
        yield at, LONGEST_LIFE_S if at else chance.uniform(0, 2)


async def _dead(process: ServiceProcess, after_s: float) -> None:
    ended = asyncio.ensure_future(process.ended())
    await asyncio.wait({ended}, timeout=after_s)
    with suppress(ProcessLookupError):
        process.kill()
    await ended


def say(began: float, text: str) -> None:
    print(f"{time.monotonic() - began:7.1f} s  {text}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kill", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--kills", type=int, default=1_000, help="of the real process")
    parser.add_argument("--crashes", type=int, default=10_000, help="inside this one")
    given = parser.parse_args()
    print(f"seed {given.seed}: {given.crashes} crashes, {given.kills} kills", flush=True)
    began = time.monotonic()
    wrong = crash(given.seed, given.crashes, began) or asyncio.run(kill(given.seed, given.kills, began))
    for each in wrong:
        print(f"- {each}", flush=True)
    if not wrong:
        print(f"every promise held (seed {given.seed})", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
