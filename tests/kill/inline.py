"""Store, clock and bus for processes that live inside one: no thread, no wall clock; only the event loop
decides what comes first.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from services.runtime.bus.envelope import Envelope
from services.runtime.memory_bus import MemoryBroker
from services.runtime.store import SqliteStore, _connect, _Job, _raw
from tests.kill.verdict import Published
from tests.kit.events import quiet_log
from tests.trading_gateway.kit import START

T = TypeVar("T")
_COMPILED: dict[Any, Any] = {}
_DIALECTS: list[sa.Dialect] = []
"""Statements of all stores, and the dialect that they are of: compiling takes longer than all else."""


class InlineStore(SqliteStore):
    """The store without its threads: what is asked for in one turn of the loop is one group."""

    def __init__(self, path: Path, engine: sa.Engine) -> None:
        _DIALECTS.append(engine.dialect)
        engine.dialect = _DIALECTS[0]
        super().__init__(path, engine)
        self._jobs.put(None)
        self._writer.join()
        self._connection = self._connection.execution_options(compiled_cache=_COMPILED)
        self._read_connection = self._read_connection.execution_options(compiled_cache=_COMPILED)
        self._group: list[_Job] = []

    @classmethod
    def inline(cls, path: Path, schema: sa.MetaData) -> InlineStore:
        """As `open`."""
        opened = cls.open(path, schema)
        assert isinstance(opened, InlineStore)
        return opened

    async def write(self, run: Callable[[sa.Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        job = _Job(run, loop.create_future(), loop, copy_context())
        if not self._group:
            loop.call_soon(self._flush)
        self._group.append(job)
        result: T = await asyncio.shield(job.done)
        return result

    async def read(self, run: Callable[[sa.Connection], T]) -> T:
        await asyncio.sleep(0)
        return self._read(run)

    async def close(self) -> None:
        self._readers.shutdown()
        for each in (self._connection, self._read_connection):
            _raw(each).close()
            each.invalidate()
            each.close()
        self._engine.dispose()

    def _flush(self) -> None:
        group, self._group = self._group, []
        self._deliver(group, self._commit(group))


def connect(path: Path) -> sqlite3.Connection:
    """As the store does, but a killed process loses nothing that it has written: only a power cut would."""
    connection = _connect(path)
    connection.execute("PRAGMA synchronous = OFF")
    return connection


class LoopClock:
    """Time as the loop has it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.monotonic = loop.time

    def now_ns(self) -> int:
        return START + round(self.monotonic() * 1e9)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Stream(MemoryBroker):
    """The bus, which outlives every process, and all that was published, in order and as often as it was."""

    def __init__(self, clock: LoopClock) -> None:
        super().__init__(clock, quiet_log())
        self.published: list[Published] = []

    def store(self, envelope: Envelope) -> None:
        self.published.append(Published(envelope.key, envelope.id, envelope.payload))
        super().store(envelope)
