"""Many rows written at once, as the driver itself does it: the short way for what is written all the time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa


class RowWriter:
    """Writes rows of a table, given as tuples of its columns or of those named, by the driver's own call for
    many rows. Making a statement, and what SQLAlchemy does around one, takes longer than the database does.
    """

    def __init__(
        self,
        table: sa.Table,
        columns: Sequence[str] = (),
        make: Callable[[sa.Connection, sa.Table], sa.Insert] = lambda _, table: sa.insert(table),
    ) -> None:
        """`make`: the insert, as this database has it."""
        self._table = table
        self._columns = list(columns or table.columns.keys())
        self._make = make
        self._texts: dict[str, str] = {}

    def write(self, connection: sa.Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """How many rows were inserted or replaced. Raises what the driver raises."""
        if not rows:
            return 0
        text = self._texts.get(connection.dialect.name) or self._compiled(connection)
        raw: Any = connection.connection.driver_connection
        cursor = raw.cursor()
        cursor.executemany(text, rows)
        return int(cursor.rowcount)

    def _compiled(self, connection: sa.Connection) -> str:
        dialect = connection.dialect
        if not dialect.positional:
            kind: Any = type(dialect)
            dialect = kind(paramstyle="format")
        insert = self._make(connection, self._table).inline()
        text = str(insert.compile(dialect=dialect, column_keys=self._columns))
        self._texts[connection.dialect.name] = text
        return text
