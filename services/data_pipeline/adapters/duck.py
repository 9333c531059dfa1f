"""The DuckDB file: schema, one thread that writes, one that reads.

DuckDB commits in about 5 ms whatever a commit holds, and `executemany` takes a millisecond a row: rows go in
as
columns (numpy arrays), many at once. Prices are scaled integers, never floating point.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from services.disk import disk_full
from services.errors import FxError, Kind

T = TypeVar("T")

SCHEMA = """
CREATE TABLE IF NOT EXISTS ticks (
  source_id VARCHAR NOT NULL, symbol VARCHAR NOT NULL, sequence BIGINT NOT NULL, time_ns BIGINT NOT NULL,
  digits TINYINT NOT NULL, bid BIGINT NOT NULL, ask BIGINT NOT NULL, bid_size BIGINT, ask_size BIGINT);
CREATE TABLE IF NOT EXISTS tick_positions (
  source_id VARCHAR, symbol VARCHAR, last_sequence BIGINT NOT NULL, PRIMARY KEY (source_id, symbol));
CREATE TABLE IF NOT EXISTS bars (
  source_id VARCHAR NOT NULL, symbol VARCHAR NOT NULL, timeframe VARCHAR NOT NULL, open_ns BIGINT NOT NULL,
  digits TINYINT NOT NULL,
  bid_open BIGINT NOT NULL, bid_high BIGINT NOT NULL, bid_low BIGINT NOT NULL, bid_close BIGINT NOT NULL,
  ask_open BIGINT NOT NULL, ask_high BIGINT NOT NULL, ask_low BIGINT NOT NULL, ask_close BIGINT NOT NULL,
  tick_count BIGINT NOT NULL, partial BOOLEAN NOT NULL, stored BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS events (
  place BIGINT NOT NULL, id_hash UBIGINT NOT NULL, event_id VARCHAR NOT NULL, type VARCHAR NOT NULL,
  key VARCHAR NOT NULL, source_id VARCHAR NOT NULL, published_ns BIGINT NOT NULL,
  correlation_id VARCHAR NOT NULL, causation_id VARCHAR NOT NULL, payload BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS imports (source_id VARCHAR PRIMARY KEY, whole BOOLEAN NOT NULL);
CREATE TABLE IF NOT EXISTS executions (
  execution_id VARCHAR PRIMARY KEY, kind VARCHAR NOT NULL, started_ns BIGINT NOT NULL,
  content VARCHAR NOT NULL);
CREATE TABLE IF NOT EXISTS datasets (
  dataset_id VARCHAR PRIMARY KEY, symbol VARCHAR NOT NULL, created_ns BIGINT NOT NULL,
  content VARCHAR NOT NULL);
CREATE TABLE IF NOT EXISTS scores (
  execution_id VARCHAR NOT NULL, symbol VARCHAR NOT NULL, timeframe VARCHAR NOT NULL, open_ns BIGINT NOT NULL,
  probability_up DOUBLE NOT NULL, endpoint VARCHAR NOT NULL, model_name VARCHAR NOT NULL,
  model_version INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS requests (
  request_id VARCHAR PRIMARY KEY, fingerprint VARCHAR NOT NULL, result VARCHAR NOT NULL);
"""


class Duck:
    """The database of one process; nobody else may open the file."""

    def __init__(self, path: Path, memory_mb: int) -> None:
        """Opens or creates. FxError UNAVAILABLE `STORE_UNAVAILABLE` with what to do."""
        self.path = path
        options: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{memory_mb}MB",
            "threads": 1,
        }
        try:
            self._connection = duckdb.connect(str(path), config=options)
            self._connection.execute(SCHEMA)
        except duckdb.Error as error:
            raise _said(error, path) from error
        self._reading = self._connection.cursor()
        self._writer = ThreadPoolExecutor(1, "duckdb-write")
        self._reader = ThreadPoolExecutor(1, "duckdb-read")

    async def write(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        """Run `work` in a transaction on the writing thread; returns once committed."""

        def transaction() -> T:
            connection = self._connection
            connection.begin()
            try:
                result = work(connection)
                connection.commit()
            except BaseException:
                with suppress(duckdb.TransactionException):  # a commit that failed has ended it already
                    connection.rollback()
                raise
            return result

        return await self._run(self._writer, transaction)

    async def read(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        """Run `work` on the reading thread; it sees what is committed."""
        return await self._run(self._reader, lambda: work(self._reading))

    async def execute(self, statement: str, parameters: list[Any]) -> None:
        """One statement in a transaction of its own."""

        def work(connection: duckdb.DuckDBPyConnection) -> None:
            connection.execute(statement, parameters)

        await self.write(work)

    async def rows(self, sql: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return await self.read(lambda connection: connection.execute(sql, parameters or []).fetchall())

    async def _run(self, pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        try:
            # Shielded: a caller that gives up must not leave a transaction half done.
            return await asyncio.shield(asyncio.get_running_loop().run_in_executor(pool, work))
        except duckdb.Error as error:
            raise _said(error, self.path) from error

    async def close(self) -> None:
        """Finish what is queued, write the log into the file, let go of it."""
        for pool in (self._writer, self._reader):
            await asyncio.to_thread(pool.shutdown)
        self._connection.close()


def _said(error: duckdb.Error, path: Path) -> FxError:
    text = str(error)
    if "No space left" in text:
        return disk_full("data_pipeline")
    if "lock" in text and path.exists():
        return FxError(
            Kind.UNAVAILABLE, "STORE_UNAVAILABLE", "the pipeline's database is in use by another process"
        )
    return FxError(
        Kind.UNAVAILABLE, "STORE_UNAVAILABLE", f"the pipeline's database failed: {text.splitlines()[0]}"
    )
