"""`services.requests.Answers` in a service's own SQLite database."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from services.runtime.store import Database


class AnswerTable:
    """The table of one database. Construct it before the schema is created."""

    def __init__(self, metadata: sa.MetaData) -> None:
        self._table = sa.Table(
            "requests",
            metadata,
            sa.Column("request_id", sa.String, primary_key=True),
            sa.Column("content", sa.String, nullable=False),
            sa.Column("result", sa.String, nullable=False),
        )

    async def recall(self, database: Database, request_id: str) -> tuple[str, str] | None:
        """What was remembered."""
        statement = sa.select(self._table.c.content, self._table.c.result)
        statement = statement.where(self._table.c.request_id == request_id)
        row = await database.read(lambda connection: connection.execute(statement).first())
        return None if row is None else (row[0], row[1])

    async def remember(self, database: Database, request_id: str, content: str, result: str) -> None:
        """The first stays."""
        row = insert(self._table).values(request_id=request_id, content=content, result=result)
        statement = row.on_conflict_do_nothing()
        await database.write(lambda connection: connection.execute(statement).rowcount)
