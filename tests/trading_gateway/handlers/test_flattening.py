"""Out of an account by one request: cancelled and closed, whatever state it trades in."""

from __future__ import annotations

import pytest

from services.errors import FxError
from services.trading_gateway.domain.terms import Typed, TypedLeg, terms
from services.trading_gateway.domain.values import (
    OrderOrigin,
    OrderStatus,
    OrderType,
    PositionMode,
    Side,
    TradingState,
)
from services.trading_gateway.handlers.flattening import Flattened
from tests.trading_gateway.world import World


async def engaged(world: World) -> None:
    """Long EURUSD with a stop-loss and a resting order, short USDJPY."""
    await world.tick(("110.000", "110.010"), symbol="USDJPY")
    loss = Typed(stop_loss=TypedLeg(distance="0.00200"))
    await world.orders.place("demo", "a", terms("EURUSD", Side.BUY, OrderType.MARKET, "10000", loss))
    await world.place("b", Side.SELL, "5000", symbol="USDJPY")
    await world.place("rest", Side.BUY, type_=OrderType.LIMIT, limit="1.09000")


def told(done: Flattened) -> tuple[list[tuple[OrderStatus, str]], list[tuple[str, int, OrderStatus, str]]]:
    cancelled = [(each.status, each.reason) for each in done.cancelled]
    return cancelled, [(each.symbol, each.size, each.order.status, each.order.reason) for each in done.closed]


async def open_symbols(world: World, account: str = "demo") -> list[str]:
    views = await world.accounts.positions(account, frozenset(), include_flat=False)
    return [each.position.symbol for each in views]


@pytest.mark.parametrize("state", TradingState)
async def test_nothing_works_and_nothing_is_open_afterwards_in_any_state(
    world: World, state: TradingState
) -> None:
    await engaged(world)
    await world.accounts.set_trading_state("r0", "demo", state, "drill")
    done = await world.flattening.flatten("r1", "demo", "")
    cancelled, closed = told(done)
    assert cancelled == [(OrderStatus.CANCELLED, "FLATTENED")] * 2
    assert closed == [
        ("EURUSD", 10_000_00, OrderStatus.FILLED, ""),
        ("USDJPY", -5_000_00, OrderStatus.FILLED, ""),
    ]
    assert all(each.order.origin is OrderOrigin.RISK and each.order.reduce_only for each in done.closed)
    assert done.flat
    assert await open_symbols(world) == []
    # The halt holds for everything else.
    assert (await world.accounts.get("demo")).account.trading_state is state
    if state is TradingState.HALTED:
        with pytest.raises(FxError, match="TRADING_HALTED"):
            await world.place("after", Side.BUY)
    assert (await world.accounts.reconcile("demo")).reconciled


async def test_one_symbol_is_left_and_the_others_stay(world: World) -> None:
    await engaged(world)
    done = await world.flattening.flatten("r1", "demo", "EURUSD")
    assert [each.symbol for each in done.closed] == ["EURUSD"]
    assert done.flat
    assert await open_symbols(world) == ["USDJPY"]
    assert not (await world.orders.cancel_all("r2", "demo", ""))


async def test_sent_again_it_answers_the_same_orders_and_does_nothing(world: World) -> None:
    await engaged(world)
    first = await world.flattening.flatten("r1", "demo", "")
    await world.place("later", Side.BUY, "3000")
    await world.restart()
    again = await world.flattening.flatten("r1", "demo", "")
    assert (again.cancelled, again.closed) == (first.cancelled, first.closed)
    assert not again.flat  # as it is now
    assert await open_symbols(world) == ["EURUSD"]
    with pytest.raises(FxError, match="REQUEST_ID_REUSED"):
        await world.flattening.flatten("r1", "demo", "EURUSD")


async def test_a_position_that_cannot_be_traded_is_named_and_the_others_are_closed(world: World) -> None:
    await engaged(world)
    await world.tick(("110.100", "110.000"), symbol="USDJPY")  # crossed
    done = await world.flattening.flatten("r1", "demo", "")
    assert told(done)[1] == [
        ("EURUSD", 10_000_00, OrderStatus.FILLED, ""),
        ("USDJPY", -5_000_00, OrderStatus.REJECTED, "QUOTE_CROSSED"),
    ]
    assert not done.flat
    assert await open_symbols(world) == ["USDJPY"]


async def test_what_the_market_does_not_give_stays_open(world: World) -> None:
    await world.place("a", Side.BUY, "10000")
    await world.tick(("1.10000", "1.10010"), sizes=(4_000, 4_000))
    done = await world.flattening.flatten("r1", "demo", "")
    (closed,) = done.closed
    assert (closed.order.status, closed.order.filled) == (OrderStatus.CANCELLED, 4_000_00)
    assert not done.flat
    second = await world.flattening.flatten("r2", "demo", "")
    assert [each.size for each in second.closed] == [6_000_00]


async def test_every_position_of_a_hedging_account_is_closed_by_an_order_of_its_own(world: World) -> None:
    mode = PositionMode.HEDGING
    await world.accounts.open("r0", "hedged", "USD", "50000", auto_trade=False, mode=mode)
    opened = [
        await world.place(key, side, account="hedged")
        for key, side in (("a", Side.BUY), ("b", Side.BUY), ("c", Side.SELL))
    ]
    done = await world.flattening.flatten("r1", "hedged", "")
    assert [(each.position_id, each.order.position_id) for each in done.closed] == [
        (each.order_id, each.order_id) for each in opened
    ]
    assert done.flat
    assert await open_symbols(world, "hedged") == []


async def test_an_account_with_nothing_in_it_is_flat(world: World) -> None:
    assert await world.flattening.flatten("r1", "demo", "") == Flattened((), (), flat=True)
    for account, symbol, reason in (("nobody", "", "UNKNOWN_ACCOUNT"), ("demo", "AAABBB", "UNKNOWN_SYMBOL")):
        with pytest.raises(FxError, match=reason):
            await world.flattening.flatten("r2", account, symbol)


async def test_keys_of_its_orders_are_taken_by_nobody_else(world: World) -> None:
    await world.place("a", Side.BUY)
    (closed,) = (await world.flattening.flatten("r1", "demo", "")).closed
    with pytest.raises(FxError, match="kept for automatic orders"):
        await world.place(closed.order.client_order_id, Side.BUY)
