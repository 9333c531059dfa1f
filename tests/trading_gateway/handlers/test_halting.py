"""A halt that withdraws entries: what stays, what goes, in which order, and what a repetition does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.errors import FxError, Kind
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.replaying import replay
from services.trading_gateway.domain.terms import Typed, TypedLeg, terms
from services.trading_gateway.domain.values import OrderStatus, OrderType, PositionMode, Side, TradingState
from services.trading_gateway.handlers.halting import Halted
from services.trading_gateway.ports import OrderQuery
from tests.trading_gateway.handlers.test_floods import HeldWorld, stored_state
from tests.trading_gateway.venue_world import ACCOUNT, VenueWorld
from tests.trading_gateway.world import World, until

S, HALTED = OrderStatus, TradingState.HALTED
LIMIT, STOP = OrderType.LIMIT, OrderType.STOP
DONE = (S.FILLED, S.CANCELLED)


async def halt(world: World, request: str = "r1", account: str = "", state: TradingState = HALTED) -> Halted:
    return await world.halting.set(request, account, state, "drill", cancel_entries=True)


async def working(world: World, account: str = "demo") -> set[str]:
    """Keys of the orders that are not over."""
    orders = await world.orders.page(OrderQuery(account))
    return {each.client_order_id for each in orders if each.status not in DONE}


async def placed(world: World, key: str, side: Side, size: str, typed: Typed, type_: OrderType) -> Order:
    return await world.orders.place("demo", key, terms("EURUSD", side, type_, size, typed))


@pytest.mark.parametrize("state", [HALTED, TradingState.REDUCING])
async def test_what_may_add_risk_goes_and_what_only_reduces_stays(world: World, state: TradingState) -> None:
    exits = {"take_profit": TypedLeg("1.10500"), "stop_loss": TypedLeg("1.09500")}
    await placed(world, "part", Side.BUY, "10000", Typed("1.10010", **exits), LIMIT)  # type: ignore[arg-type]
    first = await placed(world, "entry", Side.BUY, "1000", Typed("1.09600", **exits), LIMIT)  # type: ignore[arg-type]
    await placed(world, "after", Side.BUY, "1000", Typed("1.08900", parent_id=first.order_id), LIMIT)
    await placed(world, "stop", Side.SELL, "10000", Typed(stop_price="1.09700"), STOP)
    await placed(world, "reduces", Side.SELL, "20000", Typed("1.10600", reduce_only=True), LIMIT)
    await placed(world, "turns", Side.SELL, "10001", Typed("1.10600"), LIMIT)
    await placed(world, "breakout", Side.BUY, "1000", Typed(stop_price="1.10900"), STOP)
    stays = {each for each in await working(world) if each[:2] in ("t-", "p-")}
    stays -= {f"t-{first.order_id}", f"p-{first.order_id}"}  # they go with their entry
    assert len(stays) == 2

    done = await halt(world, account="demo", state=state)
    assert done.cancelled == {"demo": 4}
    assert await working(world) == stays | {"stop", "reduces"}
    gone = await world.orders.find("demo", "turns")
    assert (gone.status, gone.reason) == (S.CANCELLED, f"TRADING_{state.name}")
    assert gone.reason_detail == "withdrawn with the halt: drill"
    conduct, journal = world.settings.conduct(), await world.store.journal(0, 1_000)
    again = replay(conduct.rules, conduct.policy, journal, world.ticks_of)
    assert again.book.working("demo") == world.desk.engine.book.working("demo")


async def test_a_hedging_account_keeps_what_names_its_position(world: World) -> None:
    mode = PositionMode.HEDGING
    await world.accounts.open("r0", "hedged", "USD", "50000", auto_trade=False, mode=mode)
    opened = await world.place("long", Side.BUY, account="hedged")
    named = terms("EURUSD", Side.SELL, LIMIT, "10000", Typed("1.10500", position_id=opened.order_id))
    await world.orders.place("hedged", "exit", named)
    await world.place("opens", Side.SELL, type_=LIMIT, limit="1.10500", account="hedged")
    await world.place("else", Side.BUY, type_=LIMIT, limit="1.09000")
    done = await halt(world)
    assert done.cancelled == {"demo": 1, "hedged": 1}
    assert [each.account.account_id for each in done.accounts] == ["demo", "hedged"]
    assert await working(world, "hedged") == {"exit"}


async def test_sent_again_it_is_the_same_and_nothing_of_what_came_since_goes(world: World) -> None:
    await world.place("a", Side.BUY, type_=LIMIT, limit="1.09000")
    assert (await halt(world)).cancelled == {"demo": 1}
    await world.accounts.set_trading_state("r2", "", TradingState.ACTIVE, "")
    await world.place("b", Side.BUY, type_=LIMIT, limit="1.09000")
    assert (await halt(world)).cancelled == {"demo": 1}
    assert await working(world) == {"b"}
    with pytest.raises(FxError) as reused:
        await world.halting.set("r1", "", HALTED, "drill", cancel_entries=False)
    assert (reused.value.kind, reused.value.reason) == (Kind.ALREADY_EXISTS, "REQUEST_ID_REUSED")


@pytest.fixture
async def held(tmp_path: Path) -> AsyncIterator[HeldWorld]:
    made = HeldWorld(tmp_path)
    await made.start()
    await made.announce()
    await made.tick(("1.10000", "1.10010"))
    for number in range(10):
        await made.place(f"k{number}", Side.BUY, "1000", type_=LIMIT, limit="1.09000")
    await made.at_rest()
    yield made
    await made.held.let(None)
    await made.stop()


async def test_the_switch_is_thrown_and_durable_before_anything_is_withdrawn(held: HeldWorld) -> None:
    before = held.held.hold()
    halting = asyncio.create_task(halt(held))
    await until(lambda: len(held.held.asked) == before + 1)
    assert held.desk.engine.book.accounts["demo"].trading_state is HALTED
    assert not held.held.asked[-1].orders
    assert {each.status for each in held.desk.engine.book.working("demo")} == {S.ACCEPTED}
    await held.held.let(1)
    await until(lambda: len(held.held.asked) == before + 2)
    assert await stored_state(held) is HALTED
    assert len(await working(held)) == len(held.held.asked[-1].orders) == 10
    await held.held.let(None)
    assert (await halting).cancelled == {"demo": 10}
    assert await working(held) == set()


async def test_many_go_in_parts_for_which_nobody_waits_and_which_no_caller_stops(
    held: HeldWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.trading_gateway.handlers.halting.AT_ONCE", 4)
    await held.accounts.open("r0", "other", "USD", "50000", auto_trade=False)
    before = held.held.hold()
    halting = asyncio.create_task(halt(held, account="demo"))
    await until(lambda: len(held.held.asked) == before + 1)
    await held.held.let(1)
    await until(lambda: len(held.held.asked) == before + 2)
    assert len(held.held.asked[-1].orders) == 4
    second = asyncio.create_task(held.accounts.set_trading_state("r2", "other", HALTED, "this one too"))
    await until(lambda: held.desk.engine.book.accounts["other"].trading_state is HALTED)
    halting.cancel()  # the caller's time is over
    await held.held.let(None)
    await second
    await until(lambda: not held.desk.engine.book.working("demo"))
    await held.at_rest()
    assert await working(held) == set()
    assert (await halt(held, account="demo")).cancelled == {"demo": 10}


@pytest.mark.parametrize("resumed", [False, True])
async def test_a_crash_between_the_two_is_made_up_for_unless_trading_was_resumed(
    held: HeldWorld, resumed: bool
) -> None:
    before = held.held.hold()
    halting = asyncio.create_task(halt(held))
    await until(lambda: len(held.held.asked) == before + 1)
    await held.held.let(1)
    await until(lambda: len(held.held.asked) == before + 2)
    halting.cancel()
    await held.database.close()  # what was not stored never happened
    await held.held.let(None)
    await asyncio.gather(halting, return_exceptions=True)
    await held.start()
    await held.announce()
    assert len(await working(held)) == 10
    if resumed:
        await held.accounts.set_trading_state("r2", "", TradingState.ACTIVE, "")
    assert (await halt(held)).cancelled == ({} if resumed else {"demo": 10})
    assert len(await working(held)) == (10 if resumed else 0)


async def test_a_venue_outside_is_asked_to_withdraw_them(far: VenueWorld) -> None:
    entry = await far.buy("k1", limit="1.09000")
    await far.soon(far.is_(entry, S.ACCEPTED))
    done = await halt(far, account=ACCOUNT)
    assert done.cancelled == {ACCOUNT: 1}
    await far.soon(far.is_(entry, S.CANCELLED))
    assert far.now(entry).reason == "TRADING_HALTED"
    await far.same_books()
