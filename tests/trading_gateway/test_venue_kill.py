"""SIGKILL at any moment of trading on a venue outside; both the gateway's and the venue's books are files."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from random import Random

import pytest

KILLS = 4
GENEROUS_S = 240.0


async def life(folder: Path, seed: int, number: int, what: str) -> asyncio.subprocess.Process:
    command = [sys.executable, "-m", "tests.trading_gateway.venue_process", str(folder), str(seed)]
    return await asyncio.create_subprocess_exec(
        *command, str(number), what, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


async def killed_after(process: asyncio.subprocess.Process, steps: int) -> None:
    """Read so many steps, then kill it in the middle of whatever it does."""
    assert process.stdout is not None
    seen = 0
    async for line in process.stdout:
        seen += line.startswith(b"step")
        if seen == steps:
            break
    assert seen == steps, await process.communicate()
    process.kill()
    await process.communicate()


@pytest.mark.parametrize("seed", [1, 2])
async def test_after_kills_the_books_are_the_venues(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    async with asyncio.timeout(GENEROUS_S):
        for number in range(KILLS):
            await killed_after(await life(tmp_path, seed, number, "trade"), random.randint(5, 60))
        last = await life(tmp_path, seed, KILLS, "check")
        out, failed = await last.communicate()
    assert last.returncode == 0, f"seed {seed}: {failed.decode()[-3000:]}"
    words = out.decode().split("agreed ")[-1].split()
    assert int(words[0]) > 10, f"seed {seed}: {out.decode()}"
    assert int(words[2]) > 5, f"seed {seed}: {out.decode()}"
