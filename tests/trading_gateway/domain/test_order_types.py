"""Order types beyond market, limit and stop, tick by tick; expected prices worked out by hand."""

from __future__ import annotations

import pytest

from services.errors import FxError
from services.trading_gateway.domain.changes import Changes
from services.trading_gateway.domain.inputs import AmendOrder, PlaceOrder
from services.trading_gateway.domain.orders import Amendment, Order
from services.trading_gateway.domain.values import OrderStatus, OrderType, Side, TimeInForce, TriggerSide
from tests.trading_gateway.kit import START, Floor, batch, open_floor, raw

GOOD = ("1.10000", "1.10010")
UNITS = 10_000_00


def now(floor: Floor, order: Order) -> Order:
    return floor.engine.book.order(order.order_id)


def stops(floor: Floor, order: Order) -> list[int | None]:
    """Where the order's stop was after each commit that changed the order."""
    return [each.orders[order.order_id].stop for each in floor.stored if order.order_id in each.orders]


# Stop limit


def test_a_stop_limit_waits_for_its_stop_and_then_fills_at_its_limit_or_better() -> None:
    floor = open_floor(GOOD)
    order = floor.buy("a", type_=OrderType.STOP_LIMIT, stop="1.10030", limit="1.10035")
    floor.tick(("1.10010", "1.10020"))
    assert not now(floor, order).triggered  # 1.10020 is within the limit, but the stop was not reached
    floor.tick(("1.10030", "1.10040"))
    waiting = now(floor, order)
    assert (waiting.triggered, waiting.fills, waiting.status) == (True, 0, OrderStatus.ACCEPTED)
    floor.tick(("1.10020", "1.10032"))

    done = now(floor, order)
    assert (done.status, done.notional) == (OrderStatus.FILLED, UNITS * 110_032)


def test_a_triggered_stop_limit_can_have_its_limit_changed_but_not_its_stop() -> None:
    floor = open_floor(GOOD)
    order = floor.buy("a", type_=OrderType.STOP_LIMIT, stop="1.10030", limit="1.10031")
    floor.tick(("1.10030", "1.10040"))
    with pytest.raises(FxError, match="ORDER_FINAL"):
        floor.amend(order, stop=raw("EURUSD", "1.10060"))

    done = floor.amend(order, limit=raw("EURUSD", "1.10040"))
    assert (done.status, done.notional) == (OrderStatus.FILLED, UNITS * 110_040)


# Market if touched


@pytest.mark.parametrize(
    ("side", "touch", "before", "at", "price"),
    [
        (Side.BUY, "1.09980", ("1.09971", "1.09981"), ("1.09970", "1.09980"), 109_980),
        (Side.SELL, "1.10020", ("1.10019", "1.10029"), ("1.10022", "1.10032"), 110_022),
    ],
)
def test_a_market_if_touched_waits_for_a_better_price_and_takes_what_is_there(
    side: Side, touch: str, before: tuple[str, str], at: tuple[str, str], price: int
) -> None:
    floor = open_floor(GOOD)
    order = floor.place("a", side, "10000", type_=OrderType.MARKET_IF_TOUCHED, stop=touch)
    floor.tick(before)
    assert now(floor, order).status is OrderStatus.ACCEPTED
    floor.tick(at)

    done = now(floor, order)
    assert (done.status, done.notional) == (OrderStatus.FILLED, UNITS * price)


@pytest.mark.parametrize(
    ("side", "type_", "stop"),
    [
        (Side.BUY, OrderType.MARKET_IF_TOUCHED, "1.10010"),
        (Side.SELL, OrderType.MARKET_IF_TOUCHED, "1.10000"),
        (Side.BUY, OrderType.STOP_LIMIT, "1.10010"),
        (Side.SELL, OrderType.STOP, "1.10000"),
    ],
)
def test_what_the_market_has_reached_already_is_refused(side: Side, type_: OrderType, stop: str) -> None:
    floor = open_floor(GOOD)
    limit = stop if type_ is OrderType.STOP_LIMIT else ""
    refused = floor.place("a", side, "1000", type_=type_, stop=stop, limit=limit)
    assert (refused.status, refused.reason) == (OrderStatus.REJECTED, "STOP_WRONG_SIDE")


# Trigger side


