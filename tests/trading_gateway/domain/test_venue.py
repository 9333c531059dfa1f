"""The paper venue on ticks: when orders fill, trigger, expire and end."""

from __future__ import annotations

import pytest

from services.errors import FxError
from services.trading_gateway.domain.inputs import Facts, PlaceOrder, SessionEnded
from services.trading_gateway.domain.values import OrderStatus, OrderType, Side, TimeInForce
from tests.trading_gateway.kit import (
    LIVE_SESSION,
    REPLAY_SESSION,
    SECOND,
    START,
    Floor,
    batch,
    open_floor,
    raw,
)

GOOD = ("1.10000", "1.10010")


def test_a_market_order_takes_the_opposite_side() -> None:
    floor = open_floor(GOOD)

    bought, sold = floor.buy("a"), floor.sell("b")

    assert (bought.status, bought.notional) == (OrderStatus.FILLED, 10_000_00 * 110_010)
    assert (sold.status, sold.notional) == (OrderStatus.FILLED, 10_000_00 * 110_000)


def test_a_market_order_fills_what_the_quote_holds_and_gives_the_rest_back() -> None:
    floor = open_floor(GOOD)
    floor.tick(GOOD, sizes=(5_000, 3_000))

    order = floor.buy("a", "10000")

    assert (order.status, order.reason) == (OrderStatus.CANCELLED, "IOC_REMAINDER")
    assert order.filled == 3_000_00
    assert floor.engine.book.position("demo", "EURUSD").size == 3_000_00


def test_a_market_order_walks_the_depth_it_was_given() -> None:
    floor = open_floor(GOOD)
    floor.tick(GOOD, sizes=(5_000, 3_000))
    depth = ((110_010, 3_000_00), (110_012, 4_000_00), (110_020, 9_000_00))

    order = floor.place("a", Side.BUY, "10000", facts=Facts(depth=depth))

    assert order.status is OrderStatus.FILLED
    assert order.notional == 3_000_00 * 110_010 + 4_000_00 * 110_012 + 3_000_00 * 110_020
    assert [fill.execution_id[-2:] for changes in floor.stored for fill in changes.fills] == [
        "-1",
        "-2",
        "-3",
    ]


def test_fill_or_kill_fills_whole_or_not_at_all() -> None:
    floor = open_floor(GOOD)
    floor.tick(GOOD, sizes=(5_000, 3_000))

    killed = floor.buy("a", "3001", tif=TimeInForce.FOK)
    filled = floor.buy("b", "3000", tif=TimeInForce.FOK)

    assert (killed.status, killed.reason, killed.filled) == (OrderStatus.CANCELLED, "FOK_NOT_FILLED", 0)
    assert filled.status is OrderStatus.FILLED


@pytest.mark.parametrize(
    ("side", "limit", "misses", "fills", "price"),
    [
        (Side.BUY, "1.09990", ("1.09981", "1.09991"), ("1.09978", "1.09988"), 109_988),
        (Side.SELL, "1.10020", ("1.10019", "1.10029"), ("1.10023", "1.10033"), 110_023),
    ],
)
def test_a_limit_order_waits_and_fills_at_its_limit_or_better(
    side: Side, limit: str, misses: tuple[str, str], fills: tuple[str, str], price: int
) -> None:
    floor = open_floor(GOOD)
    order = floor.place("a", side, "10000", type_=OrderType.LIMIT, limit=limit)
    assert order.status is OrderStatus.ACCEPTED

    floor.tick(misses)
    assert floor.engine.book.order(order.order_id).status is OrderStatus.ACCEPTED
    floor.tick(fills)

    done = floor.engine.book.order(order.order_id)
    assert (done.status, done.notional) == (OrderStatus.FILLED, 10_000_00 * price)


def test_a_marketable_limit_order_fills_at_once_at_the_better_price() -> None:
    floor = open_floor(GOOD)
    order = floor.buy("a", type_=OrderType.LIMIT, limit="1.10500")
    assert order.notional == 10_000_00 * 110_010


