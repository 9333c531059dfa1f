"""Accounts on a venue outside: what is sent when, what answers and silence mean, when one may trade."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from services.errors import FxError, Kind
from services.trading_gateway.domain.accounts import Account
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.reports import Executed
from services.trading_gateway.domain.terms import Typed, TypedLeg, terms
from services.trading_gateway.domain.values import OrderStatus, OrderType, Side, VenueState
from services.trading_gateway.handlers import Adopting
from services.trading_gateway.ports import NotSentError, VenueRefusedError
from tests.trading_gateway.venue_world import ACCOUNT, VenueWorld
from tests.venues.fault_venue import NONE, Faults
from tests.venues.subjects import asked

S = OrderStatus
PLENTY = (100_000, 100_000)


async def test_a_new_account_takes_no_order_before_it_was_compared(tmp_path: Path) -> None:
    world = VenueWorld(tmp_path)
    await world.start()
    await world.announce()
    await world.tick(("1.10000", "1.10010"))
    await world.accounts.open("r", ACCOUNT, "USD", "1000000", auto_trade=False, venue="far")
    with pytest.raises(FxError) as refused:
        await world.buy("k1")
    assert refused.value.reason == "VENUE_RECONCILING"
    world.run("venues")
    await world.agreed()
    order = await world.buy("k2")
    await world.soon(world.is_(order, S.FILLED))
    await world.same_books()
    await world.stop()


async def test_a_venue_that_there_is_not_opens_no_account(far: VenueWorld) -> None:
    with pytest.raises(FxError) as refused:
        await far.accounts.open("r", "x", "USD", "1", auto_trade=False, venue="moon")
    assert (refused.value.kind, refused.value.reason) == (Kind.INVALID_ARGUMENT, "UNKNOWN_VENUE")
    assert "far, paper" in refused.value.detail or "paper, far" in refused.value.detail


async def test_an_order_is_durable_before_it_is_sent(far: VenueWorld) -> None:
    stored: list[OrderStatus] = []
    submit = far.far.submit

    async def looked(order: Order) -> None:
        found = await far.store.order(order.order_id)
        stored.append(found.status if found else S.HELD)
        await submit(order)

    far.far.submit = looked  # type: ignore[method-assign]
    order = await far.buy("k1")
    await far.soon(far.is_(order, S.FILLED))
    assert stored == [S.PLACED]
    assert far.far.sent == [("submit", order.order_id)]


async def test_the_caller_is_answered_before_the_venue_is(far: VenueWorld) -> None:
    far.far.faults = Faults(hangs=1.0)
    assert (await far.buy("k1", limit="1.09000")).status is S.PLACED


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (VenueRefusedError("INSUFFICIENT_MARGIN", "not enough there"), "INSUFFICIENT_MARGIN"),
        (NotSentError("the line is dead"), "NOT_SENT"),
    ],
)
async def test_a_no_and_what_was_not_sent_end_an_order_at_once(
    far: VenueWorld, failure: Exception, reason: str
) -> None:
    async def fails(order: Order) -> None:
        raise failure

    far.far.submit = fails  # type: ignore[method-assign]
    with suppress(FxError):  # where the venue is faster than the answer, that is the answer
        await far.buy("k1")
    order = await far.orders.find(ACCOUNT, "k1")
    await far.soon(far.is_(order, S.REJECTED))
    assert far.now(order).reason == reason
    assert far.state is VenueState.AGREED


async def test_what_never_arrived_is_unknown_until_the_venue_was_asked(far: VenueWorld) -> None:
    far.far.faults = Faults(lost=1.0)
    order = await far.buy("k1")
    await far.soon(far.is_(order, S.UNKNOWN))
    far.far.faults = NONE
    await far.pass_time(far.settings.venue_settle_seconds - 0.5)
    assert far.now(order).status is S.UNKNOWN  # it might still arrive
    await far.eventually(far.is_(order, S.REJECTED))
    assert far.now(order).reason == "NOT_AT_VENUE"
    assert far.far.sent == []  # nothing is ever sent twice


@pytest.mark.parametrize("fault", ["unanswered", "hangs", "missing"])
async def test_what_arrived_without_a_word_is_found_by_asking(far: VenueWorld, fault: str) -> None:
    far.far.faults = Faults(**{fault: 1.0, "missing": 1.0})
    order, resting = await far.buy("k1"), await far.buy("k2", limit="1.09000")
    await far.eventually(far.is_(order, S.UNKNOWN))
    await far.eventually(far.is_(order, S.FILLED))
    await far.eventually(far.is_(resting, S.ACCEPTED))
    far.far.faults = NONE
    await far.same_books()
    assert len(far.far.sent) == 2


async def test_a_venue_that_does_not_answer_questions_is_asked_again(far: VenueWorld) -> None:
    far.far.faults = Faults(unanswered=1.0, missing=1.0, silent=1.0)
    order = await far.buy("k1")
    await far.eventually(far.is_(order, S.UNKNOWN))
    await far.pass_time(30)
    assert far.now(order).status is S.UNKNOWN
    far.far.faults = NONE
    await far.eventually(far.is_(order, S.FILLED))
    await far.same_books()


async def test_a_cancel_of_an_order_of_unknown_outcome(far: VenueWorld) -> None:
    far.far.faults = Faults(unanswered=1.0, missing=1.0)
    there = await far.buy("k1", limit="1.09000")
    await far.soon(far.is_(there, S.UNKNOWN))
    far.far.faults = Faults(lost=1.0)
    absent = await far.buy("k2", limit="1.09000")
    await far.soon(far.is_(absent, S.UNKNOWN))
    far.far.faults = NONE
    await far.orders.cancel("r1", there.order_id)
    await far.orders.cancel("r2", absent.order_id)
    await far.eventually(far.is_(there, S.CANCELLED))
    await far.eventually(far.is_(absent, S.CANCELLED))
    await far.same_books()


async def test_an_amendment_without_an_answer_is_found_by_asking(far: VenueWorld) -> None:
    order = await far.buy("k1", limit="1.09000")
    await far.soon(far.is_(order, S.ACCEPTED))
    far.far.faults = Faults(unanswered=1.0, missing=1.0)
    await far.amend(order, "1.08000")
    await far.eventually(far.is_(order, S.ACCEPTED))
    assert far.now(order).limit == 108_000
    far.far.faults = Faults(lost=1.0)
    await far.amend(order, "1.07000")
    await far.soon(lambda: order.order_id in far.links._links["far"].sending.under_way)
    far.far.faults = NONE
    await far.eventually(
        far.is_(order, S.ACCEPTED)
    )  # it was sent again, once the venue had said that it has the old
    assert far.now(order).limit == 107_000
    await far.same_books()


async def test_a_cancel_that_comes_too_late_leaves_the_fill(far: VenueWorld) -> None:
    order = await far.buy("k1", limit="1.09990")
    await far.soon(far.is_(order, S.ACCEPTED))
    far.far.faults = Faults(missing=1.0)
    await far.tick(("1.09980", "1.09990"), sizes=PLENTY)
    await far.rest()
    far.far.faults = NONE
    assert far.now(order).status is S.ACCEPTED
    await far.orders.cancel("r1", order.order_id)
    await far.eventually(far.is_(order, S.FILLED))
    await far.same_books()


async def test_a_report_that_never_came_is_found_when_the_books_are_compared(far: VenueWorld) -> None:
    order = await far.buy("k1", limit="1.09990")
    await far.soon(far.is_(order, S.ACCEPTED))
    far.far.faults = Faults(missing=1.0)
    await far.tick(("1.09980", "1.09990"), sizes=PLENTY)
    await far.rest()
    far.far.faults = NONE
    assert far.now(order).status is S.ACCEPTED
    await far.eventually(far.is_(order, S.FILLED))
    await far.agreed()
    await far.same_books()


async def test_after_a_disconnect_books_are_compared_before_new_orders(far: VenueWorld) -> None:
    order = await far.buy("k1", limit="1.09990")
    await far.soon(far.is_(order, S.ACCEPTED))
    await far.far.drop()
    await far.doubted()
    with pytest.raises(FxError) as refused:
        await far.buy("k2")
    assert refused.value.reason == "VENUE_RECONCILING"
    cancelled = await far.orders.cancel("r1", order.order_id)
    assert cancelled.status is S.PENDING_CANCEL  # it leaves when the venue is there again
    await far.agreed()
    await far.eventually(far.is_(order, S.CANCELLED))
    assert (await far.buy("k3")).status is S.PLACED
    await far.eventually(lambda: not far.desk.engine.book.working(ACCOUNT))
    await far.same_books()


async def test_fills_while_nobody_listened_are_booked_before_trading_goes_on(far: VenueWorld) -> None:
    orders = [await far.buy(f"k{number}", limit="1.09990") for number in range(3)]
    for order in orders:
        await far.soon(far.is_(order, S.ACCEPTED))
    await far.far.drop()
    await far.doubted()
    await far.tick(("1.09980", "1.09990"), sizes=PLENTY)
    assert all(far.now(order).status is S.ACCEPTED for order in orders)
    await far.agreed()
    assert all(far.now(order).status is S.FILLED for order in orders)
    await far.same_books()


async def test_what_no_report_explains_stops_new_risk_and_lets_what_reduces_pass(far: VenueWorld) -> None:
    held = await far.buy("k1")
    await far.soon(far.is_(held, S.FILLED))
    # Somebody trades by hand at the venue.
    by_hand = far.far.books.submit(asked("by hand", Side.BUY, "3000"), held.updated_ns)
    far.far._happened(by_hand)
    await far.eventually(lambda: far.state is VenueState.DIFFERS)
    assert "EURUSD is 13000 there and 10000 here" in far.desk.engine.book.account(ACCOUNT).venue_detail
    with pytest.raises(FxError) as refused:
        await far.buy("k2")
    assert refused.value.reason == "VENUE_DIFFERS"
    closing = await far.sell("k3", "4000")
    await far.soon(far.is_(closing, S.FILLED))
    far.far._happened(
        far.far.books.submit(asked("back", Side.SELL, "3000", limit="1.09000"), held.updated_ns)
    )
    # The position is back, and what it cost is not in the books.
    await far.eventually(lambda: [each[0] for each in _account(far).venue_differences] == [""])
    assert far.desk.engine.book.position(ACCOUNT, "EURUSD").size == 600_000
    (cost,) = _account(far).venue_differences
    await Adopting(far.desk, far.links).adopt("r-cost", ACCOUNT, cost, "", "by hand", "anna")
    await far.agreed()


def _account(far: VenueWorld) -> Account:
    return far.desk.engine.book.account(ACCOUNT)


async def test_an_order_that_arrives_after_it_was_given_up_is_cancelled_there(far: VenueWorld) -> None:
    far.far.faults = Faults(lost=1.0)
    order = await far.buy("k1", limit="1.09000")
    await far.soon(far.is_(order, S.UNKNOWN))
    far.far.faults = NONE
    await far.eventually(far.is_(order, S.REJECTED))
    await far.far.submit(order)  # it was on its way all the time
    await far.eventually(lambda: far.far.books.orders[order.order_id].order.final)
    assert far.far.sent[-1] == ("cancel", order.order_id)
    assert far.now(order).status is S.REJECTED
    await far.agreed()


async def test_a_fill_that_comes_long_after_the_end_is_booked(far: VenueWorld) -> None:
    order = await far.buy("k1", limit="1.09000")
    await far.soon(far.is_(order, S.ACCEPTED))
    await far.orders.cancel("r", order.order_id)
    await far.soon(far.is_(order, S.CANCELLED))
    far.desk.engine.book.forget_finished(keep=0)
    link = far.links._links["far"]
    late = Executed(order.updated_ns, order.order_id, "late/1", 100_000, 109_000)
    for _ in range(2):
        await link.hear(late)
    assert (await far.orders.get(order.order_id)).filled == 100_000
    assert far.desk.engine.book.position(ACCOUNT, "EURUSD").size == 100_000


async def test_a_bracket_is_released_to_the_venue_by_the_fill_of_its_entry(far: VenueWorld) -> None:
    legs = Typed("1.09990", take_profit=TypedLeg("1.10500"), stop_loss=TypedLeg("1.09500"))
    far.desk.heard()
    asked = terms("EURUSD", Side.BUY, OrderType.LIMIT, "10000", legs)
    entry = await far.orders.place(ACCOUNT, "k1", asked)
    await far.soon(far.is_(entry, S.ACCEPTED))
    assert far.far.sent == [("submit", entry.order_id)]
    profit, stop = await far.orders.attached(entry, asked)
    await far.tick(("1.09980", "1.09990"), sizes=PLENTY)
    await far.soon(far.is_(profit, S.ACCEPTED))
    await far.soon(far.is_(stop, S.ACCEPTED))
    await far.tick(("1.10510", "1.10520"), sizes=PLENTY)
    await far.soon(far.is_(profit, S.FILLED))
    await far.soon(far.is_(stop, S.CANCELLED))
    await far.same_books()


async def test_what_was_under_way_at_a_restart_is_asked_for(far: VenueWorld) -> None:
    resting = await far.buy("k1", limit="1.09990")
    await far.soon(far.is_(resting, S.ACCEPTED))
    far.far.faults = Faults(hangs=1.0)
    filled = await far.buy("k2")
    await far.soon(lambda: filled.order_id in far.far.books.orders)
    far.far.faults = Faults(lost=1.0)
    lost = await far.buy("k3")
    await far.rest()
    far.far.faults = NONE
    await far.far.drop()
    await far.tick(("1.09980", "1.09990"), sizes=PLENTY)
    await far.reborn()
    assert far.state is VenueState.RECONCILING
    with pytest.raises(FxError) as refused:
        await far.buy("k4")
    assert refused.value.reason == "VENUE_RECONCILING"
    await far.agreed()
    assert far.now(lost).reason == "NOT_AT_VENUE"
    assert (await far.orders.get(filled.order_id)).status is S.FILLED
    assert (await far.orders.get(resting.order_id)).status is S.FILLED
    assert [each for each in far.far.sent if each[1] == lost.order_id] == []
    await far.same_books()


async def test_a_gateway_that_stands_down_has_no_session_and_sends_nothing(far: VenueWorld) -> None:
    """What the end of a lease leads to: another gateway may be sending now."""
    far.far.faults = Faults(hangs=1.0)
    order = await far.buy("k1", limit="1.09000")
    await far.soon(lambda: order.order_id in far.far.books.orders)
    await far.desk.stand_down()
    await far.end_background()
    assert not far.links._links["far"].sending.under_way
    with pytest.raises(NotSentError):
        await far.far.submit(order)
