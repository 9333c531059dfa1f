"""A gateway acts while it holds the lease of the books, and at no other moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.errors import FxError, Kind
from services.trading_gateway.domain.changes import Changes
from services.trading_gateway.domain.values import OrderStatus, OrderType, Side
from services.trading_gateway.handlers.roles import Roles
from services.trading_gateway.ports import Told
from tests.trading_gateway.world import World, until


class Lease:
    """Given and taken by the test. `lapsed`: its time is over, and nobody has noticed yet."""

    def __init__(self) -> None:
        self.term = 0
        self.lapsed = False
        self._change = asyncio.Event()

    @property
    def held(self) -> bool:
        return self.term > 0 and not self.lapsed

    def give(self, term: int) -> None:
        self.term, self.lapsed = term, False
        self._change.set()
        self._change = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._change.wait()

    async def campaign(self) -> None:
        """The test decides."""


class Gateway(World):
    """A world that trades while it holds the lease."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.lease = Lease()
        self.consuming: list[bool] = []
        self.loops = 0
        self.failures: list[FxError] = []

    async def start(self) -> None:
        self.lease.give(1)
        await super().start()
        self.desk._lease = self.lease

    async def begin(self) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.signals.begin_anew()
        self.following.begin_anew()
        await self.desk.start()

    async def loop(self) -> None:
        self.loops += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.loops -= 1

    async def consume(self) -> None:
        self.consuming.append(True)

    async def stop_consuming(self) -> None:
        self.consuming.append(False)

    @property
    def consumes(self) -> bool:
        return bool(self.consuming) and self.consuming[-1]


@asynccontextmanager
async def trading(folder: Path) -> AsyncIterator[Gateway]:
    world = Gateway(folder)
    await world.start()
    roles = Roles(
        world.lease,
        world.desk,
        world.begin,
        (world.loop,),
        world.consume,
        world.stop_consuming,
        world.storms.finish,
    )
    await roles.join()
    await world.announce()
    await world.tick(("1.10000", "1.10010"))
    running = asyncio.create_task(roles.run())
    await until(lambda: world.consumes)
    try:
        yield world
    finally:
        running.cancel()
        await asyncio.wait({running})
        await world.stop()


async def test_a_lease_that_lapsed_ends_all_acts_though_nobody_said_so(tmp_path: Path) -> None:
    async with trading(tmp_path) as world:
        await world.place("rest", Side.BUY, type_=OrderType.LIMIT, limit="1.09900")
        world.lease.lapsed = True
        for act in (lambda: world.place("a", Side.BUY), lambda: world.accounts.get("demo")):
            with pytest.raises(FxError) as refused:
                await act()
            assert (refused.value.kind, refused.value.reason) == (Kind.UNAVAILABLE, "LEASE_LOST")
        with pytest.raises(FxError, match="LEASE_LOST"):
            await world.tick(("1.09880", "1.09890"))  # would fill the order
        assert world.desk.standing is None
        assert (await world.orders.find("demo", "rest")).status is OrderStatus.ACCEPTED


async def test_what_was_committed_as_the_lease_ended_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trading(tmp_path) as world:
        commit = world.store.commit

        async def ends_meanwhile(changes: Changes, told: Told) -> None:
            await commit(changes, told)
            world.lease.lapsed = True

        monkeypatch.setattr(world.store, "commit", ends_meanwhile)
        assert (await world.place("a", Side.BUY)).status is OrderStatus.PLACED
        monkeypatch.undo()
        world.lease.give(0)
        await until(lambda: not world.consumes)

        world.lease.give(3)  # whoever has the books next gives it to the venue
        await until(lambda: world.consumes)
        await world.desk.durable()
        assert (await world.place("a", Side.BUY)).status is OrderStatus.FILLED
        assert (await world.accounts.reconcile("demo")).reconciled


async def test_who_lost_it_follows_and_who_has_it_again_begins_from_the_store(tmp_path: Path) -> None:
    async with trading(tmp_path) as world:
        world.signals.lead("r1")
        generation = world.desk.generation
        world.lease.give(0)
        await until(lambda: not world.consumes)
        assert (world.loops, world.desk.standing) == (0, None)

        world.lease.give(3)
        await until(lambda: world.consumes and world.loops > 0)
        assert (world.loops, world.desk.generation) == (1, generation + 1)
        assert world.signals._led == set()


async def test_another_term_is_another_beginning_even_without_a_pause(tmp_path: Path) -> None:
    async with trading(tmp_path) as world:
        generation = world.desk.generation
        world.lease.give(2)
        await until(lambda: world.desk.generation == generation + 1 and world.consumes)
        assert world.consuming == [True, False, True]


async def test_books_that_cannot_be_built_are_tried_again(tmp_path: Path) -> None:
    async with trading(tmp_path) as world:
        away = FxError(Kind.UNAVAILABLE, "STORE_UNAVAILABLE", "away")
        world.failures = [away, away]
        world.lease.give(2)
        await until(lambda: world.consuming == [True, False, True])
        assert world.failures == []
        assert world.desk.standing is not None
