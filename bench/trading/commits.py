"""The layer below: the same number of rows in a bare SQLite file, with the settings of trading's own, on the
same disk and from a thread, without anything of the platform.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROW = b"x" * 512
"""About what an order is as a row."""


class Commits:
    """A table of rows."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._number = 0

    def commit(self, rows: int) -> None:
        """So many rows, one statement each, and one commit of them all."""
        self._connection.execute("BEGIN IMMEDIATE")
        for _ in range(rows):
            self._number += 1
            self._connection.execute("INSERT INTO orders VALUES (?, ?)", (self._number, ROW))
        self._connection.execute("COMMIT")


@contextmanager
def commits(folder: Path) -> Iterator[Commits]:
    """On a new file in `folder`."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE orders (number INTEGER PRIMARY KEY, body BLOB NOT NULL)")
        yield Commits(connection)
    finally:
        connection.close()
