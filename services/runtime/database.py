"""Which database a service keeps its state in: a file of its own, or one that a setting names."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from structlog.typing import FilteringBoundLogger

from services.runtime.memory_leadership import SoleLeadership
from services.runtime.mesh import Mesh
from services.runtime.ports import Leadership
from services.runtime.store import Database, SqliteStore


def open_database(address: str, path: Path, schema: sa.MetaData, log: FilteringBoundLogger) -> Database:
    """The PostgreSQL database at `address`, or the SQLite file at `path` where that is empty.

    Raises FatalError for a file that cannot be opened; a server may be away.
    """
    if not address:
        return SqliteStore.open(path, schema)
    # Its driver is loaded by those who use it.
    from services.runtime.postgres import PostgresStore, database_address

    return PostgresStore(database_address(address), schema, log)


def lease_on(database: Database, mesh: Mesh, lease_s: float) -> Leadership:
    """Which of the processes on a database may write to it: from here on, whoever holds its lease, which ends
    `lease_s` after it was last renewed. A file has one process, which always may.
    """
    if isinstance(database, SqliteStore):
        return SoleLeadership()
    from services.runtime.leases import METADATA, DatabaseLeadership
    from services.runtime.postgres import PostgresStore

    assert isinstance(database, PostgresStore)
    beside = database.beside(METADATA)
    lease = DatabaseLeadership(beside, mesh.clock, mesh.log, mesh.candidate, mesh.metrics, lease_s)
    database.guard = lease.guard
    return lease


def replacing(
    connection: sa.Connection, table: sa.Table, constant: Collection[str] = (), same: str = ""
) -> sa.Insert:
    """An insert that replaces the row with the same key. Columns that are `constant` are the same in both; a
    row in which the column `same` is another is left as it is.
    """
    return _replacing(connection.dialect.name, table, frozenset(constant), same)


def adding(connection: sa.Connection, table: sa.Table) -> sa.Insert:
    """An insert that leaves a row with the same key as it is."""
    return _adding(connection.dialect.name, table)


# Both kinds of database have them, each in an insert of its own. Made once for each table.
@cache
def _replacing(dialect: str, table: sa.Table, constant: frozenset[str], same: str) -> sa.Insert:
    statement = _insert(dialect, table)
    keys = [each.name for each in table.primary_key]
    kept = constant.union(keys)
    others = {each.name: statement.excluded[each.name] for each in table.columns if each.name not in kept}
    where = table.c[same] == statement.excluded[same] if same else None
    found: sa.Insert = statement.on_conflict_do_update(index_elements=keys, set_=others, where=where)
    return found


@cache
def _adding(dialect: str, table: sa.Table) -> sa.Insert:
    found: sa.Insert = _insert(dialect, table).on_conflict_do_nothing()
    return found


def _insert(dialect: str, table: sa.Table) -> Any:
    return import_module(f"sqlalchemy.dialects.{dialect}").insert(table)
