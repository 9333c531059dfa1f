"""The feed: resumed where it was left, a replay on an account of its own, lockstep barriers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.errors import FxError
from services.market.ticks import TickBatch
from services.trading_gateway.domain.values import OrderStatus, OrderType, Side
from services.trading_gateway.ports import Announced, Beat, OrderQuery, TicksCame
from tests.trading_gateway.kit import LIVE_SESSION, REPLAY_SESSION, START, batch
from tests.trading_gateway.world import AWAY, GONE, World, until

PRICES = [("1.10000", "1.10010"), ("1.10001", "1.10011"), ("1.10002", "1.10012")]


async def test_a_replay_trades_on_an_account_of_its_own_opened_at_its_first_tick(world: World) -> None:
    await world.announce(REPLAY_SESSION)
    assert len(await world.accounts.all()) == 1
    ticks = await world.tick(("1.38000", "1.38010"), session="r1")
    view = await world.accounts.get("replay-r1")

    assert (view.account.session_id, view.account.currency, view.account.balance) == ("r1", "USD", 10_000_000)
    assert (view.account.auto_trade, view.account.created_ns) == (True, ticks.times_ns[0])
    order = await world.place("a", Side.BUY, account="replay-r1")
    assert order.notional == order.filled * 138_010


@pytest.mark.parametrize(
    ("symbol", "currency", "balance"), [("EURGBP", "GBP", 10_000_000), ("EURJPY", "JPY", 10_000_000)]
)
async def test_a_replay_of_a_cross_has_an_account_in_its_quote_currency(
    world: World, symbol: str, currency: str, balance: int
) -> None:
    await world.announce(replace(REPLAY_SESSION, symbols=(symbol,)))
    price = {"EURGBP": ("0.80000", "0.80010"), "EURJPY": ("121.000", "121.010")}[symbol]
    await world.tick(price, session="r1", symbol=symbol)
    view = await world.accounts.get("replay-r1")
    assert (view.account.currency, view.account.balance) == (currency, balance)
    assert (
        await world.place("a", Side.BUY, "1000", symbol=symbol, account="replay-r1")
    ).status is OrderStatus.FILLED


async def test_the_end_of_a_replay_ends_its_orders_and_keeps_its_books(world: World) -> None:
    await world.announce(REPLAY_SESSION)
    await world.tick(("1.38000", "1.38010"), session="r1")
    await world.place("a", Side.BUY, account="replay-r1")
    await world.place("rest", Side.BUY, type_=OrderType.LIMIT, limit="1.37000", account="replay-r1")
    await world.tick(session="r1", ended=True)

    (ended,) = await world.orders.page(OrderQuery("replay-r1", statuses=(OrderStatus.CANCELLED,)))
    assert ended.reason == "SESSION_ENDED"
    assert (await world.accounts.reconcile("replay-r1")).reconciled
    with pytest.raises(FxError, match="INSTRUMENT_NOT_TRADABLE"):
        await world.place("b", Side.BUY, account="replay-r1")


async def test_after_a_restart_the_stream_goes_on_where_the_books_left_off(world: World) -> None:
    await world.tick(*PRICES)
    await world.place("a", Side.BUY)  # marks the ticks read
    await world.tick(*PRICES)  # these are not marked: read again
    await world.restart()
    world.run("following")
    await until(lambda: bool(world.market.streams))

    assert world.market.opened == [[("syn-1", "EURUSD", 4)]]


async def test_a_broken_stream_is_opened_again_from_the_last_tick(world: World) -> None:
    world.run("following")
    await until(lambda: len(world.market.streams) == 1)
    stream = world.market.streams[0]
    stream.put_nowait(Announced(LIVE_SESSION, 4))
    stream.put_nowait(TicksCame(batch(PRICES, first=2), 0, False))
    stream.put_nowait(AWAY)
    await until(lambda: len(world.market.streams) == 2)

    assert world.market.opened == [[("syn-1", "EURUSD", 1)], [("syn-1", "EURUSD", 4)]]


async def test_where_ticks_are_gone_running_sessions_are_resumed_and_others_let_go(world: World) -> None:
    await world.announce(REPLAY_SESSION)
    await world.tick(("1.38000", "1.38010"), session="r1")
    world.market.refusals = [GONE]
    world.run("following")
    await until(lambda: len(world.market.streams) == 1)
    world.market.streams[0].put_nowait(Announced(REPLAY_SESSION, 1))
    world.market.streams[0].put_nowait(Beat())
    await until(lambda: len(world.market.streams) == 2)

    assert world.market.opened == [
        [("r1", "EURUSD", 1), ("syn-1", "EURUSD", 1)],
        [],
        [("r1", "EURUSD", 1)],
    ]


async def test_when_even_those_are_gone_the_next_tick_after_the_hole_is_not_traded_on(world: World) -> None:
    world.market.refusals = [GONE]
    world.run("following")
    await until(lambda: len(world.market.streams) == 1)
    world.market.refusals = [GONE]
    world.market.streams[0].put_nowait(Announced(LIVE_SESSION, 9))
    world.market.streams[0].put_nowait(Beat())
    await until(lambda: len(world.market.streams) == 2)
    world.market.streams[1].put_nowait(Announced(LIVE_SESSION, 9))
    world.market.streams[1].put_nowait(TicksCame(batch(PRICES[:1], first=10), 0, False))
    await until(lambda: world.counts.ticks_read == 2)

    assert world.market.opened[-1] == []
    with pytest.raises(FxError, match="QUOTE_GAPPED"):
        await world.place("a", Side.BUY)


async def test_a_replay_that_began_without_us_is_read_from_its_start(world: World) -> None:
    world.run("following")
    await until(lambda: len(world.market.streams) == 1)
    world.market.streams[0].put_nowait(Announced(REPLAY_SESSION, 300))
    await until(lambda: len(world.market.streams) == 2)
    world.market.streams[1].put_nowait(Announced(REPLAY_SESSION, 300))
    for ticks in batch(PRICES, session="r1").split(1):
        world.market.streams[1].put_nowait(TicksCame(ticks, 0, False))
    await until(lambda: world.counts.ticks_read == 4)

    assert world.market.opened == [
        [("syn-1", "EURUSD", 1)],
        [("r1", "EURUSD", 0), ("syn-1", "EURUSD", 1)],
    ]


async def test_what_cannot_be_read_is_left_out_and_the_rest_goes_on(world: World) -> None:
    fine = batch(PRICES, first=2)
    too_fine = TickBatch("syn-1", "EURUSD", 2, 6, [START], [1_100_001], [1_100_002])
    for ticks in (batch(PRICES, session="unknown"), too_fine, fine):
        await world.following.handle(TicksCame(ticks, 0, False))
    assert world.desk.engine.positions() == [("syn-1", "EURUSD", 4)]


async def test_a_silent_feed_is_stale_and_a_replay_never_is(world: World) -> None:
    await world.announce(REPLAY_SESSION)
    await world.tick(("1.38000", "1.38010"), session="r1")
    await world.tick(("1.10000", "1.10010"))
    await world.clock.advance_to(world.clock.now_ns() + 2_000_000_000)
    with pytest.raises(FxError, match="FEED_STALE"):
        await world.place("a", Side.BUY)
    assert (await world.place("a", Side.BUY, account="replay-r1")).status is OrderStatus.FILLED
    await world.following.handle(Beat())
    assert (await world.place("b", Side.BUY)).status is OrderStatus.FILLED