def test_a_limit_order_fills_in_parts_as_size_comes() -> None:
    floor = open_floor(GOOD)
    order = floor.buy("a", "10000", type_=OrderType.LIMIT, limit="1.09990")
    floor.tick(("1.09980", "1.09990"), sizes=(1, 4_000))
    part = floor.engine.book.order(order.order_id)
    floor.tick(("1.09980", "1.09990"), ("1.09970", "1.09980"), sizes=(1, 4_000))
    done = floor.engine.book.order(order.order_id)

    assert (part.status, part.filled) == (OrderStatus.PARTIALLY_FILLED, 4_000_00)
    assert (done.status, done.fills) == (OrderStatus.FILLED, 3)
    assert done.notional == 8_000_00 * 109_990 + 2_000_00 * 109_980


def test_an_immediate_limit_order_never_rests() -> None:
    floor = open_floor(GOOD)
    order = floor.buy("a", type_=OrderType.LIMIT, limit="1.09990", tif=TimeInForce.IOC)
    assert (order.status, order.reason) == (OrderStatus.CANCELLED, "IOC_REMAINDER")


@pytest.mark.parametrize(
    ("side", "stop", "before", "trigger", "price"),
    [
        (Side.BUY, "1.10030", ("1.10018", "1.10029"), ("1.10025", "1.10035"), 110_035),
        (Side.SELL, "1.09980", ("1.09981", "1.09991"), ("1.09975", "1.09985"), 109_975),
    ],
)
def test_a_stop_triggers_on_the_side_it_trades_at_and_fills_at_market(
    side: Side, stop: str, before: tuple[str, str], trigger: tuple[str, str], price: int
) -> None:
    floor = open_floor(GOOD)
    order = floor.place("a", side, "10000", type_=OrderType.STOP, stop=stop)
    floor.tick(before)
    assert floor.engine.book.order(order.order_id).fills == 0
    floor.tick(trigger)

    done = floor.engine.book.order(order.order_id)
    assert (done.status, done.notional, done.triggered) == (OrderStatus.FILLED, 10_000_00 * price, True)


def test_a_triggered_stop_works_on_until_it_is_filled_even_if_the_price_comes_back() -> None:
    floor = open_floor(GOOD)
    order = floor.buy("a", type_=OrderType.STOP, stop="1.10030")
    floor.tick(("1.10025", "1.10035"), sizes=(1, 4_000))
    floor.tick(("1.09990", "1.10000"))

    done = floor.engine.book.order(order.order_id)
    assert done.status is OrderStatus.FILLED
    assert done.notional == 4_000_00 * 110_035 + 6_000_00 * 110_000


def test_crossed_and_gapped_quotes_are_never_traded_on() -> None:
    floor = open_floor(GOOD)
    order = floor.buy("a", type_=OrderType.LIMIT, limit="1.09990")
    floor.tick(("1.09990", "1.09970"))
    assert floor.engine.book.order(order.order_id).fills == 0
    floor.tick(("1.09970", "1.09980"), skip=3)
    assert floor.engine.book.order(order.order_id).fills == 0
    floor.tick(("1.09970", "1.09980"))
    assert floor.engine.book.order(order.order_id).status is OrderStatus.FILLED


def test_an_order_that_expires_does_so_before_the_tick_that_passes_its_time() -> None:
    floor = open_floor(GOOD)
    due = floor.now_ns + 10 * SECOND
    order = floor.buy("a", type_=OrderType.LIMIT, limit="1.09990", tif=TimeInForce.GTD, expires_ns=due)
    floor.tick(GOOD, at_ns=due - 1)
    assert not floor.engine.book.order(order.order_id).final
    floor.tick(("1.09970", "1.09980"), at_ns=due)

    done = floor.engine.book.order(order.order_id)
    assert (done.status, done.fills, done.updated_ns) == (OrderStatus.EXPIRED, 0, due)


def test_a_day_order_ends_at_five_in_new_york() -> None:
    floor = open_floor(GOOD)
    order = floor.buy("a", type_=OrderType.LIMIT, limit="1.09990", tif=TimeInForce.DAY)
    five_pm = START + 10 * 3_600 * SECOND  # 21:00 UTC in summer
    assert order.expires_ns == five_pm
    floor.tick(("1.09970", "1.09980"), at_ns=five_pm)

    assert floor.engine.book.order(order.order_id).status is OrderStatus.EXPIRED


