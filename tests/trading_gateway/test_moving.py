"""Books move from a file into PostgreSQL: whole, proven, and never over others or under a running gateway."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from fxmesh.trading.v1.service_pb2 import ListAccountsRequest

from services.errors import FxError
from services.runtime import copying, moved
from services.runtime.fatal import FatalError
from services.runtime.leases import METADATA
from services.runtime.postgres import PostgresStore, database_address
from services.runtime.store import SqliteStore, unavailable
from services.trading_gateway.adapters.moving import Moved, move
from services.trading_gateway.adapters.schema import Schema
from services.trading_gateway.adapters.store import TradingStore
from services.trading_gateway.domain.book import Saved
from services.trading_gateway.domain.replaying import replay
from services.trading_gateway.domain.values import OrderStatus, Side
from tests.kit.databases import Databases
from tests.kit.events import quiet_log
from tests.kit.postgres import PostgresServer
from tests.trading_gateway.handlers.test_crashes import FragileWorld, run
from tests.trading_gateway.platform import platform
from tests.trading_gateway.world import World

pytestmark = [pytest.mark.postgres, pytest.mark.integration]


class Move:
    """Books of a whole run in a file, and an empty database."""

    def __init__(self, folder: Path, server: PostgresServer) -> None:
        self.folder, self.file = folder, folder / "trading.db"
        self.server, self.on_server = server, Databases(server)
        self.told: list[tuple[str, int, int]] = []

    def target(self, schema: Schema) -> PostgresStore:
        address = database_address(self.on_server.address(self.folder))
        return PostgresStore(address, schema.metadata, quiet_log())

    async def go(self) -> list[Moved]:
        schema = Schema()
        source, target = SqliteStore.open(self.file, schema.metadata), self.target(schema)
        try:
            return await move(source, target, schema, lambda *told: self.told.append(told))
        finally:
            await source.close()
            await target.close()

    def rows(self, engine: sa.Engine) -> dict[str, copying.Content]:
        with engine.connect() as connection:
            found = {each.name: copying.content(connection, each) for each in Schema().metadata.sorted_tables}
        engine.dispose()
        return found

    @property
    def in_file(self) -> dict[str, copying.Content]:
        return self.rows(sa.create_engine(f"sqlite:///{self.file}"))

    @property
    def on_the_server(self) -> dict[str, copying.Content]:
        return self.rows(self.on_server.engine(self.file))


@pytest.fixture
async def books(tmp_path: Path, postgres: PostgresServer) -> tuple[Move, FragileWorld]:
    world = FragileWorld(tmp_path)
    await run(world)
    return Move(tmp_path, postgres), world


Books = tuple[Move, FragileWorld]


def unordered(saved: Saved) -> Saved:
    """The times of placing are read in whatever order a database has them."""
    return replace(saved, placed=tuple(sorted(saved.placed)))


async def test_every_row_is_there_and_both_give_the_same_books(books: Books) -> None:
    moving_, world = books
    moved = await moving_.go()
    assert {each.table: each.content for each in moved} == moving_.in_file == moving_.on_the_server
    filled = {each.table for each in moved if each.content.rows}
    assert {"orders", "fills", "transactions", "tickets", "signals", "journal", "answers"} <= filled
    last = {table: (done, rows) for table, done, rows in moving_.told}
    assert last == {each.table: (each.content.rows,) * 2 for each in moved if each.content.rows}

    schema = Schema()
    source, target = SqliteStore.open(moving_.file, schema.metadata), moving_.target(schema)
    file, server = TradingStore(source, schema), TradingStore(target, schema)
    saved, journal = await server.load(), await server.journal(0, 100_000)
    assert unordered(saved) == unordered(await file.load())
    fills = await server.all_fills("replay-r1")
    await source.close()
    await target.close()

    conduct = world.settings.conduct()
    again = replay(conduct.rules, conduct.policy, journal, world.ticks_of)
    assert tuple(again.book.accounts[each.account_id] for each in saved.accounts) == saved.accounts
    assert [each for each in again.take_changes().fills if each.account_id == "replay-r1"] == fills


async def test_a_gateway_goes_on_where_the_file_ended(
    tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = World(tmp_path)
    await before.start()
    await before.announce()
    await before.tick(("1.10000", "1.10010"))
    await before.place("a", Side.BUY)
    await before.stop()
    made = Move(tmp_path, postgres)
    await made.go()
    monkeypatch.setattr("tests.trading_gateway.world.chosen", lambda: made.on_server)
    after = World(tmp_path)
    after.sequences = before.sequences
    await after.start()
    await after.tick(("1.10000", "1.10010"))
    placed = await after.place("b", Side.SELL)
    assert (placed.status, placed.number) == (OrderStatus.FILLED, 2)
    assert after.desk.engine.book.position("demo", "EURUSD").flat
    with pytest.raises(FxError, match="DUPLICATE_CLIENT_ORDER_ID"):
        await after.place("a", Side.SELL)
    await after.stop()


async def test_a_gateway_refuses_what_was_copied_away_until_that_is_taken_back(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    async with platform(tmp_path):
        """It makes the books."""
    made = Move(tmp_path, postgres)
    await made.go()
    there = made.target(Schema()).place
    with pytest.raises(FatalError) as refused:
        async with platform(tmp_path):
            """It never serves."""
    assert f"were copied to {there}" in str(refused.value)
    assert "set FXMESH_TRADING_GATEWAY_DATABASE_URL to it" in str(refused.value)
    assert "run `fxmesh database copy --undo`" in str(refused.value)

    source = SqliteStore.open(made.file, Schema().metadata)
    assert await source.write(moved.forget) == there
    await source.close()
    async with platform(tmp_path) as world:
        answer = await world.stub.ListAccounts(ListAccountsRequest())
        assert [each.account_id for each in answer.accounts] == ["demo"]


async def test_the_mark_is_durable_before_the_copy_and_a_copy_that_fails_then_is_made_again(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving_, _ = books

    def lost(_: PostgresStore) -> None:
        raise unavailable("the server went away")

    with monkeypatch.context() as dying:
        dying.setattr(PostgresStore, "_end", lost)
        with pytest.raises(FxError, match="STORE_UNAVAILABLE"):
            await moving_.go()
    assert {each.rows for each in moving_.on_the_server.values()} == {0}
    source = SqliteStore.open(moving_.file, Schema().metadata)
    with pytest.raises(FatalError, match="were copied to"):
        await moved.require_here(source, "SETTING", "undo")
    await source.close()
    assert await moving_.go()
    assert moving_.in_file == moving_.on_the_server


async def test_what_was_copied_to_one_place_is_not_copied_to_another(books: Books) -> None:
    moving_, _ = books
    await moving_.go()
    elsewhere = Move(moving_.folder, moving_.server)
    with pytest.raises(FxError, match=r"BOOKS_MOVED.*copy those there"):
        await elsewhere.go()
    assert {each.rows for each in elsewhere.on_the_server.values()} == {0}


async def test_books_are_never_written_over(books: Books) -> None:
    moving_, _ = books
    await moving_.go()
    there = moving_.on_the_server
    with pytest.raises(FxError, match=r"BOOKS_NOT_EMPTY.*orders"):
        await moving_.go()
    assert moving_.on_the_server == there


async def test_a_gateway_at_work_on_the_target_is_left_alone(books: Books) -> None:
    moving_, _ = books
    held = "INSERT INTO leases VALUES ('*', 3, 'h', 'i', 'a', clock_timestamp() + interval '1 hour')"
    engine = moving_.on_server.engine(moving_.file)
    with engine.begin() as connection:
        METADATA.create_all(connection)
        connection.execute(sa.text(held))
    with pytest.raises(FxError, match="BOOKS_IN_USE"):
        await moving_.go()
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE leases SET expires = '-infinity'"))
    engine.dispose()
    assert await moving_.go()


def _broken(file: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM journal WHERE number = 7"))
    engine.dispose()


def _forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = copying.copy

    def copy(source: sa.Connection, target: sa.Connection, table: sa.Table, *more: object) -> None:
        whole(source, target, table, *more)  # type: ignore[arg-type]
        if table.name == "fills":
            target.execute(sa.text("UPDATE fills SET price = price + 1 WHERE number = 3"))

    monkeypatch.setattr("services.runtime.copying.copy", copy)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda file, _: _broken(file), "JOURNAL_BROKEN.*8 where 7 follows"),
        (lambda _, monkeypatch: _forgetful(monkeypatch), "BOOKS_DIFFER.*fills"),
    ],
    ids=["a journal with a hole", "a row that arrives changed"],
)
async def test_what_cannot_be_proven_leaves_nothing_behind(
    books: Books,
    monkeypatch: pytest.MonkeyPatch,
    harm: Callable[[Path, pytest.MonkeyPatch], None],
    reason: str,
) -> None:
    moving_, _ = books
    harm(moving_.file, monkeypatch)
    with pytest.raises(FxError, match=reason):
        await moving_.go()
    assert {each.rows for each in moving_.on_the_server.values()} == {0}
