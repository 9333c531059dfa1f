"""Reads bars, ticks, events and counts from DuckDB."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from services.data_pipeline.adapters.columns import BAR_FIELDS, bar_of
from services.data_pipeline.adapters.duck import Duck
from services.data_pipeline.domain.records import EventRecord, Span, StoredCount
from services.market.ticks import TickBatch
from services.quant.bars import Bar
from services.quant.timeframes import Timeframe

CHUNK_ROWS = 5000
# Of several sources with a bar of the same time, the one stored last counts.
BARS = """FROM bars
  WHERE symbol = $symbol AND timeframe = $timeframe AND open_ns >= $start AND open_ns < $end
    AND ($source = '' OR source_id = $source)
  QUALIFY row_number() OVER (PARTITION BY open_ns ORDER BY stored DESC, source_id DESC) = 1
  ORDER BY open_ns {order} LIMIT $limit"""
FIRST_BARS, LAST_BARS = (f"SELECT {BAR_FIELDS} {BARS.format(order=order)}" for order in ("ASC", "DESC"))
FIRST_NS, LAST_NS = -(2**62), 2**62


class DuckHistory:
    """`ports.History` over DuckDB."""

    def __init__(self, duck: Duck) -> None:
        self._duck = duck

    async def bars(
        self, symbol: str, timeframe: Timeframe, span: Span, source_id: str, limit: int, *, latest: bool
    ) -> list[Bar]:
        """At most `limit` bars, oldest first."""
        sql = LAST_BARS if latest else FIRST_BARS
        parameters = _bar_parameters(symbol, timeframe, span, source_id) | {"limit": limit}
        rows = await self._duck.read(lambda c: c.execute(sql, parameters).fetchall())
        bars = [bar_of(row) for row in rows]
        return bars[::-1] if latest else bars

    async def read_bars(
        self, symbol: str, timeframe: Timeframe, span: Span, source_id: str
    ) -> AsyncIterator[Sequence[Bar]]:
        """All bars of the span in chunks, each its own query from where the last one ended."""
        start = span.start_ns
        while True:
            part = await self.bars(
                symbol, timeframe, Span(start, span.end_ns), source_id, CHUNK_ROWS, latest=False
            )
            if part:
                yield part
            if len(part) < CHUNK_ROWS:
                return
            start = part[-1].open_ns + 1

    async def read_ticks(self, symbol: str, source_id: str, after_sequence: int) -> AsyncIterator[TickBatch]:
        """All ticks after a sequence in chunks."""
        sql = """SELECT sequence, time_ns, digits, bid, ask, bid_size, ask_size FROM ticks
          WHERE symbol = ? AND source_id = ? AND sequence > ? ORDER BY sequence LIMIT ?"""
        while rows := await self._duck.rows(sql, [symbol, source_id, after_sequence, CHUNK_ROWS]):
            yield _batch(source_id, symbol, rows)
            after_sequence = rows[-1][0]

    async def events(
        self, types: Sequence[str], key: str, before: int | None, limit: int
    ) -> list[tuple[int, EventRecord]]:
        """Newest first."""
        sql = """SELECT place, event_id, type, key, source_id, published_ns, correlation_id, causation_id,
            payload
          FROM events WHERE place < ? AND (len(?) = 0 OR type IN (SELECT unnest(?))) AND (? = '' OR key = ?)
          ORDER BY place DESC LIMIT ?"""
        names = list(types)
        rows = await self._duck.rows(sql, [before or LAST_NS, names, names or [""], key, key, limit])
        return [(row[0], EventRecord(*row[1:])) for row in rows]

    async def counts(self, source_id: str) -> list[StoredCount]:
        """Ticks, bars, and events by type."""
        sql = """SELECT name, n FROM (
            SELECT 1 AS place, 'ticks' AS name, count(*) AS n FROM ticks
              WHERE $source = '' OR source_id = $source
            UNION ALL
            SELECT 2, 'bars', count(*) FROM bars WHERE $source = '' OR source_id = $source
            UNION ALL
            SELECT 3, type, count(*) FROM events WHERE $source = '' OR source_id = $source GROUP BY type)
          ORDER BY place, name"""
        rows = await self._duck.read(lambda c: c.execute(sql, {"source": source_id}).fetchall())
        return [StoredCount(name, count) for name, count in rows]

    def size_bytes(self) -> int:
        """The database file and its log."""
        files = (self._duck.path, Path(f"{self._duck.path}.wal"))
        return sum(each.stat().st_size for each in files if each.exists())


def _bar_parameters(symbol: str, timeframe: Timeframe, span: Span, source_id: str) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "timeframe": timeframe.text,
        "start": FIRST_NS if span.start_ns is None else span.start_ns,
        "end": LAST_NS if span.end_ns is None else span.end_ns,
        "source": source_id,
    }


def _batch(source_id: str, symbol: str, rows: list[tuple[Any, ...]]) -> TickBatch:
    sequences, times, digits, bids, asks, bid_sizes, ask_sizes = (
        list(column) for column in zip(*rows, strict=True)
    )
    known = None not in bid_sizes and None not in ask_sizes
    return TickBatch(
        source_id,
        symbol,
        sequences[0],
        digits[0],
        times,
        bids,
        asks,
        bid_sizes if known else (),
        ask_sizes if known else (),
    )
