from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from pathlib import Path

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from services.errors import FxError, Kind
from services.runtime.fatal import FatalError
from services.runtime.store import Database, SqliteStore
from tests.kit.databases import Databases, databases, postgres

__all__ = ["databases", "postgres"]

METADATA = sa.MetaData()
ORDERS = sa.Table(
    "orders", METADATA, sa.Column("id", sa.Integer, primary_key=True), sa.Column("body", sa.LargeBinary)
)


def insert(number: int, body: bytes = b"") -> Callable[[sa.Connection], int]:
    def run(connection: sa.Connection) -> int:
        connection.execute(ORDERS.insert().values(id=number, body=body))
        return number

    return run


def ids(connection: sa.Connection) -> list[int]:
    return list(connection.execute(sa.select(ORDERS.c.id).order_by(ORDERS.c.id)).scalars())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "store.db"


@pytest_asyncio.fixture
async def store(path: Path, databases: Databases) -> AsyncIterator[Database]:
    opened = databases.open(path, METADATA)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def file(path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore.open(path, METADATA)
    yield opened
    await opened.close()


async def test_a_write_returns_its_result_once_committed(
    store: Database, databases: Databases, path: Path
) -> None:
    assert await store.write(insert(1)) == 1

    engine = databases.engine(path)
    with engine.connect() as another:
        assert ids(another) == [1]
    engine.dispose()
    assert await store.read(ids) == [1]


async def test_a_commit_reaches_the_disk_before_the_caller_hears_of_it(file: SqliteStore) -> None:
    settings = await file.write(
        lambda connection: [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")
        ]
    )
    assert settings == ["wal", 2]  # 2 is FULL


async def test_callers_that_wait_together_share_a_commit(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    begin = store._begin

    def counted() -> None:
        begun.append("a transaction")
        begin()

    monkeypatch.setattr(store, "_begin", counted)
    started, gate = threading.Event(), threading.Event()

    def hold(connection: sa.Connection) -> None:
        started.set()
        gate.wait(10)

    holding = asyncio.create_task(store.write(hold))
    await asyncio.to_thread(started.wait, 10)
    writing = [asyncio.create_task(store.write(insert(number))) for number in range(100)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(holding, *writing)

    assert await store.read(ids) == list(range(100))
    assert len(begun) == 2  # of the one that held, and of all that waited meanwhile


async def test_one_failure_of_a_group_undoes_only_its_own_work(store: Database) -> None:
    def twice(connection: sa.Connection) -> None:
        insert(2)(connection)
        raise FxError(Kind.FAILED_PRECONDITION, "ORDER_FINAL", "no")

    results = await asyncio.gather(
        store.write(insert(1)),
        store.write(twice),
        store.write(insert(1)),
        store.write(insert(3)),
        return_exceptions=True,
    )

    assert [type(each) for each in results] == [int, FxError, IntegrityError, int]
    assert await store.read(ids) == [1, 3]


async def test_a_cancelled_caller_does_not_undo_what_is_under_way(store: Database) -> None:
    started, gate = threading.Event(), threading.Event()

    def slow(connection: sa.Connection) -> int:
        started.set()
        gate.wait(10)
        return insert(1)(connection)

    writing = asyncio.create_task(store.write(slow))
    await asyncio.to_thread(started.wait, 10)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    gate.set()
    await store.write(insert(2))

    assert await store.read(ids) == [1, 2]


async def test_a_write_sees_the_context_of_its_caller(store: Database) -> None:
    request: ContextVar[str] = ContextVar("request", default="none")

    async def caller(name: str) -> str:
        request.set(name)
        return await store.write(lambda _: request.get())

    assert await asyncio.gather(*(caller(name) for name in "abc")) == ["a", "b", "c"]


async def test_a_reader_cannot_write(store: Database) -> None:
    with pytest.raises(FxError) as refused:
        await store.read(insert(1))
    assert refused.value.reason == "STORE_UNAVAILABLE"
    assert await store.read(ids) == []


async def test_all_statements_of_one_read_see_the_same_moment(store: Database) -> None:
    first, second = threading.Event(), threading.Event()

    def read_twice(connection: sa.Connection) -> tuple[list[int], list[int]]:
        before = ids(connection)
        first.set()
        second.wait(10)
        return before, ids(connection)

    reading = asyncio.create_task(store.read(read_twice))
    await asyncio.to_thread(first.wait, 10)
    await store.write(insert(1))
    second.set()

    assert await reading == ([], [])
    assert await store.read(ids) == [1]


def pragma(text: str) -> Callable[[sa.Connection], int | None]:
    def run(connection: sa.Connection) -> int | None:
        result = connection.exec_driver_sql(f"PRAGMA {text}")
        return result.scalar() if result.returns_rows else None

    return run


async def test_a_full_disk_fails_the_write_and_nothing_else(file: SqliteStore) -> None:
    await file.write(insert(1))
    # The file may not grow any more: SQLite answers as it does on a full disk.
    await file.write(pragma(f"max_page_count = {await file.write(pragma('page_count'))}"))

    with pytest.raises(FxError) as refused:
        await file.write(insert(2, bytes(1_000_000)))
    assert (refused.value.kind, refused.value.reason) == (Kind.RESOURCE_EXHAUSTED, "DISK_FULL")
    assert str(file.path) not in refused.value.detail

    assert await file.read(ids) == [1]
    await file.write(pragma("max_page_count = 100000"))
    await file.write(insert(3))
    assert await file.read(ids) == [1, 3]


async def test_a_database_that_cannot_be_written_any_more_is_unavailable(file: SqliteStore) -> None:
    await file.check()
    await file.write(pragma("query_only = ON"))

    with pytest.raises(FxError) as refused:
        await file.write(insert(1))
    assert (refused.value.kind, refused.value.reason) == (Kind.UNAVAILABLE, "STORE_UNAVAILABLE")
    with pytest.raises(FxError):
        await file.check()


async def test_what_was_asked_for_before_the_close_is_written(path: Path, databases: Databases) -> None:
    store = databases.open(path, METADATA)
    writing = [asyncio.create_task(store.write(insert(number))) for number in range(20)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*writing)
    with pytest.raises(FxError, match="is closed"):
        await store.write(insert(99))

    again = databases.open(path, METADATA)
    assert await again.read(ids) == list(range(20))
    await again.close()


def test_a_file_that_cannot_be_opened_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(FatalError, match="cannot open the database"):
        SqliteStore.open(tmp_path / "file" / "store.db", METADATA)

    (tmp_path / "junk.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(FatalError, match="file is not a database"):
        SqliteStore.open(tmp_path / "junk.db", METADATA)


async def test_a_table_of_an_earlier_release_gains_the_columns_that_it_lacks(
    path: Path, databases: Databases
) -> None:
    store = databases.open(path, METADATA)
    await store.write(insert(1, b"old"))
    await store.close()
    newer = sa.MetaData()
    table = sa.Table(
        "orders",
        newer,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("body", sa.LargeBinary),
        sa.Column("post_only", sa.Boolean, nullable=False, server_default="0"),
        sa.Column("link", sa.Text, nullable=False, server_default=""),
        sa.Column("trail", sa.Integer),
    )
    sa.Index("orders_by_link", table.c.link)
    for _ in range(2):
        store = databases.open(path, newer)
        found = await store.read(lambda connection: connection.execute(sa.select(table)).all())
        assert [tuple(row) for row in found] == [(1, b"old", False, "", None)]
        await store.close()
    engine = databases.engine(path)
    assert [each["name"] for each in sa.inspect(engine).get_indexes("orders")] == ["orders_by_link"]
    engine.dispose()
