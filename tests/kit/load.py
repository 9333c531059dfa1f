"""Calls without pause, for tests of what callers see while something is done to whom they call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from services.errors import FxError
from tests.kit.nats import until


class Load:
    """Calls that may be repeated, without pause, from several callers, until ended."""

    def __init__(self, call: Callable[[], Any], callers: int = 8) -> None:
        self.answered = 0
        self.failures: list[FxError] = []
        self._call = call
        self._going = True
        self._callers = [asyncio.create_task(self._work()) for _ in range(callers)]

    async def more(self, count: int) -> None:
        """Wait for so many more answers."""
        wanted = self.answered + count
        await until(lambda: self.answered >= wanted, seconds=60)

    async def end(self) -> None:
        self._going = False
        await asyncio.gather(*self._callers)

    async def _work(self) -> None:
        while self._going:
            try:
                await self._call()
                self.answered += 1
            except FxError as failure:
                self.failures.append(failure)
            await asyncio.sleep(0.002)  # the processes under test need the machine too