def test_the_live_clock_expires_orders_of_a_quiet_symbol() -> None:
    floor = open_floor(GOOD)
    due = floor.now_ns + 10 * SECOND
    order = floor.buy("a", type_=OrderType.LIMIT, limit="1.09990", tif=TimeInForce.GTD, expires_ns=due)
    quiet = floor.batches[-1][1:]
    floor.engine.read(quiet, due)
    floor.settle()

    assert floor.engine.book.order(order.order_id).status is OrderStatus.EXPIRED


def test_an_order_is_not_matched_before_the_venue_has_it() -> None:
    floor = open_floor(GOOD)
    asked = floor.buy("a", type_=OrderType.LIMIT, limit="1.09990")
    floor.cancel(asked)
    # Placed but not yet delivered: ticks pass it by.
    engine = floor.engine
    placed = engine.place(PlaceOrder(floor.now_ns, "demo", "b", asked.terms))
    floor_changes = engine.take_changes()
    engine.read(batch([("1.09970", "1.09980")], first=2, start_ns=floor.now_ns + SECOND), 0)
    assert engine.book.order(placed.order_id).status is OrderStatus.PLACED
    engine.deliver(floor_changes.requests)
    assert engine.book.order(placed.order_id).status is OrderStatus.FILLED


def test_cancelling_and_amending_a_working_order() -> None:
    floor = open_floor(GOOD)
    order = floor.buy("a", type_=OrderType.LIMIT, limit="1.09990")
    amended = floor.amend(order, size=20_000_00, limit=raw("EURUSD", "1.09995"))
    assert (amended.size, amended.limit, amended.status) == (20_000_00, 109_995, OrderStatus.ACCEPTED)

    cancelled = floor.cancel(amended)
    assert (cancelled.status, cancelled.reason) == (OrderStatus.CANCELLED, "CANCELLED_BY_USER")
    with pytest.raises(FxError, match="ORDER_FINAL"):
        floor.cancel(cancelled)


def test_an_amendment_that_makes_an_order_marketable_fills_it() -> None:
    floor = open_floor(GOOD)
    order = floor.buy("a", type_=OrderType.LIMIT, limit="1.09990")
    done = floor.amend(order, limit=raw("EURUSD", "1.10010"))
    assert (done.status, done.notional) == (OrderStatus.FILLED, 10_000_00 * 110_010)


def test_the_end_of_a_replay_cancels_what_works_in_it_and_leaves_the_live_market_alone() -> None:
    floor = Floor()
    floor.announce()
    floor.announce(REPLAY_SESSION)
    floor.open()
    floor.open("replay-r1", scope="r1")
    floor.tick(GOOD)
    floor.tick(("1.38000", "1.38010"), session="r1")
    live = floor.buy("a", type_=OrderType.LIMIT, limit="1.09990")
    old = floor.place("a", Side.BUY, "10000", type_=OrderType.LIMIT, limit="1.37990", account="replay-r1")

    floor.engine.session_ended(SessionEnded(floor.now_ns, "r1", "EURUSD"))
    floor.settle()

    assert floor.engine.book.order(old.order_id).reason == "SESSION_ENDED"
    assert floor.engine.book.order(live.order_id).status is OrderStatus.ACCEPTED
    refused = floor.place("b", Side.BUY, "10000", account="replay-r1")
    assert (refused.status, refused.reason) == (OrderStatus.REJECTED, "INSTRUMENT_NOT_TRADABLE")


def test_a_live_price_rests_while_a_replay_of_its_symbol_runs_until_the_next_live_tick() -> None:
    floor = open_floor(GOOD)
    floor.announce(REPLAY_SESSION)
    assert floor.buy("a").reason == "FEED_STALE"
    floor.tick(GOOD)
    assert floor.buy("b").status is OrderStatus.FILLED


def test_an_account_trades_on_the_quotes_of_its_scope_only() -> None:
    floor = Floor()
    floor.announce(LIVE_SESSION)
    floor.announce(REPLAY_SESSION)
    floor.open()
    floor.open("replay-r1", scope="r1")
    floor.tick(GOOD)
    floor.tick(("1.38000", "1.38010"), session="r1")

    assert floor.buy("a").notional == 10_000_00 * 110_010
    assert floor.place("a", Side.BUY, "10000", account="replay-r1").notional == 10_000_00 * 138_010
