"""Checkpoints in SQLite, so that a restart goes on in the middle of a bar.

Written on the loop itself, in microseconds: WAL with synchronous NORMAL survives every end of the process.
What a power cut may take with it are the last checkpoints; the ticks after them are then seen as a gap, and
logged.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from services.analysis_engine.adapters.records import (
    bar_of,
    bar_row,
    signal_of,
    signal_text,
    state_of,
    state_text,
)
from services.analysis_engine.domain.feed import FeedKey, FeedState
from services.analysis_engine.domain.signals import Signal
from services.analysis_engine.ports import Checkpoint, KeptBar
from services.quant.timeframes import Timeframe
from services.runtime.fatal import FatalError
from services.runtime.store import store_error

SCHEMA = """
CREATE TABLE IF NOT EXISTS feeds (
  session_id TEXT NOT NULL, symbol TEXT NOT NULL, saved INTEGER NOT NULL, state TEXT NOT NULL,
  PRIMARY KEY (session_id, symbol)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bars (
  session_id TEXT NOT NULL, symbol TEXT NOT NULL, timeframe TEXT NOT NULL, open_ns INTEGER NOT NULL,
  bid_open INTEGER, bid_high INTEGER, bid_low INTEGER, bid_close INTEGER,
  ask_open INTEGER, ask_high INTEGER, ask_low INTEGER, ask_close INTEGER,
  tick_count INTEGER, partial INTEGER, own INTEGER, digits INTEGER,
  PRIMARY KEY (session_id, symbol, timeframe, open_ns)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS signals (
  number INTEGER PRIMARY KEY, signal_id TEXT NOT NULL UNIQUE, signal TEXT NOT NULL
);
"""
FORMAT = 2
"""Of the tables and of the state's JSON. Another one is dropped: feeds then start anew, warmed up by the
pipeline.
"""

KEPT_SIGNALS = 5_000


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, FORMAT):
            connection.executescript(
                "DROP TABLE IF EXISTS feeds; DROP TABLE IF EXISTS bars; DROP TABLE IF EXISTS signals;"
            )
        connection.executescript(SCHEMA)
        connection.execute(f"PRAGMA user_version = {FORMAT}")
    except BaseException:
        connection.close()
        raise
    return connection


class SqliteStore:
    """`ports.Store` over one database file. Raises FatalError when it cannot be opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._connection = _open(path)
        except (sqlite3.Error, OSError) as failure:
            raise FatalError(f"cannot open the database {path}: {failure}") from failure
        (self._saved,) = self._connection.execute("SELECT COALESCE(MAX(saved), 0) FROM feeds").fetchone()

    def load(self) -> list[FeedState]:
        """Every feed, the least recently saved first."""
        rows = self._connection.execute("SELECT state FROM feeds ORDER BY saved, session_id, symbol")
        return [state_of(text) for (text,) in rows]

    def bars(self, key: FeedKey) -> list[KeptBar]:
        """The bars of a feed, oldest first within a timeframe."""
        rows = self._connection.execute(
            "SELECT symbol, timeframe, open_ns, digits, bid_open, bid_high, bid_low, bid_close,"
            " ask_open, ask_high, ask_low, ask_close, tick_count, partial, own FROM bars"
            " WHERE session_id = ? AND symbol = ? ORDER BY timeframe, open_ns",
            key,
        )
        return [KeptBar(bar_of(row[:-1]), bool(row[-1])) for row in rows]

    def signals(self, count: int) -> list[Signal]:
        """The last `count` signals, oldest first."""
        rows = self._connection.execute("SELECT signal FROM signals ORDER BY number DESC LIMIT ?", (count,))
        return [signal_of(text) for (text,) in rows.fetchall()][::-1]

    def save(self, checkpoints: Sequence[Checkpoint]) -> None:
        """All or none."""
        self._saved += 1
        with self._transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO feeds VALUES (?, ?, ?, ?)",
                [
                    (each.state.session_id, each.state.symbol, self._saved, state_text(each.state))
                    for each in checkpoints
                ],
            )
            connection.executemany(
                "INSERT OR REPLACE INTO bars VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (each.state.session_id, *bar_row(kept.bar), kept.own, kept.bar.digits)
                    for each in checkpoints
                    for kept in each.bars
                ],
            )
            signals = [each for checkpoint in checkpoints for each in checkpoint.signals]
            if signals:
                connection.executemany(
                    "INSERT OR IGNORE INTO signals (signal_id, signal) VALUES (?, ?)",
                    [(each.signal_id, signal_text(each)) for each in signals],
                )
                connection.execute(
                    "DELETE FROM signals WHERE number <= (SELECT MAX(number) FROM signals) - ?",
                    (KEPT_SIGNALS,),
                )

    def forget(self, key: FeedKey) -> None:
        """Drop a feed."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM feeds WHERE session_id = ? AND symbol = ?", key)
            connection.execute("DELETE FROM bars WHERE session_id = ? AND symbol = ?", key)

    def prune(self, key: FeedKey, timeframe: Timeframe, before_ns: int) -> None:
        """Drop bars that open before `before_ns`."""
        with self._transaction() as connection:
            connection.execute(
                "DELETE FROM bars WHERE session_id = ? AND symbol = ? AND timeframe = ? AND open_ns < ?",
                (*key, timeframe.text, before_ns),
            )

    async def check(self) -> None:
        """Raise FxError unless the database can be written now."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM feeds WHERE session_id = ''")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except sqlite3.Error as failure:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise store_error(failure, self._path) from failure
