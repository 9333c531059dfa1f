"""Tables of one database into those of another, of whatever kind each is, and the proof that both hold the
same.

The digest of a table is the sum of its rows' hashes, so it does not depend on the order in which a database
gives them: text is not sorted alike everywhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

_CHUNK = 1_000
"""Rows in memory at once, and in one statement."""
_MODULUS = 1 << 256


@dataclass(frozen=True, slots=True)
class Content:
    """What a table holds. `digest` is hexadecimal, equal for the same rows in any order."""

    rows: int
    digest: str


def content(connection: sa.Connection, table: sa.Table) -> Content:
    """Every column that the schema declares, of every row."""
    count, total = 0, 0
    asked = sa.select(table).execution_options(yield_per=_CHUNK)
    with connection.execute(asked) as found:
        for row in found:
            hashed = hashlib.sha256(repr(tuple(row)).encode()).digest()
            count, total = count + 1, (total + int.from_bytes(hashed, "big")) % _MODULUS
    return Content(count, f"{total:064x}")


def copy(
    source: sa.Connection,
    target: sa.Connection,
    table: sa.Table,
    order: sa.ColumnElement[int] | None,
    told: Callable[[int], None],
) -> None:
    """Append the rows of a table, those of a table that is read by arrival in its `order`; `told` hears how
    many there are by now.
    """
    asked = sa.select(table).execution_options(yield_per=_CHUNK)
    copied = 0
    with source.execute(asked if order is None else asked.order_by(order)) as found:
        for chunk in found.mappings().partitions():
            target.execute(sa.insert(table), [dict(row) for row in chunk])
            copied += len(chunk)
            told(copied)
    _go_on_counting(target, table)


def empty(connection: sa.Connection, table: sa.Table) -> bool:
    """Whether it has no row."""
    return connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first() is None


def count(connection: sa.Connection, table: sa.Table) -> int:
    """Its rows."""
    return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def _go_on_counting(connection: sa.Connection, table: sa.Table) -> None:
    """A key that the database counts by itself goes on behind what was copied. SQLite sees to that."""
    counted = table.autoincrement_column
    if counted is None or connection.dialect.name == "sqlite":
        return
    last = connection.execute(sa.select(sa.func.max(counted))).scalar()
    if last is not None:
        sequence = sa.func.pg_get_serial_sequence(table.name, counted.name)
        connection.execute(sa.select(sa.func.setval(sequence, last)))