@pytest.mark.parametrize(
    ("trigger", "before", "at"),
    [
        # A sell stop at 1.09980. The bid reaches it first, the middle second, the ask last.
        (None, ("1.09981", "1.09991"), ("1.09980", "1.09990")),
        (TriggerSide.BID, ("1.09981", "1.09991"), ("1.09980", "1.09990")),
        (TriggerSide.MID, ("1.09975", "1.09986"), ("1.09975", "1.09985")),
        (TriggerSide.ASK, ("1.09971", "1.09981"), ("1.09970", "1.09980")),
    ],
)
def test_a_stop_watches_the_price_it_was_told_to(
    trigger: TriggerSide | None, before: tuple[str, str], at: tuple[str, str]
) -> None:
    floor = open_floor(GOOD)
    order = floor.sell("a", type_=OrderType.STOP, stop="1.09980", trigger=trigger)
    floor.tick(before)
    assert not now(floor, order).triggered
    floor.tick(at)
    done = now(floor, order)
    # Whatever triggers it, it sells at the bid.
    assert (done.status, done.notional) == (OrderStatus.FILLED, UNITS * raw("EURUSD", at[0]))


# Trailing stop


def test_a_trailing_stop_follows_the_market_up_never_back_and_sells_when_it_is_met() -> None:
    floor = open_floor(GOOD)
    floor.buy("long")
    order = floor.sell("a", type_=OrderType.TRAILING_STOP, trail="0.00020")
    assert now(floor, order).stop == 109_980  # bid 1.10000 less 20 points
    floor.tick(("1.10030", "1.10040"), ("1.10015", "1.10025"), ("1.10031", "1.10041"), ("1.10012", "1.10022"))
    waiting = now(floor, order)
    assert (waiting.stop, waiting.triggered) == (110_011, False)
    floor.tick(("1.10011", "1.10021"))

    done = now(floor, order)
    assert (done.status, done.notional, done.stop) == (OrderStatus.FILLED, UNITS * 110_011, 110_011)
    assert floor.engine.book.position("demo", "EURUSD").flat


def test_a_trailing_stop_of_a_buyer_follows_the_market_down() -> None:
    floor = open_floor(GOOD)
    order = floor.buy("a", type_=OrderType.TRAILING_STOP, trail="0.00020")
    floor.tick(("1.09950", "1.09960"), ("1.09965", "1.09975"))
    assert now(floor, order).stop == 109_980
    floor.tick(("1.09972", "1.09982"))
    assert now(floor, order).notional == UNITS * 109_982


def test_a_trailing_stop_on_the_middle_stands_on_the_tick_further_away() -> None:
    floor = open_floor(("1.10000", "1.10011"))
    sell = floor.sell("a", type_=OrderType.TRAILING_STOP, trail="0.00020", trigger=TriggerSide.MID)
    buy = floor.buy("b", type_=OrderType.TRAILING_STOP, trail="0.00020", trigger=TriggerSide.MID)
    # The middle is 1.100055: 1.099855 and 1.100255 lie between ticks.
    assert (now(floor, sell).stop, now(floor, buy).stop) == (109_985, 110_026)


def test_a_trailing_stop_looks_at_no_quote_that_cannot_be_traded_on() -> None:
    floor = open_floor(GOOD)
    order = floor.sell("a", type_=OrderType.TRAILING_STOP, trail="0.00020")
    floor.tick(("1.10050", "1.10040"))  # crossed
    floor.tick(("1.10050", "1.10060"), skip=2)  # after missing ticks
    assert now(floor, order).stop == 109_980
    floor.tick(("1.10050", "1.10060"))
    assert now(floor, order).stop == 110_030


def test_moving_with_the_market_leaves_the_revision_and_a_new_distance_starts_from_the_market() -> None:
    floor = open_floor(GOOD)
    order = floor.sell("a", type_=OrderType.TRAILING_STOP, trail="0.00020")
    revision = now(floor, order).revision
    floor.tick(("1.10030", "1.10040"), ("1.10020", "1.10030"))
    assert (now(floor, order).stop, now(floor, order).revision) == (110_010, revision)

    sized = floor.amend(order, size=5_000_00)
    assert (sized.size, sized.stop) == (5_000_00, 110_010)
    wider = floor.amend(order, trail=50)
    assert (wider.trail, wider.stop) == (50, 109_970)
    with pytest.raises(FxError, match="PRICE_NOT_ALLOWED"):
        floor.amend(order, stop=110_000)


def test_a_trailing_stop_goes_the_same_way_however_ticks_are_cut_into_batches() -> None:
    prices = [(f"1.{10_000 + step}", f"1.{10_010 + step}") for step in (5, 9, 4, 12, 12, 30, 11, 25, 60, 41)]
    ways = []
    for cut in (1, 3, 10):
        floor = open_floor(GOOD)
        order = floor.sell("a", type_=OrderType.TRAILING_STOP, trail="0.00019")
        whole = batch(prices, first=floor.sequences["syn-1", "EURUSD"] + 1, start_ns=START + 10**10)
        for part in whole.split(cut):
            floor.read(part)
        done = now(floor, order)
        ways.append((done.stop, done.notional, done.updated_ns, _entries(floor.stored)))
    # 1.10030 took the stop to 1.10011, which the bid of 1.10011 meets.
    assert ways[0][:2] == (110_011, UNITS * 110_011)
    assert ways[0] == ways[1] == ways[2]


