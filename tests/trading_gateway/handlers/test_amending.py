"""Amendments that are refused: a size that the order could not work, and any while it is on its way."""

from __future__ import annotations

import pytest

from services.errors import FxError, Kind
from services.trading_gateway.domain.inputs import AmendOrder
from services.trading_gateway.domain.orders import Amendment, Order
from services.trading_gateway.domain.replaying import replay
from services.trading_gateway.domain.terms import Typed, TypedLeg, terms
from services.trading_gateway.domain.values import OrderStatus, OrderType, Side
from services.trading_gateway.handlers.orders import Change
from tests.trading_gateway.venue_world import VenueWorld
from tests.trading_gateway.world import World
from tests.venues.fault_venue import NONE, Faults

S = OrderStatus
EXITS = {"take_profit": TypedLeg("1.10500"), "stop_loss": TypedLeg("1.09500")}


async def bracket(world: World) -> tuple[Order, Order, Order]:
    """An entry of 10,000 that waits below the market, its take-profit and its stop-loss."""
    asked = terms("EURUSD", Side.BUY, OrderType.LIMIT, "10000", Typed("1.09900", **EXITS))  # type: ignore[arg-type]
    entry = await world.orders.place("demo", "entry", asked)
    profit, loss = await world.orders.attached(entry, asked)
    return entry, profit, loss


async def sized(world: World, request: str, order: Order, size: str) -> Order:
    return await world.orders.amend(request, order.order_id, Change(size=size))


async def refused(world: World, order: Order, size: str) -> str:
    """Why a size was refused, after which the order is what it was and the request is free."""
    before, journal = await world.orders.get(order.order_id), await world.store.journal(0, 1_000)
    with pytest.raises(FxError) as caught:
        await sized(world, "r-refused", order, size)
    assert (caught.value.kind, caught.value.reason) == (Kind.FAILED_PRECONDITION, "SIZE_ABOVE_MAXIMUM")
    assert await world.orders.get(order.order_id) == before
    assert await world.store.journal(0, 1_000) == journal
    return caught.value.detail


async def test_a_leg_is_never_larger_than_what_it_protects(world: World) -> None:
    entry, profit, loss = await bracket(world)
    assert f"protects order {entry.order_id} of 10000" in await refused(world, loss, "10001")
    assert (await sized(world, "r1", loss, "10000")).size == 10_000_00

    await world.tick(("1.09890", "1.09900"), sizes=(1, 4_000))
    assert (await world.orders.get(loss.order_id)).size == 4_000_00
    assert "give at most 4000" in await refused(world, loss, "4001")
    assert "give at most 4000" in await refused(world, profit, "10000")
    assert (await sized(world, "r2", profit, "1000")).size == 1_000_00
    assert (await sized(world, "r3", profit, "3000")).size == 3_000_00
    await sized(world, "r4", loss, "2000")
    await sized(world, "r5", loss, "4000")
    await world.tick(("1.09890", "1.09900"))  # the rest of the entry
    assert (await world.orders.get(entry.order_id)).status is S.FILLED
    assert (await world.orders.get(profit.order_id)).size == 3_000_00  # as it was asked for
    assert (await world.orders.get(loss.order_id)).size == 10_000_00  # it was given all there was
    conduct, journal = world.settings.conduct(), await world.store.journal(0, 1_000)
    again = replay(conduct.rules, conduct.policy, journal, world.ticks_of)
    assert again.book.order(loss.order_id) == await world.orders.get(loss.order_id)


async def test_what_the_other_leg_took_is_not_there_any_more(world: World) -> None:
    _, profit, loss = await bracket(world)
    await world.tick(("1.09890", "1.09900"))
    await sized(world, "r1", profit, "3000")
    await world.tick(*[("1.10510", "1.10520")] * 2)  # the first after a jump is not traded on
    assert (await world.orders.get(profit.order_id)).status is S.FILLED
    assert (await world.orders.get(loss.order_id)).size == 7_000_00
    detail = await refused(world, loss, "7001")
    assert "has filled, 10000, less 3000 that linked orders filled: give at most 7000" in detail
    assert (await sized(world, "r2", loss, "6999")).size == 6_999_00


async def test_a_follower_that_waits_may_be_larger_as_when_it_is_placed(world: World) -> None:
    entry, *_ = await bracket(world)
    wanted = Typed("1.09000", parent_id=entry.order_id)
    follower = await world.orders.place(
        "demo", "next", terms("EURUSD", Side.BUY, OrderType.LIMIT, "20000", wanted)
    )
    assert (await sized(world, "r1", follower, "30000")).status is S.HELD
    await world.tick(("1.09890", "1.09900"))
    assert (await world.orders.get(follower.order_id)).size == 10_000_00
    assert "what order" in await refused(world, follower, "30000")


async def test_a_journal_that_has_such_a_size_gives_the_books_it_gave(world: World) -> None:
    _, _, loss = await bracket(world)
    await world.tick(("1.09890", "1.09900"))
    with world.desk.step() as engine:  # as releases took it that did not look
        engine.amend(AmendOrder(world.desk.time(""), loss.order_id, Amendment(size=20_000_00, stop=109_600)))
    await world.desk.settle()
    conduct = world.settings.conduct()
    journal = await world.store.journal(0, 1_000)
    again = replay(conduct.rules, conduct.policy, journal, world.ticks_of)
    assert again.book.order(loss.order_id) == await world.orders.get(loss.order_id)


async def test_an_order_on_its_way_says_so_and_what_to_do(far: VenueWorld) -> None:
    async def pending(order: Order) -> str:
        with pytest.raises(FxError) as caught:
            await far.amend(order, "1.09100")
        assert (caught.value.kind, caught.value.reason) == (Kind.FAILED_PRECONDITION, "ORDER_PENDING")
        assert "read the order until it works or is over, then ask again" in caught.value.detail
        return caught.value.detail

    far.far.faults = Faults(hangs=1.0, missing=1.0)
    order = await far.buy("k1", limit="1.09000")
    assert f"{order.order_id} is placed" in await pending(order)
    await far.eventually(far.is_(order, S.UNKNOWN))
    assert "is unknown" in await pending(order)
    far.far.faults = NONE
    await far.eventually(lambda: far.now(order).final or far.now(order).status is S.ACCEPTED)

    other = await far.buy("k2", limit="1.09000")
    await far.soon(far.is_(other, S.ACCEPTED))
    far.far.faults = Faults(hangs=1.0, missing=1.0)
    await far.amend(other, "1.09050")
    assert "is pending_amend" in await pending(other)
    await far.cancel(other)
    assert "is pending_cancel" in await pending(other)
    far.far.faults = NONE
    await far.eventually(far.is_(other, S.CANCELLED))
    with pytest.raises(FxError, match="ORDER_FINAL"):
        await far.amend(other, "1.09100")
