"""Commits that wait for the database together are written together: each table once, and each row as it came
out in the end. They were applied one after the other and stand or fall together anyway.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import sqlalchemy as sa

from services.runtime.store import Database
from services.trading_gateway.domain.changes import Changes
from services.trading_gateway.ports import Told

MOST = 512
"""Commits of one batch; bounds how long the first of them waits for the last."""


class Batch:
    """Commits that follow on each other, open until the writer thread takes them."""

    def __init__(self, changes: Changes, told: Told) -> None:
        self._lock = threading.Lock()
        self._open = True
        self._count = 0
        self._changes, self._told = Changes(changes.follows), Told()
        self._written: asyncio.Future[None] | None = None
        self._take_in(changes, told)

    def begin(self, database: Database, write: Callable[[sa.Connection, Changes, Told], None]) -> None:
        """Queue at the database, behind the batches before."""

        def run(connection: sa.Connection) -> None:
            with self._lock:
                self._open = False
            write(connection, self._changes, self._told)

        self._written = asyncio.ensure_future(database.write(run))
        self._written.add_done_callback(_heard)

    def add(self, changes: Changes, told: Told) -> bool:
        """Take in another commit. False when that must go by itself."""
        with self._lock:
            # One that failed before it was begun, for want of the database, would wait for ever for its turn.
            over = self._written is not None and self._written.done()
            follows = changes.follows == self._changes.follows + len(self._changes.journal)
            fits = self._open and not over and follows and self._count < MOST
            if fits:
                self._take_in(changes, told)
            return fits

    async def written(self) -> None:
        """Return once it is durable; raises what became of it otherwise. The caller may be cancelled."""
        assert self._written is not None
        await asyncio.shield(self._written)

    def _take_in(self, changes: Changes, told: Told) -> None:
        self._count += 1
        self._changes.absorb(changes)
        self._told.events += told.events
        self._told.stories.update(told.stories)


def _heard(written: asyncio.Future[None]) -> None:
    """Whoever waits sees the failure; perhaps nobody does any more."""
    if not written.cancelled():
        written.exception()
