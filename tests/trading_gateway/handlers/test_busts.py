"""Executions that a venue outside takes back: however it is told, the books are the venue's."""

from __future__ import annotations

import pytest

from services.errors import FxError
from services.trading_gateway.adapters.past import MOST
from services.trading_gateway.domain.accounts import Account
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.reports import Busted, Executed
from services.trading_gateway.domain.values import OrderStatus, VenueState
from services.trading_gateway.handlers import Adopting
from services.trading_gateway.ports import FillQuery
from tests.trading_gateway.venue_world import ACCOUNT, VenueWorld
from tests.venues.fault_venue import NONE, Faults

EVERYTHING = Faults(doubled=0.6, late=0.5, shuffled=0.8, missing=0.2)


def account(far: VenueWorld) -> Account:
    return far.desk.engine.book.account(ACCOUNT)


def size(far: VenueWorld) -> int:
    return far.desk.engine.book.position(ACCOUNT, "EURUSD").size


async def filled(far: VenueWorld, key: str, units: str = "10000") -> Order:
    order = await far.buy(key, units)
    await far.soon(far.is_(order, OrderStatus.FILLED))
    return order


def executions(far: VenueWorld, order: Order) -> list[str]:
    """As the venue names them."""
    told = [each.report for each in far.far.books.log]
    return [
        each.execution_id for each in told if isinstance(each, Executed) and each.order_id == order.order_id
    ]


async def bust(far: VenueWorld, order: Order) -> None:
    """Of its first execution."""
    await far.far.bust(order.order_id, executions(far, order)[0])


async def test_an_open_position_is_gone(far: VenueWorld) -> None:
    order = await filled(far, "k1")
    await bust(far, order)
    await far.soon(far.is_(order, OrderStatus.CANCELLED))
    assert (size(far), account(far).balance, account(far).fraction) == (0, 100_000_000, "0")
    assert far.state is VenueState.AGREED
    await far.same_books()


async def test_a_close_opens_its_position_again_and_its_profit_is_gone(far: VenueWorld) -> None:
    await filled(far, "k1", "1000")
    await far.tick(("1.10123", "1.10133"), sizes=(100_000, 100_000))
    close = await far.sell("k2", "333")
    await far.soon(far.is_(close, OrderStatus.FILLED))
    assert account(far).balance == 100_000_038
    await bust(far, close)
    await far.soon(far.is_(close, OrderStatus.CANCELLED))
    assert (size(far), account(far).balance, account(far).fraction) == (100_000, 100_000_000, "0")
    await far.same_books()


async def test_what_later_fills_realised_against_it_is_the_venues_to_the_last_digit(far: VenueWorld) -> None:
    opened = await filled(far, "k1", "1000")
    await far.tick(("1.10123", "1.10133"), sizes=(100_000, 100_000))
    close = await far.sell("k2", "333")
    await far.soon(far.is_(close, OrderStatus.FILLED))
    await bust(far, opened)
    await far.soon(far.is_(opened, OrderStatus.CANCELLED))
    assert (size(far), account(far).realised) == (-33_300, 0)
    await far.same_books()


async def test_part_of_a_working_order_is_worked_again(far: VenueWorld) -> None:
    await far.tick(("1.10000", "1.10010"), sizes=(4_000, 4_000))
    order = await far.buy("k1", limit="1.10010")
    await far.soon(lambda: far.now(order).filled == 400_000)
    await bust(far, order)
    await far.soon(lambda: not far.now(order).filled)
    assert far.now(order).status is OrderStatus.ACCEPTED
    await far.tick(("1.10000", "1.10010"), sizes=(100_000, 100_000))
    await far.soon(far.is_(order, OrderStatus.FILLED))
    assert size(far) == 1_000_000
    await far.same_books()


async def test_doubled_late_in_any_order_and_after_a_death_it_counts_once(far: VenueWorld) -> None:
    far.far.faults = EVERYTHING
    orders = [await far.buy(f"k{number}", "3000") for number in range(12)]
    await far.rest()
    for order in orders[::2]:
        await bust(far, order)
    await far.pass_time(1.0)
    await far.killed()  # the reports wait, some were heard
    for order in orders[1::4]:
        await bust(far, order)
    far.far.faults = NONE
    await far.pass_time(far.settings.venue_audit_seconds + 5)
    await far.agreed()
    await far.links._links["far"]._book(far.far.books.after("").reports)  # all of it, from the beginning
    assert size(far) == 3 * 300_000
    await far.same_books()


async def test_one_that_was_never_told_is_found_by_asking(far: VenueWorld) -> None:
    order = await filled(far, "k1")
    far.far.faults = Faults(missing=1.0)
    await bust(far, order)
    await far.rest()
    assert size(far) == 1_000_000
    far.far.faults = NONE
    await far.far.drop()
    await far.doubted()
    await far.agreed()
    assert size(far) == 0
    await far.same_books()


