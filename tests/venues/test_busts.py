"""What any venue behind the port has to do that takes executions back; run against each subject."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.reports import Busted, Executed, Report
from services.trading_gateway.domain.values import Side
from tests.venues.fold import fold
from tests.venues.subjects import ACCOUNT, FUNDS, Session, Subject, asked, history, price, session


def busted(reports: Iterable[Report]) -> dict[tuple[str, str], Busted]:
    """Those taken back, by order and execution."""
    found: dict[tuple[str, str], Busted] = {}
    for each in reports:
        if isinstance(each, Busted):
            key = each.order_id, each.execution_id
            assert found.setdefault(key, each) == each, "a bust changed"
    return found


def told(reports: Iterable[Report]) -> list[Executed]:
    """Executions, each once."""
    return [
        *{(each.order_id, each.execution_id): each for each in reports if isinstance(each, Executed)}.values()
    ]


async def heard(listener: Session, found: list[Executed]) -> list[Executed]:
    """The same, once the session told all of it."""
    await listener.until(lambda reports: len(told(reports)) == len(found))
    return found


async def trade(subject: Subject, listener: Session, *orders: Order) -> list[Executed]:
    """Executions of orders that fill, in parts of at most 5,000."""
    for order in orders:
        await subject.venue.submit(order)
    for _ in range(200):
        found = told((await history(subject)).reports)
        if sum(each.size for each in found) == sum(each.size for each in orders):
            return await heard(listener, found)
        await subject.market("1.10000", "1.10010", size=5_000)
    raise AssertionError("they never filled")


async def test_an_execution_is_taken_back_once_for_ever(subject: Subject) -> None:
    listener = await session(subject)
    order = asked("k1", Side.BUY, "25000")
    executions = await trade(subject, listener, order)
    taken = executions[0]
    for _ in range(3):
        await subject.bust(order.order_id, taken.execution_id)
    await listener.until(lambda reports: (order.order_id, taken.execution_id) in busted(reports))
    await subject.restart()
    await listener.ended()
    again = await session(subject)
    everything = (await history(subject)).reports
    assert [each.execution_id for each in everything if isinstance(each, Busted)] == [taken.execution_id]
    await again.until(lambda reports: bool(busted(reports)))
    await again.stop()


async def test_it_is_among_the_changes_where_nobody_listened(subject: Subject) -> None:
    listener = await session(subject)
    order = asked("k1", Side.BUY)
    (taken, *_) = await trade(subject, listener, order)
    cursor = (await history(subject)).cursor
    await subject.drop()
    await listener.ended()
    await subject.bust(order.order_id, taken.execution_id)
    resumed = await session(subject, cursor)
    missed = (await history(subject, cursor)).reports
    assert [*busted(missed)] == [(order.order_id, taken.execution_id)]
    await resumed.until(lambda reports: busted(reports) == busted(missed))
    await resumed.stop()


async def test_its_order_is_over_or_not_as_the_report_says(subject: Subject) -> None:
    listener = await session(subject)
    order = asked("k1", Side.BUY)
    executions = await trade(subject, listener, order)
    for number, each in enumerate(executions, 1):
        await subject.bust(order.order_id, each.execution_id)
        heard = (await history(subject)).reports
        theirs, ours = await subject.venue.order(order.order_id), fold({order.order_id: order}, heard)
        assert theirs is not None
        after = ours.orders[order.order_id]
        assert len(busted(heard)) == number
        assert (theirs.filled, theirs.status) == (after.filled, after.status)
    await listener.stop()


async def test_its_picture_and_its_cash_are_those_of_what_is_left(subject: Subject) -> None:
    listener = await session(subject)
    sent: dict[str, Order] = {}
    for number in range(12):
        side = Side.BUY if number % 3 else Side.SELL
        order = asked(f"k{number}", side, "7000", limit=price(110_000 + side.sign * 100))
        sent[order.order_id] = order
        await subject.venue.submit(order)
        await subject.market(price(110_000 + number), price(110_007 + number), size=50_000)
    for each in told((await history(subject)).reports)[::3]:
        await subject.bust(each.order_id, each.execution_id)
    heard, seen = await history(subject), await subject.venue.snapshot()
    assert heard.cursor == seen.cursor
    folded = fold(sent, heard.reports)
    assert len(busted(heard.reports)) > 3
    assert seen.holdings == folded.holdings
    total = sum(map(Fraction, folded.cash.values()), Fraction(FUNDS[2]))
    assert {account: Fraction(text) for account, text in seen.balances} == {ACCOUNT: total}
    await listener.stop()
