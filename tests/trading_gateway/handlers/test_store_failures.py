"""When the store fails nothing half-done is seen, and the books are what is stored once it works again."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from services.crash import watch
from services.errors import FxError, Kind
from services.runtime.store import Database
from services.tracing import NO_STORY
from services.trading_gateway.adapters.batches import Batch
from services.trading_gateway.adapters.schema import Schema
from services.trading_gateway.adapters.store import TradingStore
from services.trading_gateway.domain.changes import Answered, Changes, JournalEntry
from services.trading_gateway.domain.ids import fingerprint
from services.trading_gateway.domain.inputs import OpenAccount
from services.trading_gateway.domain.terms import Typed, terms
from services.trading_gateway.domain.values import OrderStatus, OrderType, Side, TimeInForce
from services.trading_gateway.ports import Depth, FillQuery, OrderQuery, Store, TicksCame, Told
from tests.trading_gateway.kit import SECOND
from tests.trading_gateway.world import World, until

FULL = FxError(Kind.RESOURCE_EXHAUSTED, "DISK_FULL", "no space left")


class FailingStore(TradingStore):
    """Fails the commits it is told to fail."""

    def __init__(self, database: Database, schema: Schema) -> None:
        super().__init__(database, schema)
        self.failures: list[FxError | None] = []
        self.late: list[Answered] = []
        """Answers of commits that were given up, and are made only now."""

    async def commit(self, changes: Changes, told: Told) -> None:
        late, self.late = self.late, []
        await self._database.write(lambda connection: self._schema.answers.add(connection, late))
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        await super().commit(changes, told)


class FailingWorld(World):
    """A world on such a store."""

    def store_of(self, database: Database, schema: Schema) -> Store:
        self.failing = FailingStore(database, schema)
        return self.failing


async def made(folder: Path) -> FailingWorld:
    world = FailingWorld(folder)
    await world.start()
    await world.announce()
    await world.tick(("1.10000", "1.10010"))
    world.run("recover")
    return world


async def read_again(world: FailingWorld) -> None:
    """Wait for the new books, and send the ticks that the feed would send again."""
    await until(lambda: world.desk.standing is not None)
    for ticks in world.sent:
        await world.reading.read(TicksCame(ticks, 0, ended=False))


async def test_an_order_that_could_not_be_stored_never_was(tmp_path: Path) -> None:
    world = await made(tmp_path)
    world.failing.failures = [FULL]
    with pytest.raises(FxError, match="DISK_FULL"):
        await world.place("a", Side.BUY)
    await read_again(world)

    with pytest.raises(FxError, match="UNKNOWN_ORDER"):
        await world.orders.find("demo", "a")
    assert (await world.place("a", Side.BUY)).status is OrderStatus.FILLED
    assert (await world.accounts.reconcile("demo")).reconciled
    await world.stop()


async def test_a_fill_that_could_not_be_stored_is_made_again(tmp_path: Path) -> None:
    world = await made(tmp_path)
    world.failing.failures = [None, FULL]
    with pytest.raises(FxError, match="DISK_FULL"):
        await world.place("a", Side.BUY)
    await read_again(world)

    assert (await world.place("a", Side.BUY)).status is OrderStatus.FILLED
    assert len(await world.orders.fills(FillQuery("demo"))) == 1
    await world.stop()


async def test_what_follows_a_failed_commit_fails_with_it(tmp_path: Path) -> None:
    world = await made(tmp_path)
    world.failing.failures = [None, None, FULL]
    results = await asyncio.gather(
        *(world.place(f"k{number}", Side.BUY, "1000") for number in range(8)), return_exceptions=True
    )
    assert any(isinstance(each, FxError) for each in results)
    await read_again(world)

    for number in range(8):
        assert (await world.place(f"k{number}", Side.BUY, "1000")).status is OrderStatus.FILLED
    orders = await world.orders.page(OrderQuery("demo"))
    assert [order.number for order in orders] == list(range(8, 0, -1))
    assert len(await world.orders.fills(FillQuery("demo"))) == 8
    assert (await world.accounts.reconcile("demo")).reconciled
    journal = await world.store.journal(0, 10_000)
    assert [entry.number for entry in journal] == list(range(1, len(journal) + 1))
    await world.stop()


async def test_commits_that_wait_together_are_written_together(tmp_path: Path) -> None:
    world = await made(tmp_path)
    with world.desk.step() as engine:
        time_ns = engine.time("")
        several = []
        for number in range(5):
            asked = OpenAccount(time_ns, f"a{number}", "USD", 100_00, auto_trade=False)
            engine.open_account(asked)
            several.append(engine.take_changes())
    written: list[int] = []

    def note(point: str, of: tuple[str, ...]) -> None:
        if point == "trading.journaled":
            written.append(len(of))

    free = threading.Event()
    busy = asyncio.create_task(world.database.write(lambda _: free.wait()))
    commits = [
        asyncio.create_task(world.store.commit(each, Told([NO_STORY] * len(each.events)))) for each in several
    ]
    await asyncio.sleep(0)  # all of them wait for the database
    watch(note)
    try:
        free.set()
        await asyncio.gather(busy, *commits)
    finally:
        watch(None)
    assert written == [sum(len(each.journal) for each in several)]
    assert len((await world.store.load()).accounts) == 6
    await world.stop()


async def test_a_commit_that_does_not_follow_is_refused_beside_one_that_does(tmp_path: Path) -> None:
    world = await made(tmp_path)
    with world.desk.step() as engine:
        engine.open_account(OpenAccount(engine.time(""), "a", "USD", 100_00, auto_trade=False))
    right = engine.take_changes()
    astray = Changes(right.follows + 7, [JournalEntry(right.follows + 8, "Nothing", 0, "{}")])
    stored, refused = await asyncio.gather(
        world.store.commit(right, Told([NO_STORY] * len(right.events))),
        world.store.commit(astray, Told()),
        return_exceptions=True,
    )
    assert stored is None
    assert isinstance(refused, FxError)
    assert refused.reason == "STORE_UNAVAILABLE"
    assert (await world.store.load()).journal_number == right.follows + len(right.journal)
    await world.stop()


async def test_a_row_that_the_books_do_not_know_has_them_built_anew(tmp_path: Path) -> None:
    world = await made(tmp_path)
    resting = await world.place("rest", Side.BUY, type_=OrderType.LIMIT, limit="1.09900")
    use = fingerprint("cancel", resting.order_id)
    world.failing.late = [Answered("request-1", use, resting.order_id)]
    with pytest.raises(FxError) as failure:
        await world.orders.cancel("request-1", resting.order_id)
    assert (failure.value.kind, failure.value.reason) == (Kind.UNAVAILABLE, "STORE_UNAVAILABLE")
    await read_again(world)

    assert (await world.orders.cancel("request-1", resting.order_id)).order_id == resting.order_id
    assert (await world.orders.cancel("request-2", resting.order_id)).status is OrderStatus.CANCELLED
    await world.stop()


async def test_progress_is_never_stored_past_a_change_that_was_not(tmp_path: Path) -> None:
    world = await made(tmp_path)
    await world.place("rest", Side.BUY, type_=OrderType.LIMIT, limit="1.09900")
    engine = world.desk.engine
    world.failing.failures = [FULL]
    with pytest.raises(FxError, match="DISK_FULL"):
        await world.tick(("1.09880", "1.09890"))  # fills the order
    engine.journal.note_progress()
    with pytest.raises(FxError, match="a commit before this one failed"):
        await world.store.commit(engine.take_changes(), Told())
    await read_again(world)

    order = await world.orders.find("demo", "rest")
    assert (order.status, order.notional) == (OrderStatus.FILLED, order.filled * 109_890)
    await world.stop()


async def test_progress_without_inputs_is_kept_but_not_journalled(tmp_path: Path) -> None:
    world = await made(tmp_path)
    before = await world.store.journal(0, 1_000)
    with world.desk.step() as engine:
        engine.journal.note_progress()
    await world.desk.settle()
    assert await world.store.journal(0, 1_000) == before
    await world.restart()
    assert world.desk.engine.positions() == [("syn-1", "EURUSD", 1)]
    await world.stop()


async def test_a_request_that_no_column_could_hold_is_refused_and_the_books_stay(tmp_path: Path) -> None:
    world = await made(tmp_path)
    generation, year_9999 = world.desk.generation, 253_402_300_799 * SECOND
    wanted = terms(
        "EURUSD", Side.BUY, OrderType.LIMIT, "1000", Typed("1.05"), TimeInForce.GTD, expires_ns=year_9999
    )
    with pytest.raises(FxError) as refused:
        await world.orders.place("demo", "far", wanted)
    assert refused.value.kind is Kind.INVALID_ARGUMENT
    assert [each.field for each in refused.value.violations] == ["terms.expires_ns"]

    assert (await world.place("next", Side.BUY)).status is OrderStatus.FILLED
    assert world.desk.generation == generation
    await world.stop()


class AwayDatabase:
    """Fails before it looks at what is to be written."""

    async def write(self, _: object) -> None:
        raise FULL


async def test_a_batch_that_was_never_begun_takes_nothing_more() -> None:
    batch = Batch(Changes(0), Told())
    batch.begin(cast("Database", AwayDatabase()), lambda *_: None)
    assert batch.add(Changes(0), Told())
    with pytest.raises(FxError, match="DISK_FULL"):
        await batch.written()
    assert not batch.add(Changes(0), Told())


async def test_an_order_that_was_over_before_the_books_were_rebuilt_is_not_placed_again(
    tmp_path: Path,
) -> None:
    world = await made(tmp_path)
    await world.tick(("1.10000", "1.10010"), sizes=(1_000, 1_000))
    asked, go_on = asyncio.Event(), asyncio.Event()
    depth = world.market.depth

    async def waiting(symbol: str) -> Depth | None:
        world.market.depth = depth  # type: ignore[method-assign]
        asked.set()
        await go_on.wait()
        return await depth(symbol)

    world.market.depth = waiting  # type: ignore[method-assign]
    slow = asyncio.create_task(world.place("k", Side.BUY))
    await asked.wait()
    first = await world.place("k", Side.BUY)
    assert first.status in (OrderStatus.FILLED, OrderStatus.CANCELLED)  # it took what there was
    world.desk.doubt()
    await read_again(world)
    assert world.desk.engine.book.find("demo", "k") is None, "the test shows nothing"
    go_on.set()
    assert await slow == first
    await world.stop()


async def test_no_order_takes_the_row_of_another(tmp_path: Path) -> None:
    world = await made(tmp_path)
    first = await world.place("k", Side.BUY)
    other = replace(first, number=first.number + 7, status=OrderStatus.ACCEPTED, filled=0)
    behind = (await world.store.load()).journal_number
    with pytest.raises(FxError, match="STORE_UNAVAILABLE"):
        await world.store.commit(Changes(behind, orders={other.order_id: other}), Told())
    assert await world.store.order(first.order_id) == first
    await world.stop()
