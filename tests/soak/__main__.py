"""`python -m tests.soak --seed 7 --minutes 5`: load and faults over a whole platform, and a verdict.

Exit code 0 when every promise held. Otherwise 1, with the seed, the schedule and what was broken; the
platform's folder is kept.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path

from tests.soak import verdict
from tests.soak.load import Record, Trader, ask_by_rest, read_quotes, replay, write_ticks
from tests.soak.platform import Platform
from tests.soak.schedule import Fault, schedule

TRADERS = ("soak-1", "soak-2", "soak-3")
SHOW_S = 10.0
OBSERVE_S = 5.0


class Soak:
    """One run over one platform."""

    def __init__(self, platform: Platform, seed: int, minutes: float) -> None:
        self._platform = platform
        self._seed = seed
        self._length_s = minutes * 60
        self._faults = schedule(seed, minutes)
        self._record = Record()
        self._began = time.monotonic()

    async def run(self) -> list[str]:
        """Everything that was found wrong."""
        await self._platform.start()
        link = self._platform.caller()
        ticks = self._platform.folder / "soak.csv"
        write_ticks(ticks, self._seed)
        traders = [Trader(name, self._seed, link, self._record) for name in TRADERS]
        for trader in traders:
            await trader.open()
        self._began = time.monotonic()
        using = [
            *(trader.run() for trader in traders),
            read_quotes(link, self._record),
            ask_by_rest(self._platform, self._record),
            replay(self._platform, ticks, self._record, self._seed),
            self._show(),
            self._observe(),
        ]
        tasks = [asyncio.ensure_future(each) for each in using]
        breaking = asyncio.ensure_future(self._break())
        done, _ = await asyncio.wait((breaking, *tasks), return_when=asyncio.FIRST_COMPLETED)
        for task in (breaking, *tasks):
            task.cancel()
        await asyncio.gather(breaking, *tasks, return_exceptions=True)
        if breaking not in done:
            return [f"the load itself failed: {task.exception()!r}" for task in done]
        breaking.result()
        self._say("load and faults are over; settling")
        try:
            return await self._judge()
        finally:
            await link.close()

    async def _break(self) -> None:
        for fault in self._faults:
            await asyncio.sleep(self._began + fault.at_s - time.monotonic())
            self._say(f"{fault.kind} {fault.target} for {fault.length_s:g} s")
            await self._platform.suffer(fault)
        await asyncio.sleep(self._began + self._length_s - time.monotonic())

    async def _show(self) -> None:
        while True:
            await asyncio.sleep(SHOW_S)
            done = ", ".join(f"{name} {count}" for name, count in sorted(self._record.done.items()))
            self._say(done)

    async def _observe(self) -> None:
        while True:
            self._platform.observe()
            await asyncio.sleep(OBSERVE_S)

    async def _judge(self) -> list[str]:
        await self._platform.ready()
        link, record = self._platform.caller(), self._record
        try:
            wrong = [
                *record.wrong,
                *await verdict.orders(link, record),
                *await verdict.books(link, record),
                *await verdict.events(self._platform, link, record),
            ]
        finally:
            await link.close()
        if not record.acknowledged:
            wrong.append("no order was ever acknowledged")
        compared = (
            f"{record.done['events compared']} events and {record.done['ticks compared']} ticks compared"
        )
        self._say(compared)
        refused = ", ".join(f"{name} {count}" for name, count in sorted(record.refused.items()))
        self._say(f"{len(record.acknowledged)} orders acknowledged, {len(record.unknown)} unknown; {refused}")
        return [*wrong, *verdict.logs(self._platform), *verdict.memory(self._platform)]

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:7.1f} s  {text}", flush=True)


def told(seed: int, minutes: float, faults: list[Fault], wrong: list[str], folder: Path) -> str:
    """The whole story of a run that failed."""
    schedule_text = "\n".join(map(str, faults))
    found = "\n".join(f"- {each}" for each in wrong)
    again = f"make soak SEED={seed} MINUTES={minutes:g}"
    return f"\nschedule of seed {seed}\n{schedule_text}\n\nbroken\n{found}\n\nagain: {again}\nkept: {folder}"


async def soak(folder: Path, seed: int, minutes: float) -> list[str]:
    platform = Platform(folder)
    try:
        return await Soak(platform, seed, minutes).run()
    except Exception:  # noqa: BLE001 whatever it was, the platform must be stopped and the seed told
        return [traceback.format_exc()]
    finally:
        with suppress(Exception):
            platform.observe()
        await platform.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--minutes", type=float, default=5.0)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fxmesh-soak-"))
    faults = schedule(given.seed, given.minutes)
    print(f"seed {given.seed}, {given.minutes:g} minutes, {len(faults)} faults, in {folder}", flush=True)
    wrong = asyncio.run(soak(folder, given.seed, given.minutes))
    if wrong:
        print(told(given.seed, given.minutes, faults, wrong, folder), flush=True)
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    print(f"every promise held (seed {given.seed})", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
