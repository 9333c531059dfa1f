"""Every event with exactly one effect, however often it is delivered.

Ticks are told apart by (source, symbol, sequence): the last sequence stored is committed with them and
overlaps are trimmed. Other events are told apart by their id among the last million stored, far more than the
bus can deliver again after a crash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from services.data_pipeline.adapters.columns import Columns, bar_columns, event_columns, tick_columns
from services.data_pipeline.adapters.duck import Duck
from services.data_pipeline.domain.records import Arrivals, EventRecord, Stored
from services.market.dedupe import SequenceTracker
from services.market.ticks import TickBatch
from services.quant.bars import Bar

RECENT_EVENTS = 1_000_000
INSERT_TICKS = """INSERT INTO ticks SELECT source_id, symbol, sequence, time_ns, digits, bid, ask,
  nullif(bid_size, -1), nullif(ask_size, -1) FROM batch"""
POSITIONS = """INSERT INTO tick_positions SELECT source_id, symbol, max(sequence) FROM batch GROUP BY ALL
  ON CONFLICT DO UPDATE SET last_sequence = greatest(last_sequence, excluded.last_sequence)"""


class DuckEventStore:
    """`ports.EventStore` and `ports.Imports` over DuckDB."""

    def __init__(self, duck: Duck) -> None:
        self._duck = duck
        self._tracker: SequenceTracker | None = None
        self._place = 0

    async def load(self) -> None:
        """Read where ticks and events stand."""
        positions = await self._duck.rows("SELECT source_id, symbol, last_sequence FROM tick_positions")
        self._tracker = SequenceTracker({(source, symbol): last for source, symbol, last in positions})
        self._place = (await self._duck.rows("SELECT coalesce(max(place), 0) FROM events"))[0][0]
        for (source_id,) in await self._duck.rows("SELECT source_id FROM imports WHERE NOT whole"):
            await self.undo(source_id)

    async def check(self) -> None:
        """Raises when the database does not answer."""
        await self._duck.rows("SELECT 1")

    async def commit(self, arrivals: Arrivals) -> Stored:
        """One transaction for all; positions move only once it is on disk."""
        batches = self._new_ticks(arrivals.batches)
        stored = await self._duck.write(lambda connection: self._insert(connection, batches, arrivals.events))
        tracker = self._positions()
        for batch in batches:
            tracker.commit(batch.session_id, batch.symbol, batch.last_sequence)
        self._place += stored.events
        return stored

    def _positions(self) -> SequenceTracker:
        if self._tracker is None:
            raise RuntimeError("load() comes first")
        return self._tracker

    def _new_ticks(self, arrivals: Sequence[TickBatch]) -> list[TickBatch]:
        """Ticks beyond what is stored, and beyond what this very commit holds already."""
        tracker = self._positions()
        fresh: list[TickBatch] = []
        last: dict[tuple[str, str], int] = {}
        for batch in arrivals:
            key = (batch.session_id, batch.symbol)
            after = max(last.get(key, 0), tracker.last(*key))
            new = batch.trimmed_after(after)
            if len(new):
                fresh.append(new)
                last[key] = new.last_sequence
        return fresh

    def _insert(
        self,
        connection: duckdb.DuckDBPyConnection,
        batches: Sequence[TickBatch],
        events: Sequence[EventRecord],
    ) -> Stored:
        if batches:
            insert(connection, f"{INSERT_TICKS}; {POSITIONS}", tick_columns(batches))
        fresh = self._new_events(connection, events)
        if fresh:
            hashes = _hashes(fresh)
            insert(
                connection,
                "INSERT INTO events SELECT * FROM batch",
                event_columns(fresh, hashes, self._place + 1),
            )
        bars = [(each.source_id, each.bar) for each in fresh if each.bar is not None]
        if bars:
            sources, values = zip(*bars, strict=True)
            columns = bar_columns(sources, values, self._place + 1)
            insert(connection, "INSERT INTO bars SELECT * FROM batch", columns)
        return Stored(sum(map(len, batches)), len(fresh), [bar for _, bar in bars])

    def _new_events(
        self, connection: duckdb.DuckDBPyConnection, events: Sequence[EventRecord]
    ) -> list[EventRecord]:
        if not events:
            return []
        batch: Columns = {"id_hash": _hashes(events)}
        known = connection.execute(
            "SELECT event_id FROM events WHERE place > ? AND id_hash IN (SELECT id_hash FROM batch)",
            [self._place - RECENT_EVENTS],
        ).fetchall()
        del batch
        seen, fresh = {event_id for (event_id,) in known}, []
        for event in events:
            if event.event_id not in seen:
                seen.add(event.event_id)
                fresh.append(event)
        return fresh

    async def begin(self, source_id: str) -> bool:
        """Make room for an import; False when it is stored already."""
        rows = await self._duck.rows("SELECT whole FROM imports WHERE source_id = ?", [source_id])
        if rows and rows[0][0]:
            return False
        await self.undo(source_id)
        await self._duck.execute("INSERT INTO imports VALUES (?, false)", [source_id])
        return True

    async def ticks(self, batch: TickBatch) -> None:
        """Store ticks of an import."""
        await self._duck.write(lambda c: insert(c, INSERT_TICKS, tick_columns([batch])))

    async def bars(self, source_id: str, bars: Sequence[Bar]) -> None:
        """Store bars of an import."""
        columns = bar_columns([source_id] * len(bars), bars, self._place)
        await self._duck.write(lambda c: insert(c, "INSERT INTO bars SELECT * FROM batch", columns))

    async def finish(self, source_id: str) -> None:
        """The import is whole from now on."""
        await self._duck.execute("UPDATE imports SET whole = true WHERE source_id = ?", [source_id])

    async def undo(self, source_id: str) -> None:
        """Remove all rows of an import."""

        def delete(connection: duckdb.DuckDBPyConnection) -> None:
            for table in ("ticks", "bars", "imports"):
                connection.execute(f"DELETE FROM {table} WHERE source_id = ?", [source_id])  # noqa: S608 - names above

        await self._duck.write(delete)

    async def forget_quotes(self, types: Sequence[str], before_ns: int) -> None:
        """Drop conflated events published before a wall time."""
        statement = "DELETE FROM events WHERE type IN (SELECT unnest(?)) AND published_ns < ?"
        await self._duck.execute(statement, [list(types), before_ns])


def insert(connection: duckdb.DuckDBPyConnection, statement: str, batch: Columns) -> None:
    """Run an insert that selects from `batch`, columns of equal length."""
    connection.register("batch", batch)
    try:
        connection.execute(statement)
    finally:
        connection.unregister("batch")


def _hashes(events: Sequence[EventRecord]) -> npt.NDArray[np.uint64]:
    digests: list[Any] = [
        int.from_bytes(hashlib.blake2b(each.event_id.encode(), digest_size=8).digest()) for each in events
    ]
    return np.array(digests, dtype=np.uint64)
