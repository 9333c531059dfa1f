"""Orders through the desk and the real store: keys, repeats, refusals, restarts."""

from __future__ import annotations

import asyncio

import pytest

from services.errors import FxError, Kind
from services.trading_gateway.domain.ids import order_id
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.terms import Typed, TypedLeg, terms
from services.trading_gateway.domain.values import OrderStatus, OrderType, Side
from services.trading_gateway.handlers.orders import Change
from services.trading_gateway.ports import Depth, FillQuery, OrderQuery
from tests.trading_gateway.kit import SECOND, START
from tests.trading_gateway.world import AWAY, World, until

LIMIT = OrderType.LIMIT


async def resting(world: World, key: str = "rest", limit: str = "1.09900") -> Order:
    return await world.place(key, Side.BUY, type_=LIMIT, limit=limit)


async def test_a_market_order_is_answered_filled_and_found_under_both_ids(world: World) -> None:
    order = await world.place("a", Side.BUY)

    assert order.status is OrderStatus.FILLED
    assert order.order_id == order_id("demo", "a")
    assert await world.orders.get(order.order_id) == order
    assert await world.orders.find("demo", "a") == order
    (shown,) = await world.orders.fills(FillQuery("demo"))
    assert (shown.fill.order_id, shown.fill.price, shown.currency) == (order.order_id, 110_010, "USD")


async def test_the_same_order_again_is_the_first_one_and_another_one_is_refused(world: World) -> None:
    first = await world.place("a", Side.BUY)
    assert await world.place("a", Side.BUY) == first
    with pytest.raises(FxError) as caught:
        await world.place("a", Side.SELL)
    assert (caught.value.kind, caught.value.reason) == (Kind.ALREADY_EXISTS, "DUPLICATE_CLIENT_ORDER_ID")
    assert len(await world.orders.fills(FillQuery("demo"))) == 1


async def test_an_order_sent_many_times_at_once_is_one_order(world: World) -> None:
    answers = await asyncio.gather(*(world.place("a", Side.BUY) for _ in range(20)))
    assert len(set(answers)) == 1
    assert len(await world.orders.page(OrderQuery("demo"))) == 1


async def test_a_restart_does_not_begin_a_new_second_of_the_order_rate(world: World) -> None:
    rate = world.settings.max_orders_per_second
    for number in range(rate):
        await world.place(f"k{number}", Side.BUY, "1000")
    await world.restart()
    world.desk.heard()
    with pytest.raises(FxError, match="ORDER_RATE"):
        await world.place("one more", Side.BUY, "1000")
    await world.place("out", Side.SELL, "1000")  # only reduces
    await world.announce()
    await world.tick(("1.10000", "1.10010"))
    assert (await world.place("a second later", Side.BUY, "1000")).status is OrderStatus.FILLED


async def test_many_orders_at_once_are_all_booked_in_one_sequence(world: World) -> None:
    await asyncio.gather(*(world.place(f"k{number}", Side.BUY, "1000") for number in range(20)))

    assert (await world.accounts.reconcile("demo")).reconciled
    orders = await world.orders.page(OrderQuery("demo"))
    assert [order.number for order in orders] == list(range(20, 0, -1))
    journal = await world.store.journal(0, 10_000)
    assert [entry.number for entry in journal] == list(range(1, len(journal) + 1))


async def test_a_refused_order_is_kept_as_rejected_and_refused_again_when_repeated(world: World) -> None:
    for _ in range(2):
        with pytest.raises(FxError) as caught:
            await world.place("a", Side.BUY, symbol="USDJPY")
        assert (caught.value.kind, caught.value.reason) == (Kind.FAILED_PRECONDITION, "NO_QUOTE")
    order = await world.orders.find("demo", "a")
    assert (order.status, order.reason) == (OrderStatus.REJECTED, "NO_QUOTE")
    assert (await world.accounts.risk_state("demo")).refusals == {"NO_QUOTE": 1}


