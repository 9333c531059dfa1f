"""Leadership where there is one instance and never another: a service composed in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class SoleLeadership:
    """Leads from the beginning to the end."""

    held = True
    term = 1
    leader = ""

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when `condition` holds now; otherwise never, since nothing changes."""
        while not condition():
            await asyncio.Event().wait()

    async def campaign(self) -> None:
        """Nobody to win against."""

    async def close(self) -> None:
        """Nobody to give it to."""