async def test_an_order_that_left_memory_long_ago_is_read_again(far: VenueWorld) -> None:
    order = await filled(far, "k1")
    await filled(far, "k2", "2000")
    await far.desk.durable()
    far.desk.engine.book.forget_finished(0)
    assert order.order_id not in far.desk.engine.book.orders
    await bust(far, order)
    await far.soon(lambda: size(far) == 200_000)
    assert far.now(order).status is OrderStatus.CANCELLED
    await far.same_books()


async def test_one_that_comes_before_its_execution_waits_for_it_through_a_death(far: VenueWorld) -> None:
    await filled(far, "k0", "2000")
    far.far.faults = Faults(missing=1.0)  # nothing is told by itself
    order = await far.buy("k1")
    await far.rest()
    (execution,) = executions(far, order)
    await far.links._links["far"].hear(Busted(far.clock.now_ns(), order.order_id, execution))
    assert [each for each, _ in account(far).busts] == [execution]
    await far.killed()
    assert [each for each, _ in account(far).busts] == [execution]
    (told,) = [
        each.report
        for each in far.far.books.log
        if isinstance(each.report, Executed) and each.report.order_id == order.order_id
    ]
    for _ in range(2):
        await far.links._links["far"].hear(told)  # alone
    assert account(far).busts == ()
    assert far.now(order).status is OrderStatus.CANCELLED
    assert (await far.rows())["fills"] == 3
    position = far.desk.engine.book.position(ACCOUNT, "EURUSD")
    assert (position.size, position.cost) == (200_000, 200_000 * 110_010)
    await bust(far, order)
    far.far.faults = NONE
    await far.far.drop()
    await far.doubted()
    await far.agreed()
    assert (await far.rows())["fills"] == 3
    await far.same_books()


async def test_one_of_an_execution_that_nobody_knows_is_a_difference_that_a_person_settles(
    far: VenueWorld,
) -> None:
    order = await filled(far, "k1")
    link = far.links._links["far"]
    for _ in range(2):
        await link.hear(Busted(far.clock.now_ns(), order.order_id, "never-told"))
    link.wake()
    await far.eventually(lambda: far.state is VenueState.DIFFERS)
    (difference,) = account(far).venue_differences
    named, theirs, ours = difference
    assert (named, theirs, ours) == (f"{order.order_id}-never-told", "busted", "unknown")
    assert f"execution {named} is busted there and unknown here" in account(far).venue_detail
    assert (size(far), far.now(order).status) == (1_000_000, OrderStatus.FILLED)
    before = account(far)
    with pytest.raises(FxError) as other:
        await Adopting(far.desk, far.links).adopt("r-0", ACCOUNT, ("x", theirs, ours), "", "why", "anna")
    assert other.value.reason == "UNKNOWN_SYMBOL"
    view = await Adopting(far.desk, far.links).adopt("r-1", ACCOUNT, difference, "", "asked them", "anna")
    assert (view.account.venue_state, view.account.busts) == (VenueState.AGREED, ())
    assert (view.account.balance, view.account.transactions) == (before.balance, before.transactions)
    await far.same_books()


async def test_one_of_an_order_elsewhere_is_nobodys(far: VenueWorld) -> None:
    await far.links._links["far"].hear(Busted(far.clock.now_ns(), "o-of-somebody", "x-1"))
    assert account(far).busts == ()
    assert far.state is VenueState.AGREED


async def test_a_correction_is_a_bust_and_an_execution_of_its_own(far: VenueWorld) -> None:
    order = await filled(far, "k1")
    (execution,) = executions(far, order)
    link, now = far.links._links["far"], far.clock.now_ns()
    corrected = Executed(now, order.order_id, "x-corrected", 1_000_000, 109_950, cash="0")
    await link.hear(corrected)
    await link.hear(Busted(now, order.order_id, execution, cash="0"))
    position = far.desk.engine.book.position(ACCOUNT, "EURUSD")
    assert (position.size, position.cost) == (1_000_000, 1_000_000 * 109_950)
    assert far.now(order).status is OrderStatus.FILLED
    assert (await far.accounts.reconcile(ACCOUNT)).reconciled


async def test_the_list_of_fills_says_it(far: VenueWorld) -> None:
    order = await filled(far, "k1")
    await filled(far, "k2", "2000")
    await bust(far, order)
    await far.soon(lambda: size(far) == 200_000)
    await far.desk.durable()
    shown = await far.orders.fills(FillQuery(ACCOUNT))
    (execution,) = executions(far, order)
    assert [(each.fill.busts, each.busted) for each in shown] == [
        (execution, False),
        ("", False),
        ("", True),
    ]


async def test_more_of_them_at_once_than_one_question_holds(far: VenueWorld) -> None:
    orders = [await far.buy(f"k{number}", "1000") for number in range(MOST + 5)]
    await far.soon(lambda: size(far) == len(orders) * 100_000)
    far.far.faults = Faults(missing=1.0)
    for order in orders[1:]:
        await bust(far, order)
    far.far.faults = NONE
    await far.far.drop()
    await far.doubted()
    await far.agreed()
    assert size(far) == 100_000
    await far.same_books()
