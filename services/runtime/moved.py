"""A mark in a database whose rows went to another one: nobody may work on what stayed behind.

Its table is made with the first mark, apart from those of a service: it is never copied along.
"""

from __future__ import annotations

import sqlalchemy as sa

from services.runtime.fatal import FatalError
from services.runtime.store import Database

_METADATA = sa.MetaData()
_MOVED = sa.Table("moved", _METADATA, sa.Column("to", sa.Text, primary_key=True))


def mark(connection: sa.Connection, to: str) -> None:
    """The rows are at `to` from now on, an address without a password."""
    _METADATA.create_all(connection)
    forget(connection)
    connection.execute(sa.insert(_MOVED).values(to=to))


def moved_to(connection: sa.Connection) -> str:
    """Where the rows went; empty for rows that stayed."""
    if not sa.inspect(connection).has_table(_MOVED.name):
        return ""
    return connection.execute(sa.select(_MOVED.c.to)).scalar() or ""


def forget(connection: sa.Connection) -> str:
    """Take the mark away, on purpose; what it said."""
    said = moved_to(connection)
    if said:
        connection.execute(sa.delete(_MOVED))
    return said


async def require_here(database: Database, setting: str, undo: str) -> None:
    """Raises FatalError for a database whose rows went to another one, which `setting` is to name; `undo` is
    the command that takes the mark away.
    """
    to = await database.read(moved_to)
    if to:
        raise FatalError(
            f"the books in {database.name} were copied to {to}, and what is traded since is there: set "
            f"{setting} to it; to go on here instead, without that, run `{undo}`"
        )