def _entries(stored: list[Changes]) -> list[str]:
    return [entry.payload for changes in stored for entry in changes.journal if entry.kind != "TicksRead"]


# Post-only


def test_a_post_only_order_is_refused_when_it_would_take_and_fills_when_the_market_comes() -> None:
    floor = open_floor(GOOD)
    refused = floor.buy("a", type_=OrderType.LIMIT, limit="1.10010", post_only=True)
    assert (refused.status, refused.reason, refused.at_venue) == (
        OrderStatus.REJECTED,
        "POST_ONLY_WOULD_TAKE",
        False,
    )
    rests = floor.buy("b", type_=OrderType.LIMIT, limit="1.10009", post_only=True)
    assert rests.status is OrderStatus.ACCEPTED
    with pytest.raises(FxError, match="POST_ONLY_WOULD_TAKE"):
        floor.amend(rests, limit=110_010)
    floor.tick(("1.09999", "1.10009"))
    assert now(floor, rests).notional == UNITS * 110_009


def test_a_post_only_order_that_the_market_overtakes_on_its_way_is_refused_by_the_venue() -> None:
    floor = open_floor(GOOD)
    resting = floor.buy("a", type_=OrderType.LIMIT, limit="1.09990", post_only=True)
    floor.engine.amend(AmendOrder(floor.now_ns, resting.order_id, Amendment(limit=110_005)))
    asked = floor.engine.take_changes()
    floor.engine.read(batch([("1.09990", "1.10000")], first=2, start_ns=floor.now_ns + 10**9), 0)
    floor.engine.deliver(asked.requests)
    floor.settle()

    kept = now(floor, resting)
    assert (kept.status, kept.limit, kept.reason) == (
        OrderStatus.ACCEPTED,
        109_990,
        "POST_ONLY_WOULD_TAKE",
    )


def test_a_post_only_order_that_was_placed_in_time_and_comes_too_late_is_refused() -> None:
    floor = open_floor(GOOD)
    like = floor.buy("a", type_=OrderType.LIMIT, limit="1.10005", post_only=True)
    floor.cancel(like)
    placed = floor.engine.place(PlaceOrder(floor.now_ns, "demo", "b", like.terms))
    asked = floor.engine.take_changes()
    floor.engine.read(batch([("1.09990", "1.10000")], first=2, start_ns=floor.now_ns + 10**9), 0)
    floor.engine.deliver(asked.requests)

    late = floor.engine.book.order(placed.order_id)
    assert (late.status, late.reason, late.fills) == (OrderStatus.REJECTED, "POST_ONLY_WOULD_TAKE", 0)


# Reduce-only


def test_a_reduce_only_order_needs_a_position_against_it() -> None:
    floor = open_floor(GOOD)
    flat = floor.sell("a", reduce_only=True)
    floor.buy("long")
    same_way = floor.buy("b", reduce_only=True)
    assert {each.reason for each in (flat, same_way)} == {"NOTHING_TO_REDUCE"}


def test_a_reduce_only_order_fills_what_the_position_holds_and_no_more() -> None:
    floor = open_floor(GOOD)
    floor.buy("long", "6000")
    order = floor.sell("a", "10000", reduce_only=True)
    assert (order.status, order.filled, order.reason) == (
        OrderStatus.CANCELLED,
        6_000_00,
        "NOTHING_TO_REDUCE",
    )
    assert floor.engine.book.position("demo", "EURUSD").flat


def test_a_fill_or_kill_order_that_may_only_reduce_is_killed_when_it_could_not_fill_whole() -> None:
    floor = open_floor(GOOD)
    floor.buy("long", "6000")
    order = floor.sell("a", "10000", reduce_only=True, tif=TimeInForce.FOK)
    assert (order.status, order.filled, order.reason) == (OrderStatus.CANCELLED, 0, "FOK_NOT_FILLED")


def test_a_resting_reduce_only_order_goes_when_the_position_is_closed_otherwise() -> None:
    floor = open_floor(GOOD)
    floor.buy("long")
    order = floor.sell("a", type_=OrderType.LIMIT, limit="1.10100", reduce_only=True)
    floor.sell("close")
    gone = now(floor, order)
    assert (gone.status, gone.reason) == (OrderStatus.CANCELLED, "POSITION_CLOSED")


def test_the_market_checks_hold_for_a_callers_reduce_only_order_too() -> None:
    floor = open_floor(GOOD)
    floor.buy("long")
    far = floor.sell("a", type_=OrderType.LIMIT, limit="2.00000", reduce_only=True)
    wide = floor.sell("b", type_=OrderType.TRAILING_STOP, trail="0.50000", reduce_only=True)
    assert {far.reason, wide.reason} == {"PRICE_COLLAR"}
