"""The books of a file into an empty PostgreSQL database: in one transaction, proven before its commit.

For a gateway that is stopped. The file keeps its rows and is marked as left (`services/runtime/moved.py`), so
that no gateway goes on with them by mistake. Two databases have no commit in common: the mark is durable
first, so at no moment both may be traded on, and a copy that fails after it is made again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from services.errors import FxError, Kind
from services.runtime import copying, leases, moved
from services.runtime.copying import Content
from services.runtime.postgres import PostgresStore
from services.runtime.store import SqliteStore
from services.trading_gateway.adapters.rows import ARRIVAL
from services.trading_gateway.adapters.schema import Schema
from services.trading_gateway.domain.changes import JournalEntry
from services.trading_gateway.domain.replaying import parse

Told = Callable[[str, int, int], None]
"""Hears a table, and how many of its rows are there by now."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A table and what both databases hold of it."""

    table: str
    content: Content


async def move(source: SqliteStore, target: PostgresStore, schema: Schema, told: Told) -> list[Moved]:
    """Copy every table; what was copied, by the order of copying.

    Raises FxError FAILED_PRECONDITION: `BOOKS_IN_USE` while a gateway has the lease of the target,
    `BOOKS_NOT_EMPTY`, `BOOKS_MOVED` where they went to another target before, `BOOKS_DIFFER`,
    `JOURNAL_BROKEN`. Nothing is in the target then, and the source is not marked.
    """
    loop = asyncio.get_running_loop()

    def mark() -> None:
        """On the source's own writer, beside the reader that is waiting."""
        marking = source.write(lambda connection: moved.mark(connection, target.place))
        asyncio.run_coroutine_threadsafe(marking, loop).result()

    def written(found: sa.Connection, made: sa.Connection) -> list[Moved]:
        _require_free(found, made, target.place, schema)
        tables = _copied(found, made, schema, told)
        mark()
        return tables

    def copied(found: sa.Connection) -> list[Moved]:
        # The reader of the file waits here, so that its rows are all of one moment.
        writing = target.write(lambda made: written(found, made))
        return asyncio.run_coroutine_threadsafe(writing, loop).result()

    return await source.read(copied)


def _require_free(source: sa.Connection, target: sa.Connection, place: str, schema: Schema) -> None:
    """Nobody works on the target, it is empty, and the books of the source are still the books."""
    if leases.withheld(target):
        raise _refused("BOOKS_IN_USE", "a gateway works on the target: stop every gateway first")
    tables = schema.metadata.sorted_tables
    if full := [each.name for each in tables if not copying.empty(target, each)]:
        raise _refused("BOOKS_NOT_EMPTY", f"the target holds books already: rows in {', '.join(full)}")
    if moved.moved_to(source) not in ("", place):
        raise _refused("BOOKS_MOVED", f"these books went to {moved.moved_to(source)}: copy those there")


def _copied(source: sa.Connection, target: sa.Connection, schema: Schema, told: Told) -> list[Moved]:
    tables = []
    for table in schema.metadata.sorted_tables:
        rows, name = copying.count(source, table), table.name
        order = ARRIVAL if table is schema.signals.table else None
        copying.copy(source, target, table, order, lambda done, name=name, rows=rows: told(name, done, rows))  # type: ignore[misc]
        wanted, found = copying.content(source, table), copying.content(target, table)
        if wanted != found:
            raise _refused(
                "BOOKS_DIFFER", f"{name} has {found.rows} rows in the target and {wanted.rows} in the source"
            )
        tables.append(Moved(name, found))
    _require_whole(target, schema)
    return tables


def _require_whole(connection: sa.Connection, schema: Schema) -> None:
    """Every input is there, in order, and can be read."""
    table, expected = schema.journal.table, 1
    found = sa.select(table).order_by(table.c.number).execution_options(yield_per=1_000)
    try:
        with connection.execute(found) as entries:
            for row in entries.mappings():
                entry = JournalEntry(**row)
                if entry.number != expected:
                    raise ValueError(f"the journal goes on at {entry.number} where {expected} follows")
                parse(entry)
                expected += 1
    except (ValueError, TypeError) as failure:
        raise _refused("JOURNAL_BROKEN", str(failure)) from failure


def _refused(reason: str, detail: str) -> FxError:
    return FxError(Kind.FAILED_PRECONDITION, reason, detail)
