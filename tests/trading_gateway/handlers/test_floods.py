"""The kill switch and cancels among orders: durable before they answer, and not behind what came later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.errors import FxError
from services.runtime.store import Database
from services.trading_gateway.adapters.schema import Schema
from services.trading_gateway.adapters.store import TradingStore
from services.trading_gateway.domain.changes import Changes
from services.trading_gateway.domain.values import OrderStatus, OrderType, Side, TradingState
from services.trading_gateway.ports import Store, Told
from tests.trading_gateway.world import World, until


class HeldStore(TradingStore):
    """Commits in the order they are asked for, and none beyond what `let` allows."""

    def __init__(self, database: Database, schema: Schema) -> None:
        super().__init__(database, schema)
        self.asked: list[Changes] = []
        self._allowed: int | None = None
        self._moved = asyncio.Condition()

    def hold(self) -> int:
        """From now on none, until `let`; how many there were so far."""
        self._allowed = len(self.asked)
        return self._allowed

    async def let(self, count: int | None) -> None:
        """So many more of them; None: all."""
        async with self._moved:
            self._allowed = None if count is None else (self._allowed or 0) + count
            self._moved.notify_all()

    async def commit(self, changes: Changes, told: Told) -> None:
        self.asked.append(changes)
        number = len(self.asked)
        async with self._moved:
            await self._moved.wait_for(lambda: self._allowed is None or number <= self._allowed)
        await super().commit(changes, told)


class HeldWorld(World):
    """A world on such a store."""

    def store_of(self, database: Database, schema: Schema) -> Store:
        self.held = HeldStore(database, schema)
        return self.held


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[HeldWorld]:
    made = HeldWorld(tmp_path)
    await made.start()
    await made.announce()
    await made.tick(("1.10000", "1.10010"))
    await made.at_rest()
    yield made
    await made.held.let(None)
    await made.stop()


def halting(world: World, request: str = "r1", account: str = "") -> asyncio.Task[list[object]]:
    async def halt() -> list[object]:
        return list(await world.accounts.set_trading_state(request, account, TradingState.HALTED, "drill"))

    return asyncio.create_task(halt())


async def stored_state(world: World) -> TradingState:
    """What a process that starts now would read."""
    return {each.account_id: each for each in (await world.store.load()).accounts}["demo"].trading_state


@pytest.mark.parametrize("account", ["", "demo"])
async def test_a_halt_refuses_orders_at_once_and_answers_once_it_is_durable(
    world: HeldWorld, account: str
) -> None:
    before = world.held.hold()
    halt = halting(world, account=account)
    await until(lambda: world.desk.engine.book.accounts["demo"].trading_state is TradingState.HALTED)
    order = asyncio.create_task(world.place("late", Side.BUY))
    await until(lambda: len(world.held.asked) == before + 2)  # the halt, and the refusal behind it
    assert not halt.done()
    assert await stored_state(world) is TradingState.ACTIVE

    await world.held.let(1)
    await asyncio.wait_for(halt, 20)
    assert await stored_state(world) is TradingState.HALTED
    await world.held.let(None)
    with pytest.raises(FxError, match="TRADING_HALTED"):
        await order
    await world.restart()
    with pytest.raises(FxError, match="TRADING_HALTED"):
        await world.place("after", Side.BUY)


async def test_a_halt_waits_for_no_order_that_came_after_it(world: HeldWorld) -> None:
    await world.accounts.open("o", "other", "USD", "100000", auto_trade=False)
    before = world.held.hold()
    halt = halting(world, account="demo")
    await until(lambda: len(world.held.asked) == before + 1)
    asked = len(world.held.asked)
    later = [
        asyncio.create_task(world.place(f"k{number}", Side.BUY, account="other")) for number in range(10)
    ]
    await until(lambda: len(world.held.asked) == asked + 10)
    await world.held.let(1)
    (view,) = await asyncio.wait_for(halt, 20)
    assert view.account.trading_state is TradingState.HALTED  # type: ignore[attr-defined]
    assert not any(each.done() for each in later)
    await world.held.let(None)
    assert {each.status for each in await asyncio.gather(*later)} == {OrderStatus.FILLED}
    assert (await world.accounts.reconcile("other")).reconciled


async def test_a_cancel_waits_for_no_order_that_came_after_it(world: HeldWorld) -> None:
    resting = await world.place("rest", Side.BUY, type_=OrderType.LIMIT, limit="1.09900")
    before = world.held.hold()
    cancel = asyncio.create_task(world.orders.cancel("r1", resting.order_id))
    await until(lambda: len(world.held.asked) == before + 1)
    asked = len(world.held.asked)
    await world.held.let(1)  # the wish; what the venue says to it is a commit of its own
    await until(lambda: len(world.held.asked) == asked + 1)
    later = [asyncio.create_task(world.place(f"k{number}", Side.BUY)) for number in range(10)]
    await until(lambda: len(world.held.asked) == asked + 11)
    await world.held.let(1)
    assert (await asyncio.wait_for(cancel, 20)).status is OrderStatus.CANCELLED
    assert not any(each.done() for each in later)
    await world.held.let(None)
    await asyncio.gather(*later)


async def test_a_cancel_asked_for_twice_at_once_answers_twice_when_it_is_durable(world: HeldWorld) -> None:
    resting = await world.place("rest", Side.BUY, type_=OrderType.LIMIT, limit="1.09900")
    before = world.held.hold()
    cancels = [asyncio.create_task(world.orders.cancel("r1", resting.order_id)) for _ in range(2)]
    await until(lambda: len(world.held.asked) == before + 1)
    await asyncio.sleep(0)
    assert not any(each.done() for each in cancels)
    await world.held.let(None)
    assert {each.status for each in await asyncio.gather(*cancels)} == {OrderStatus.CANCELLED}


async def test_an_order_that_is_not_there_cannot_be_cancelled(world: HeldWorld) -> None:
    with pytest.raises(FxError, match="UNKNOWN_ORDER"):
        await world.orders.cancel("r1", "o-nothing")
    done = await world.place("filled", Side.BUY)
    with pytest.raises(FxError, match="ORDER_FINAL"):
        await world.orders.cancel("r2", done.order_id)
