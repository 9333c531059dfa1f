"""Hedging accounts through the desk and the real store."""

from __future__ import annotations

import pytest

from services.errors import FxError, Kind
from services.trading_gateway.domain.events import PositionView
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.replaying import replay
from services.trading_gateway.domain.terms import Typed, TypedLeg, terms
from services.trading_gateway.domain.values import OrderStatus, OrderType, PositionMode, Side
from tests.trading_gateway.world import World


async def hedged(world: World) -> tuple[Order, Order]:
    """An account that holds 10,000 long and 4,000 short."""
    mode = PositionMode.HEDGING
    view = await world.accounts.open("r1", "hedged", "USD", "50000", auto_trade=False, mode=mode)
    assert view.account.mode is mode
    long = await world.place("long", Side.BUY, "10000", account="hedged")
    return long, await world.place("short", Side.SELL, "4000", account="hedged")


async def held(world: World, *, flat: bool = False) -> list[tuple[str, int]]:
    views = await world.accounts.positions("hedged", frozenset(), include_flat=flat)
    return [(each.position.position_id, each.position.size) for each in views]


async def test_the_mode_is_part_of_what_a_request_asks_for(world: World) -> None:
    await hedged(world)
    with pytest.raises(FxError, match="REQUEST_ID_REUSED"):
        await world.accounts.open("r1", "hedged", "USD", "50000", auto_trade=False)


async def test_positions_outlive_a_restart_and_go_on_being_closed_by_their_ids(world: World) -> None:
    long, short = await hedged(world)
    await world.orders.close_position("hedged", "EURUSD", "c1", long.order_id, "4000")
    await world.restart()
    assert (await world.accounts.get("hedged")).account.mode is PositionMode.HEDGING
    assert await held(world) == [(long.order_id, 6_000_00), (short.order_id, -4_000_00)]

    await world.announce()
    await world.tick(("1.10120", "1.10130"))
    closed = await world.orders.close_position("hedged", "EURUSD", "c2", long.order_id)
    assert (closed.status, closed.size, closed.position_id) == (OrderStatus.FILLED, 6_000_00, long.order_id)
    assert await held(world) == [(short.order_id, -4_000_00)]
    assert await held(world, flat=True) == [(long.order_id, 0), (short.order_id, -4_000_00)]
    result = await world.accounts.reconcile("hedged")
    assert result.reconciled, [line for line in result.lines if not line.equal]
    assert f"EURUSD {long.order_id} realised, USD" in {line.name for line in result.lines}

    conduct, journal = world.settings.conduct(), await world.store.journal(0, 1_000)
    ticks = {(each.symbol, each.first_sequence): each for each in world.sent}
    again = replay(conduct.rules, conduct.policy, journal, lambda read: ticks[read.symbol, read.first]).book
    book = world.desk.engine.book
    assert again.positions_of("hedged") == book.positions_of("hedged")
    assert again.accounts["hedged"] == book.accounts["hedged"]


async def test_closed_positions_leave_memory_and_stay_in_the_books(world: World) -> None:
    long, short = await hedged(world)
    await world.orders.close_position("hedged", "EURUSD", "c", long.order_id)
    before = await world.accounts.positions("hedged", frozenset(), include_flat=True)
    assert [each.position.flat for each in before] == [True, False]

    world.desk.engine.book.forget_finished(keep=0)
    assert [each.position_id for each in world.desk.engine.book.positions_of("hedged")] == [short.order_id]
    await in_the_store(world, long, before)
    await world.restart()
    assert [each.position_id for each in world.desk.engine.book.positions_of("hedged")] == [short.order_id]
    await world.announce()
    await world.tick(("1.10000", "1.10010"))
    await in_the_store(world, long, before)

    await world.place("next", Side.BUY, "1000", account="hedged")
    opened = (await world.accounts.positions("hedged", frozenset(), include_flat=False))[-1]
    assert opened.position.revision == before[0].position.revision + 1


async def in_the_store(world: World, closed: Order, before: list[PositionView]) -> None:
    after = await world.accounts.positions("hedged", frozenset(), include_flat=True)
    assert [each.position for each in after] == [each.position for each in before]
    result = await world.accounts.reconcile("hedged")
    assert result.reconciled, [line for line in result.lines if not line.equal]
    assert f"EURUSD {closed.order_id} realised, USD" in {line.name for line in result.lines}


async def test_closing_is_once_for_each_key(world: World) -> None:
    long, short = await hedged(world)
    close = world.orders.close_position
    first = await close("hedged", "EURUSD", "c", long.order_id, "4000")
    assert await close("hedged", "EURUSD", "c", long.order_id, "4000") == first
    assert await held(world) == [(long.order_id, 6_000_00), (short.order_id, -4_000_00)]
    for position_id, size in ((short.order_id, "4000"), (long.order_id, "3000"), ("", "4000")):
        with pytest.raises(FxError, match="DUPLICATE_CLIENT_ORDER_ID"):
            await close("hedged", "EURUSD", "c", position_id, size)


@pytest.mark.parametrize(
    ("account", "position_id", "size", "reason"),
    [
        ("hedged", "", "", "POSITION_REQUIRED"),
        ("hedged", "o-nobody", "", "NO_POSITION"),
        ("hedged", "LONG", "10001", "SIZE_ABOVE_MAXIMUM"),
        ("demo", "LONG", "", "NO_POSITION"),
    ],
)
async def test_a_close_that_names_no_position(
    world: World, account: str, position_id: str, size: str, reason: str
) -> None:
    long, _ = await hedged(world)
    before = await held(world)
    wanted = long.order_id if position_id == "LONG" else position_id
    with pytest.raises(FxError) as refused:
        await world.orders.close_position(account, "EURUSD", "c", wanted, size)
    assert (refused.value.kind, refused.value.reason) == (Kind.FAILED_PRECONDITION, reason)
    assert await held(world) == before


async def test_a_part_of_a_netting_position_is_closed(world: World) -> None:
    await world.place("a", Side.BUY, "10000")
    await world.orders.close_position("demo", "EURUSD", "c", size="4000")
    (view,) = await world.accounts.positions("demo", frozenset(), include_flat=False)
    assert view.position.size == 6_000_00


async def test_a_child_may_close_the_position_that_its_parent_will_open(world: World) -> None:
    await hedged(world)
    entry = await world.orders.place(
        "hedged", "entry", terms("EURUSD", Side.BUY, OrderType.LIMIT, "3000", Typed("1.09900"))
    )
    exit_ = Typed("1.10200", parent_id=entry.order_id, position_id=entry.order_id)
    child = await world.orders.place(
        "hedged", "exit", terms("EURUSD", Side.SELL, OrderType.LIMIT, "3000", exit_)
    )
    assert child.status is OrderStatus.HELD
    await world.tick(("1.09880", "1.09890"))
    await world.tick(("1.10200", "1.10210"))
    assert (await world.orders.get(child.order_id)).status is OrderStatus.FILLED
    (flat,) = (each for each in await held(world, flat=True) if each[0] == entry.order_id)
    assert flat == (entry.order_id, 0)


async def test_an_order_that_closes_comes_with_no_legs() -> None:
    typed = Typed(position_id="o-any", stop_loss=TypedLeg(distance="0.00100"))
    with pytest.raises(FxError, match="OPTION_NOT_ALLOWED"):
        terms("EURUSD", Side.SELL, OrderType.MARKET, "3000", typed)
