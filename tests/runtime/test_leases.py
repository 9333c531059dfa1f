"""One holder at a time of a lease in a database, and no commit by any other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from services.errors import FxError
from services.runtime.clock import WallClock
from services.runtime.leases import LEASE_S, METADATA, DatabaseLeadership
from services.runtime.ports import Candidate
from services.runtime.postgres import PostgresStore, database_address
from tests.kit.events import quiet_log
from tests.kit.nats import until
from tests.kit.postgres import PostgresServer, own_postgres, postgres

__all__ = ["own_postgres", "postgres"]

pytestmark = [pytest.mark.integration, pytest.mark.postgres]

SCHEMA = sa.MetaData()
BOOKS = sa.Table("books", SCHEMA, sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False))
PATIENCE_S = 60.0


class StillClock(WallClock):
    """Of a process that does not run: when `still`, no time passes, and whoever sleeps does not wake."""

    still = False

    def monotonic(self) -> float:
        if not self.still:
            self.last = super().monotonic()
        return self.last

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        while self.still:
            await super().sleep(0.01)


class Standing:
    """One process that stands for the lease, with books of its own writing."""

    def __init__(self, address: str, name: str, holder: str = "", lease_s: float = LEASE_S) -> None:
        self.clock = StillClock()
        self.books = PostgresStore(database_address(address), SCHEMA, quiet_log())
        self.metrics = CollectorRegistry()
        candidate = Candidate("trading_gateway", holder or f"folder-{name}", f"i-{name}", f"{name}:1")
        beside = self.books.beside(METADATA)
        self.lease = DatabaseLeadership(beside, self.clock, quiet_log(), candidate, self.metrics, lease_s)
        self.books.guard = self.lease.guard

    async def enter(self, number: int) -> None:
        await self.books.write(
            lambda connection: connection.execute(BOOKS.insert().values(id=number)).rowcount
        )

    async def entries(self) -> list[int]:
        return await self.books.read(
            lambda connection: list(connection.scalars(sa.select(BOOKS.c.id).order_by(BOOKS.c.id)))
        )

    async def close(self) -> None:
        self.clock.still = False
        await self.lease.close()
        await self.books.close()


Stand = Callable[..., Awaitable[Standing]]


@pytest_asyncio.fixture
async def stand(postgres: PostgresServer) -> AsyncIterator[Stand]:
    """Another process on the same database, campaigning."""
    address = postgres.database()
    async with AsyncExitStack() as stack:

        async def another(name: str, holder: str = "", lease_s: float = LEASE_S) -> Standing:
            found = Standing(address, name, holder, lease_s)
            stack.push_async_callback(found.close)
            await found.lease.campaign()
            return found

        yield another


async def test_the_first_holds_it_and_the_others_know_whom_to_ask(stand: Stand) -> None:
    first, second = await stand("first"), await stand("second")
    assert (first.lease.held, first.lease.leader) == (True, "")
    assert (second.lease.held, second.lease.term, second.lease.leader) == (False, 0, "first:1")
    await first.enter(1)
    with pytest.raises(FxError, match="LEASE_LOST"):
        await second.enter(2)
    assert await second.entries() == [1]
    held = {
        each.metrics.get_sample_value("fxmesh_leadership_held", {"role": "trading_gateway"})
        for each in (first, second)
    }
    assert held == {0.0, 1.0}


async def test_of_many_that_start_at_once_one_holds_it(stand: Stand) -> None:
    many = await asyncio.gather(*(stand(f"n{number}") for number in range(6)))
    assert sum(each.lease.held for each in many) == 1


async def test_one_that_renews_is_never_replaced(stand: Stand) -> None:
    first, second = await stand("first"), await stand("second")
    taken = asyncio.create_task(second.lease.until(lambda: second.lease.term > 0))
    done, _ = await asyncio.wait((taken,), timeout=LEASE_S + 2)
    taken.cancel()
    assert not done
    assert first.lease.term == 1


@pytest.mark.parametrize("lease_s", [3.0, 300.0])
async def test_it_ends_as_long_after_a_renewal_as_was_asked_for(stand: Stand, lease_s: float) -> None:
    first = await stand("first", lease_s=lease_s)

    def left(connection: sa.Connection) -> float:
        asked = sa.text("SELECT extract(epoch FROM expires - clock_timestamp())::float FROM leases")
        return float(connection.scalars(asked).one())

    assert lease_s - 2.5 < await first.books.read(left) <= lease_s


async def test_one_that_stood_still_is_refused_by_the_database_though_it_believes_in_its_lease(
    stand: Stand,
) -> None:
    first, second = await stand("first"), await stand("second")
    await first.enter(1)
    first.clock.still = True
    await until(lambda: second.lease.held, seconds=PATIENCE_S)
    assert second.lease.term == 2
    await second.enter(2)

    assert first.lease.held  # so it believes
    with pytest.raises(FxError, match="LEASE_LOST"):
        await first.enter(3)
    assert await second.entries() == [1, 2]

    first.clock.still = False
    await until(lambda: first.lease.leader == "second:1", seconds=PATIENCE_S)
    assert (first.lease.held, first.lease.term) == (False, 0)


async def test_a_commit_under_way_is_ended_before_anybody_takes_over(stand: Stand) -> None:
    first, second = await stand("first"), await stand("second")
    goes_on = threading.Event()

    def stand_still(connection: sa.Connection) -> None:
        connection.execute(BOOKS.insert().values(id=1))
        goes_on.wait(PATIENCE_S)
        connection.execute(BOOKS.insert().values(id=2))

    writing = asyncio.create_task(first.books.write(stand_still))
    first.clock.still = True
    await until(lambda: second.lease.held, seconds=PATIENCE_S)
    seen = await second.entries()
    await second.enter(3)
    goes_on.set()
    with pytest.raises(FxError):
        await writing
    assert seen == []
    assert await second.entries() == [3]


async def test_the_next_process_on_the_same_folder_needs_not_wait(stand: Stand) -> None:
    first = await stand("first", holder="folder")
    first.clock.still = True
    again = await stand("again", holder="folder")
    assert (again.lease.held, again.lease.term) == (True, 2)
    with pytest.raises(FxError, match="LEASE_LOST"):
        await first.enter(1)


async def test_one_that_goes_gives_it_back(stand: Stand) -> None:
    first, second = await stand("first"), await stand("second")
    await first.lease.close()
    assert not first.lease.held
    given = await second.books.read(
        lambda connection: connection.exec_driver_sql(
            "SELECT expires = '-infinity' OR term = 2 FROM leases"
        ).scalar_one()
    )
    assert given
    await until(lambda: second.lease.held, seconds=PATIENCE_S)


async def test_a_lease_that_cannot_be_renewed_ends_and_is_taken_anew_when_the_database_is_back(
    own_postgres: PostgresServer,
) -> None:
    only = Standing(own_postgres.database(), "only")
    await only.lease.campaign()
    await only.enter(1)
    own_postgres.kill()
    await until(lambda: not only.lease.term, seconds=PATIENCE_S)
    assert not only.lease.held
    own_postgres.start()
    await until(lambda: only.lease.held, seconds=PATIENCE_S)
    assert only.lease.term > 1
    await only.enter(2)
    assert await only.entries() == [1, 2]
    await only.close()