async def test_what_is_not_there_is_said_to_be_unknown(world: World) -> None:
    with pytest.raises(FxError, match="UNKNOWN_ACCOUNT"):
        await world.place("a", Side.BUY, account="nobody")
    with pytest.raises(FxError, match="UNKNOWN_ORDER"):
        await world.orders.get("o-nothing")
    with pytest.raises(FxError, match="account demo placed no order under the key nope"):
        await world.orders.find("demo", "nope")
    with pytest.raises(FxError, match="UNKNOWN_ORDER"):
        await world.orders.cancel("r1", "o-nothing")


async def test_keys_of_automatic_orders_are_not_for_others(world: World) -> None:
    with pytest.raises(FxError, match="kept for automatic orders"):
        await world.place("s-" + "a" * 26, Side.BUY)
    assert (await world.place("s-short", Side.BUY)).status is OrderStatus.FILLED


async def test_a_quote_is_asked_for_where_no_tick_came_yet(world: World) -> None:
    from services.trading_gateway.domain.feeds import Quote

    world.market.known = [Quote("syn-1", "USDJPY", 7, START + SECOND, 110_000, 110_010, None, None)]
    assert (await world.place("a", Side.BUY, symbol="USDJPY")).status is OrderStatus.FILLED


async def test_an_order_above_the_top_of_the_book_walks_its_depth(world: World) -> None:
    await world.tick(("1.10000", "1.10010"), sizes=(1_000, 2_000))
    levels = ((110_010, 2_000_00), (110_030, 50_000_00))
    world.market.books["EURUSD"] = Depth("syn-1", START + 2 * SECOND, (), levels)

    walked = await world.place("a", Side.BUY)
    assert (walked.status, walked.fills) == (OrderStatus.FILLED, 2)
    assert walked.notional == 2_000_00 * 110_010 + 8_000_00 * 110_030

    world.market.books["EURUSD"] = Depth("other", START, (), levels)
    assert (await world.place("b", Side.BUY)).filled == 2_000_00
    world.market.failures = [AWAY]
    assert (await world.place("c", Side.BUY)).filled == 2_000_00


async def test_both_currencies_of_a_pair_are_converted_at_fresh_quotes_or_no_risk_is_taken(
    world: World,
) -> None:
    for symbol, price in (("EURJPY", ("112.200", "112.210")), ("USDJPY", ("102.000", "102.010"))):
        await world.tick(price, price, symbol=symbol, skip=700)  # 700 s after EURUSD's
    with pytest.raises(FxError, match=r"QUOTE_OVER_AGE.*EUR is converted to USD at EURUSD"):
        await world.place("a", Side.BUY, symbol="EURJPY", type_=LIMIT, limit="112.000")
    await world.tick(*[("1.10000", "1.10010")] * 2, skip=700)
    order = await world.place("b", Side.BUY, symbol="EURJPY", type_=LIMIT, limit="112.000")
    assert order.status is OrderStatus.ACCEPTED


async def test_cancelling_is_repeatable_by_its_request_id(world: World) -> None:
    order = await resting(world)
    cancelled = await world.orders.cancel("r1", order.order_id)
    assert (cancelled.status, cancelled.reason) == (OrderStatus.CANCELLED, "CANCELLED_BY_USER")
    assert await world.orders.cancel("r1", order.order_id) == cancelled
    with pytest.raises(FxError, match="ORDER_FINAL"):
        await world.orders.cancel("r2", order.order_id)


