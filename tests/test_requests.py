"""The same request again, another under its id, and who comes first, on a real database."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from services.errors import FxError, Kind
from services.requests import answered
from services.runtime.answers import AnswerTable
from services.runtime.store import SqliteStore

METADATA = sa.MetaData()
TABLE = AnswerTable(METADATA)


class Kept:
    """A store as services write it."""

    def __init__(self, database: SqliteStore) -> None:
        self.database = database

    async def recall(self, request_id: str) -> tuple[str, str] | None:
        return await TABLE.recall(self.database, request_id)

    async def remember(self, request_id: str, content: str, result: str) -> None:
        await TABLE.remember(self.database, request_id, content, result)


async def test_the_first_answer_stays_and_its_id_is_for_that_request_only(tmp_path: Path) -> None:
    kept = Kept(SqliteStore.open(tmp_path / "answers.db", METADATA))
    try:
        assert await answered(kept, "r1", "buy") is None
        await kept.remember("r1", "buy", "first")
        await kept.remember("r1", "sell", "second")
        assert await answered(kept, "r1", "buy") == "first"
        with pytest.raises(FxError) as caught:
            await answered(kept, "r1", "sell")
        assert (caught.value.kind, caught.value.reason) == (Kind.ALREADY_EXISTS, "REQUEST_ID_REUSED")
        assert await answered(kept, "r2", "sell") is None
    finally:
        await kept.database.close()
