"""The same request again, another under its id, and who comes first, on a real database."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.errors import FxError, Kind
from services.requests import Requests
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


@pytest.fixture
async def requests(tmp_path: Path) -> AsyncIterator[Requests]:
    kept = Kept(SqliteStore.open(tmp_path / "answers.db", METADATA))
    yield Requests(kept)
    await kept.database.close()


class Act:
    """Counts how often it was done."""

    done = 0

    async def __call__(self) -> str:
        self.done += 1
        await asyncio.sleep(0)
        return f"result {self.done}"


async def test_the_first_answer_stays_and_its_id_is_for_that_request_only(requests: Requests) -> None:
    act = Act()
    assert await requests.once("r1", "buy", act) == "result 1"
    assert await requests.once("r1", "buy", act) == "result 1"
    with pytest.raises(FxError) as caught:
        await requests.once("r1", "sell", act)
    assert (caught.value.kind, caught.value.reason) == (Kind.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert await requests.once("r2", "sell", act) == "result 2"


async def test_a_repetition_waits_for_the_answer_to_the_one_in_hand(requests: Requests) -> None:
    act = Act()
    answers = await asyncio.gather(*(requests.once("r1", "buy", act) for _ in range(10)))
    assert set(answers) == {"result 1"}


async def test_what_failed_may_be_asked_again(requests: Requests) -> None:
    async def fail() -> str:
        raise FxError(Kind.FAILED_PRECONDITION, "NO_DATA", "nothing there yet")

    with pytest.raises(FxError, match="nothing there yet"):
        await requests.once("r1", "buy", fail)
    assert await requests.once("r1", "buy", Act()) == "result 1"