async def test_a_request_id_serves_one_request(world: World) -> None:
    one, other = await resting(world, "a"), await resting(world, "b")
    await world.orders.cancel("r1", one.order_id)
    with pytest.raises(FxError) as caught:
        await world.orders.cancel("r1", other.order_id)
    assert (caught.value.kind, caught.value.reason) == (Kind.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_all_working_orders_of_a_symbol_are_cancelled_at_once(world: World) -> None:
    await world.tick(("110.000", "110.010"), symbol="USDJPY")
    await world.place("yen", Side.BUY, symbol="USDJPY", type_=LIMIT, limit="109.000")
    for key in ("a", "b", "c"):
        await resting(world, key)

    cancelled = await world.orders.cancel_all("r1", "demo", "EURUSD")
    assert [each.client_order_id for each in cancelled] == ["a", "b", "c"]
    assert {each.status for each in cancelled} == {OrderStatus.CANCELLED}
    assert await world.orders.cancel_all("r1", "demo", "EURUSD") == cancelled
    (left,) = await world.orders.page(OrderQuery("demo", statuses=(OrderStatus.ACCEPTED,)))
    assert left.client_order_id == "yen"


async def test_amending_by_text_with_the_revision_it_is_based_on(world: World) -> None:
    order = await resting(world)
    with pytest.raises(FxError) as caught:
        await world.orders.amend("r1", order.order_id, Change("20000", "", "", order.revision + 1))
    assert (caught.value.kind, caught.value.reason) == (Kind.ABORTED, "REVISION_MISMATCH")

    amended = await world.orders.amend("r1", order.order_id, Change("20000", "1.09950", "", order.revision))
    assert (amended.size, amended.limit, amended.status) == (20_000_00, 109_950, OrderStatus.ACCEPTED)
    with pytest.raises(FxError, match="PRICE_TICK"):
        await world.orders.amend("r2", order.order_id, Change("", "1.099501", "", 0))
    with pytest.raises(FxError, match="PRICE_NOT_ALLOWED"):
        await world.orders.amend("r2", order.order_id, Change("", "", "1.2", 0))
    with pytest.raises(FxError, match="PRICE_COLLAR"):
        await world.orders.amend("r2", order.order_id, Change("", "0.9", "", 0))


async def test_amending_nothing_is_refused_and_the_same_values_keep_the_revision(world: World) -> None:
    order = await resting(world)
    with pytest.raises(FxError, match="nothing to change") as caught:
        await world.orders.amend("r1", order.order_id, Change("", "", "", 0))
    assert caught.value.kind is Kind.INVALID_ARGUMENT
    same = Change("10000", "1.09900", "", order.revision)
    assert await world.orders.amend("r2", order.order_id, same) == order
    changed = await world.orders.amend("r3", order.order_id, Change("10000", "1.09910", "", 0))
    assert changed.revision > order.revision
    again = await world.orders.amend("r2", order.order_id, same)  # answered before, as it is now
    assert again == changed


async def test_closing_a_position_flattens_it_once(world: World) -> None:
    await world.place("a", Side.SELL, "12345")
    closed = await world.orders.close_position("demo", "EURUSD", "c")
    assert (closed.side, closed.size, closed.status) == (Side.BUY, 12_345_00, OrderStatus.FILLED)
    assert await world.orders.close_position("demo", "EURUSD", "c") == closed
    with pytest.raises(FxError, match="no open position"):
        await world.orders.close_position("demo", "EURUSD", "d")
    with pytest.raises(FxError, match="DUPLICATE_CLIENT_ORDER_ID"):
        await world.orders.close_position("demo", "USDJPY", "c")
    await world.place("opens", Side.BUY, "5000")
    with pytest.raises(FxError, match="DUPLICATE_CLIENT_ORDER_ID"):
        await world.orders.close_position("demo", "EURUSD", "opens")
    assert world.desk.engine.book.position("demo", "EURUSD").size == 5_000_00


async def test_pages_go_back_in_time_without_gaps(world: World) -> None:
    for number in range(7):
        await world.place(f"k{number}", Side.BUY, "1000")
    first = await world.orders.page(OrderQuery("demo", limit=3))
    second = await world.orders.page(OrderQuery("demo", limit=3, before=first[-1].number))
    third = await world.orders.page(OrderQuery("demo", limit=3, before=second[-1].number))
    assert [order.client_order_id for order in (*first, *second, *third)] == [
        f"k{n}" for n in range(6, -1, -1)
    ]
    assert len(await world.orders.fills(FillQuery("demo", order_id=first[0].order_id))) == 1


async def test_a_stream_begins_with_what_works_and_goes_on_with_what_is_committed(world: World) -> None:
    working = await resting(world)
    stream = world.orders.stream("demo", ["EURUSD"])
    seen = [await anext(stream)]
    await world.place("a", Side.BUY)
    seen += [await anext(stream), await anext(stream)]

    assert seen[0] == working
    assert [(each.client_order_id, each.status) for each in seen[1:] if each is not None] == [
        ("a", OrderStatus.PLACED),
        ("a", OrderStatus.FILLED),
    ]


async def test_a_caller_that_goes_away_does_not_stop_its_order(world: World) -> None:
    caller = asyncio.create_task(world.place("a", Side.BUY))
    await until(lambda: bool(world.desk.engine.book.working("demo")))
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await world.desk.finish()
    assert (await world.orders.find("demo", "a")).status is OrderStatus.FILLED


async def test_working_orders_and_keys_outlive_a_restart(world: World) -> None:
    order = await resting(world)
    done = await world.place("a", Side.BUY)
    await world.restart()

    assert await world.place("a", Side.BUY) == done
    await world.tick(("1.09880", "1.09890"))
    filled = await world.orders.get(order.order_id)
    assert (filled.status, filled.notional) == (OrderStatus.FILLED, 10_000_00 * 109_890)
    assert (await world.accounts.reconcile("demo")).reconciled


async def test_a_family_of_orders_outlives_restarts_at_every_stage(world: World) -> None:
    profit, loss = TypedLeg(distance="0.00100"), TypedLeg("1.09900")
    wanted = terms(
        "EURUSD", Side.BUY, OrderType.LIMIT, "10000", Typed("1.09990", take_profit=profit, stop_loss=loss)
    )
    entry = await world.orders.place("demo", "entry", wanted)
    await world.restart()
    await world.announce()
    assert {each.status for each in await world.orders.attached(entry, wanted)} == {OrderStatus.HELD}

    await world.tick(("1.09980", "1.09990"), sizes=(1, 4_000))
    await world.restart()
    await world.announce()
    await world.tick(("1.09980", "1.09990"))
    legs = await world.orders.attached(entry, wanted)
    assert [(each.status, each.size) for each in legs] == [(OrderStatus.ACCEPTED, 10_000_00)] * 2

    await world.restart()
    await world.announce()
    await world.tick(("1.10090", "1.10100"), sizes=(3_000, 1))
    await world.restart()
    await world.announce()
    taken, left = await world.orders.attached(entry, wanted)
    assert (taken.filled, left.size, left.status) == (3_000_00, 7_000_00, OrderStatus.ACCEPTED)
    await world.tick(("1.09890", "1.09900"))
    taken, left = await world.orders.attached(entry, wanted)
    assert (taken.status, left.filled) == (OrderStatus.CANCELLED, 7_000_00)
    assert world.desk.engine.book.position("demo", "EURUSD").flat
    assert not world.desk.engine.book.working()


async def test_cancelling_all_takes_families_too(world: World) -> None:
    wanted = terms(
        "EURUSD", Side.BUY, OrderType.LIMIT, "1000", Typed("1.09900", stop_loss=TypedLeg("1.09800"))
    )
    entry = await world.orders.place("demo", "entry", wanted)
    after = terms("EURUSD", Side.SELL, OrderType.LIMIT, "1000", Typed("1.10900", parent_id=entry.order_id))
    await world.orders.place("demo", "after", after)
    gone = await world.orders.cancel_all("r1", "demo", "")
    assert len(gone) == 3
    assert {each.status for each in gone} == {OrderStatus.CANCELLED}
