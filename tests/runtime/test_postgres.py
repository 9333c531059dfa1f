"""The store on PostgreSQL when the server, a session or somebody else on it misbehaves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import psycopg
import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from services.errors import FxError, Kind
from services.runtime.fatal import WrongSettings
from services.runtime.postgres import PostgresStore, database_address
from services.runtime.settings import load
from services.runtime.store import Database
from services.trading_gateway.config import Settings
from tests.kit.events import quiet_log
from tests.kit.nats import until_async
from tests.kit.postgres import PostgresServer, own_postgres, postgres
from tests.kit.proxy import Direction, Proxy, proxy

__all__ = ["own_postgres", "postgres"]

pytestmark = [pytest.mark.integration, pytest.mark.postgres]

METADATA = sa.MetaData()
ORDERS = sa.Table(
    "orders",
    METADATA,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("size", sa.BigInteger, nullable=False, server_default="0"),
)
UNAVAILABLE = (Kind.UNAVAILABLE, "STORE_UNAVAILABLE")
Run = Callable[[sa.Connection], object]


def opened(address: str, schema: sa.MetaData = METADATA) -> PostgresStore:
    return PostgresStore(database_address(address), schema, quiet_log())


@pytest_asyncio.fixture
async def store(postgres: PostgresServer) -> AsyncIterator[PostgresStore]:
    made = opened(postgres.database())
    yield made
    await made.close()


def insert(number: int) -> Run:
    return lambda connection: connection.execute(ORDERS.insert().values(id=number)).rowcount


def said(statement: str) -> Run:
    def run(connection: sa.Connection) -> object:
        result = connection.exec_driver_sql(statement)
        return result.scalar() if result.returns_rows else None

    return run


def ids(connection: sa.Connection) -> list[int]:
    return list(connection.execute(sa.select(ORDERS.c.id).order_by(ORDERS.c.id)).scalars())


async def works(store: Database) -> bool:
    try:
        await store.check()
    except FxError as failure:
        if (failure.kind, failure.reason) != UNAVAILABLE:
            raise
        return False
    return True


async def test_a_server_that_is_away_is_unavailable_until_it_is_back(own_postgres: PostgresServer) -> None:
    store = opened(own_postgres.database())
    await store.write(insert(1))
    own_postgres.kill()
    for _ in range(2):
        with pytest.raises(FxError) as away:
            await store.write(insert(2))
        assert (away.value.kind, away.value.reason) == UNAVAILABLE
        assert away.value.retry_after_s
        assert str(own_postgres.folder) not in away.value.detail
        with pytest.raises(FxError):
            await store.read(ids)
        assert not await works(store)

    own_postgres.start()
    await until_async(lambda: works(store), expected=True)
    await store.write(insert(3))
    assert await store.read(ids) == [1, 3]
    await store.close()


async def test_a_server_that_comes_up_later_is_waited_for(own_postgres: PostgresServer) -> None:
    address = own_postgres.database()
    own_postgres.terminate()
    store = opened(address)
    assert not await works(store)
    own_postgres.start()
    await until_async(lambda: works(store), expected=True)
    await store.write(insert(1))
    await store.close()


async def test_sessions_that_were_ended_meanwhile_are_opened_anew(
    store: PostgresStore, postgres: PostgresServer
) -> None:
    await store.write(insert(1))
    assert await store.read(ids) == [1]
    _end_sessions(postgres, store)
    await store.write(insert(2))
    _end_sessions(postgres, store)
    assert await store.read(ids) == [1, 2]


def _end_sessions(server: PostgresServer, store: PostgresStore) -> None:
    server.ask(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
        f"WHERE datname = '{store.name}' AND pid <> pg_backend_pid()"
    )


async def test_a_session_that_ends_in_the_middle_fails_what_it_did_and_no_more(
    store: PostgresStore, postgres: PostgresServer
) -> None:
    def cut(connection: sa.Connection) -> None:
        insert(1)(connection)
        _end_sessions(postgres, store)
        insert(2)(connection)

    with pytest.raises(FxError) as failure:
        await store.write(cut)
    assert (failure.value.kind, failure.value.reason) == UNAVAILABLE
    await store.write(insert(3))
    assert await store.read(ids) == [3]


@dataclass
class Cut:
    """A store whose connections can be cut in the middle of a commit."""

    store: PostgresStore
    way: Proxy
    server: PostgresServer

    async def write_and_lose(self, number: int, direction: Direction) -> None:
        """Insert a row; once that is done, what goes in a direction is lost with the connection."""

        def run(connection: sa.Connection) -> None:
            insert(number)(connection)
            direction.stall()

        written = asyncio.create_task(self.store.write(run))
        if direction is self.way.to_client:
            await until_async(lambda: self._holds(number), expected=True)
        else:
            await until_async(self._waits, expected=True)
        self.way.reset()
        direction.resume()
        await written

    async def _holds(self, number: int) -> bool:
        return bool(self.server.ask(f"SELECT 1 FROM orders WHERE id = {number}", self.store.name))

    async def _waits(self) -> bool:
        """True while a transaction stands still before its commit."""
        asked = "SELECT 1 FROM pg_stat_activity WHERE state = 'idle in transaction' AND datname = "
        return bool(self.server.ask(f"{asked}'{self.store.name}'"))


@pytest_asyncio.fixture
async def cut(postgres: PostgresServer) -> AsyncIterator[Cut]:
    name = make_url(postgres.database()).database
    async with proxy(postgres.port) as way:
        store = opened(f"postgresql://fxmesh@{way.address}/{name}")
        await store.write(insert(1))
        yield Cut(store, way, postgres)
        await store.close()


async def test_a_commit_whose_answer_is_lost_is_found(cut: Cut) -> None:
    await cut.write_and_lose(2, cut.way.to_client)
    await cut.store.write(insert(3))
    assert await cut.store.read(ids) == [1, 2, 3]


async def test_a_commit_that_never_arrived_failed(cut: Cut) -> None:
    with pytest.raises(FxError) as failure:
        await cut.write_and_lose(2, cut.way.to_server)
    assert (failure.value.kind, failure.value.reason) == UNAVAILABLE
    await cut.store.write(insert(3))
    assert await cut.store.read(ids) == [1, 3]


async def test_a_deadlock_with_somebody_else_is_tried_again(
    store: PostgresStore, postgres: PostgresServer
) -> None:
    await store.write(insert(1))
    await store.write(insert(2))
    runs: list[int] = []
    first_locked, second_locked = threading.Event(), threading.Event()

    def cross(connection: sa.Connection) -> None:
        runs.append(1)
        said("UPDATE orders SET size = size + 1 WHERE id = 1")(connection)
        first_locked.set()
        second_locked.wait(20)
        said("UPDATE orders SET size = size + 1 WHERE id = 2")(connection)

    writing = asyncio.create_task(store.write(cross))
    with psycopg.connect(postgres.url(store.name)) as other:
        other.execute("SET deadlock_timeout = '60s'")  # the other one is the victim
        await asyncio.to_thread(first_locked.wait, 20)
        other.execute("UPDATE orders SET size = size + 10 WHERE id = 2")
        second_locked.set()
        await asyncio.to_thread(other.execute, b"UPDATE orders SET size = size + 10 WHERE id = 1")
        other.commit()
    await writing

    assert len(runs) == 2
    assert await store.read(said("SELECT sum(size) FROM orders")) == 22


@pytest.mark.parametrize(
    ("statement", "kind", "reason"),
    [
        ("SET LOCAL statement_timeout = '20ms'; SELECT pg_sleep(60)", *UNAVAILABLE),
        ("SET LOCAL transaction_read_only = on; INSERT INTO orders VALUES (9)", *UNAVAILABLE),
        (
            "DO $$ BEGIN RAISE 'could not extend file /var/x' USING ERRCODE = '53100'; END $$",
            Kind.RESOURCE_EXHAUSTED,
            "DISK_FULL",
        ),
    ],
    ids=["a statement that takes too long", "a standby", "a full disk"],
)
async def test_what_the_server_cannot_do_is_said_by_its_reason(
    store: PostgresStore, statement: str, kind: Kind, reason: str
) -> None:
    results = await asyncio.gather(
        store.write(insert(1)), store.write(said(statement)), store.write(insert(2)), return_exceptions=True
    )
    failure = results[1]
    assert isinstance(failure, FxError)
    assert (failure.kind, failure.reason) == (kind, reason)
    assert "/var/x" not in failure.detail
    assert await store.read(ids) == [1, 2]


async def test_a_database_that_takes_no_writes_does_not_work(
    store: PostgresStore, postgres: PostgresServer
) -> None:
    assert await works(store)
    postgres.ask(f"ALTER DATABASE {store.name} SET default_transaction_read_only = on")
    _end_sessions(postgres, store)
    assert not await works(store)


async def test_processes_that_start_at_once_make_the_tables_once(postgres: PostgresServer) -> None:
    address = postgres.database()
    for release in (METADATA, _newer()):
        stores = [opened(address, release) for _ in range(8)]
        await asyncio.gather(*(each.check() for each in stores))
        await asyncio.gather(*(each.close() for each in stores))
    assert postgres.ask("SELECT id, size, note FROM orders", address.split("/")[3].split("?")[0]) == []


def _newer() -> sa.MetaData:
    newer = sa.MetaData()
    table = ORDERS.to_metadata(newer)
    table.append_column(sa.Column("note", sa.Text, nullable=False, server_default=""))
    sa.Index("orders_by_note", table.c.note)
    return newer


@pytest.mark.parametrize("wrong", ["mysql://u:hush@h/d", "postgresql://u:hush@h", "hush", "://hush"])
def test_an_address_that_is_none_is_refused_without_repeating_it(
    wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FXMESH_TRADING_GATEWAY_DATABASE_URL", wrong)
    with pytest.raises(WrongSettings) as refused:
        load(Settings)
    assert "FXMESH_TRADING_GATEWAY_DATABASE_URL should be postgresql://" in str(refused.value)
    assert "hush" not in str(refused.value)
