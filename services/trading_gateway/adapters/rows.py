"""Flat dataclasses as table rows and back: one column a field, whole numbers, text and booleans only.

Amounts are whole numbers of 64 bit, enums their text, tuples JSON text; no column is REAL. Statements are
made once: making one takes longer than the database does with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import MISSING, fields
from enum import Enum
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

import sqlalchemy as sa

from services.runtime.database import replacing
from services.runtime.row_writer import RowWriter

T = TypeVar("T")
ARRIVAL: sa.ColumnClause[int] = sa.literal_column("rowid", sa.BigInteger)
"""The order in which rows were added, in a table of `arriving` rows. SQLite counts them in a column of that
name by itself; elsewhere there has to be one.
"""


class OtherRowError(Exception):
    """A row with the key of one to be written is of another thing."""


class Rows(Generic[T]):
    """The table of a dataclass."""

    def __init__(
        self,
        kind: type[T],
        name: str,
        key: tuple[str, ...],
        metadata: sa.MetaData,
        *,
        arriving: bool = False,
        constant: Collection[str] = (),
        same: str = "",
    ) -> None:
        """`key`: the fields of the primary key; `arriving`: rows are read in the order of `ARRIVAL`;
        `constant`: fields that never change, so that indexes on them need not be written again; `same`: one
        of them by which a row is known to be of the same thing, which no other may replace.
        """
        self._kind = kind
        types = {name: _plain_type(hint) for name, hint in get_type_hints(kind).items()}
        self._names = [each.name for each in fields(kind)]  # type: ignore[arg-type]
        columns = [
            sa.Column(
                each,
                _COLUMNS[types[each][0]],
                primary_key=each in key,
                nullable=types[each][1],
                autoincrement=False,
                server_default=_default(kind, each),
            )
            for each in self._names
        ]
        self._readers = [_reader(types[each][0], types[each][2]) for each in self._names]
        self._cells = attrgetter(*self._names)
        stored = (_writer(types[each][0]) for each in self._names)
        self._writers = [(at, write) for at, write in enumerate(stored) if write is not None]
        self.table = sa.Table(name, metadata, *columns)
        self._adding = RowWriter(self.table)
        self._putting = RowWriter(
            self.table, make=lambda connection, table: replacing(connection, table, constant, same)
        )
        if arriving:
            sa.event.listen(self.table, "after_create", _arrival_column)

    def add(self, connection: sa.Connection, values: Iterable[T]) -> None:
        """Insert new rows."""
        self._adding.write(connection, [self._row(each) for each in values])

    def put(self, connection: sa.Connection, values: Iterable[T]) -> None:
        """Insert rows, or replace those with their keys. Raises OtherRowError for a key of another thing."""
        rows = [self._row(each) for each in values]
        written = self._putting.write(connection, rows)
        if written < len(rows):
            raise OtherRowError(f"{len(rows) - written} rows of {self.table.name} are of other things")

    def read(
        self, connection: sa.Connection, statement: sa.Select[Any], given: Mapping[str, Any] | None = None
    ) -> list[T]:
        """The values of the rows that a select of the whole table finds; `given` binds its parameters."""
        rows = connection.execute(statement, given)
        return [self._value(row) for row in rows]

    def _value(self, row: Iterable[Any]) -> T:
        cells = zip(self._readers, row, strict=True)
        return self._kind(*[stored if read is None else read(stored) for read, stored in cells])

    def _row(self, value: T) -> tuple[Any, ...]:
        cells = list(self._cells(value))
        for at, write in self._writers:
            cells[at] = write(cells[at])
        return tuple(cells)


_COLUMNS: dict[type, sa.types.TypeEngine[Any]] = {
    int: sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
    bool: sa.Boolean(),
    str: sa.Text(),
    Enum: sa.Text(),
    tuple: sa.Text(),
}


def _arrival_column(table: sa.Table, connection: sa.Connection, **_: Any) -> None:
    if connection.dialect.name != "sqlite":
        name = connection.dialect.identifier_preparer.format_table(table)
        connection.exec_driver_sql(f"ALTER TABLE {name} ADD COLUMN rowid BIGINT GENERATED ALWAYS AS IDENTITY")


def _default(kind: type, name: str) -> str | None:
    """What a row of an earlier release has in a column that it lacks; None where the field has no default."""
    (found,) = (each.default for each in fields(kind) if each.name == name)
    if found is MISSING or found is None:
        return None
    stored = _stored(found)
    return str(int(stored)) if isinstance(stored, bool) else str(stored)


def _plain_type(hint: Any) -> tuple[type, bool, Any]:
    """(what it is stored as, whether it may be None, the type itself)."""
    nullable = False
    if get_origin(hint) in (Union, UnionType):
        (hint,) = (each for each in get_args(hint) if each is not NoneType)
        nullable = True
    if get_origin(hint) is tuple:
        return tuple, nullable, hint
    if isinstance(hint, type) and issubclass(hint, Enum):
        return Enum, nullable, hint
    if hint not in _COLUMNS:
        raise TypeError(f"no column for {hint}")
    return hint, nullable, hint


def _reader(kind: type, full: Any) -> Callable[[Any], Any] | None:
    """Makes the value of what a column holds; None where that is the value."""
    if kind is Enum:
        members: dict[str | None, Any] = {each.value: each for each in full} | {None: None}
        return members.__getitem__
    if kind is tuple:
        return lambda stored: None if stored is None else _tuples(json.loads(stored))
    return None


def _writer(kind: type) -> Callable[[Any], Any] | None:
    """Makes what a column holds of a value; None where that is the value."""
    return _stored if kind in (Enum, tuple) else None


def _stored(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return json.dumps(value, separators=(",", ":"))
    return value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value
