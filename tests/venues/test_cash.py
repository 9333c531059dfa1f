"""What any venue behind the port has to do with cash; run against each subject."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.reports import CashMoved, Report
from services.trading_gateway.domain.values import CashKind, Side
from tests.trading_gateway.kit import START
from tests.venues.fold import fold
from tests.venues.subjects import ACCOUNT, FUNDS, Subject, asked, history, price, session

CASH = (
    CashMoved(START, ACCOUNT, "t-1", CashKind.FINANCING, "-1.2345", "USD", "EURUSD", "overnight"),
    CashMoved(START, ACCOUNT, "t-2", CashKind.COMMISSION, "-0.0351", "USD"),
    CashMoved(START, ACCOUNT, "t-3", CashKind.TRANSFER, "500", "USD"),
    CashMoved(START, ACCOUNT, "t-4", CashKind.ADJUSTMENT, "0.0001", "USD", detail="interest"),
)


def moved(reports: Iterable[Report]) -> dict[str, CashMoved]:
    """Cash that the venue moved by itself, by its id."""
    found: dict[str, CashMoved] = {}
    for each in reports:
        if isinstance(each, CashMoved):
            assert found.setdefault(each.transaction_id, each) == each, "a transaction changed"
    return found


async def test_cash_that_moves_by_itself_is_told_once_for_ever(subject: Subject) -> None:
    listener = await session(subject)
    before = (await history(subject)).cursor
    for each in (*CASH, CASH[0]):
        await subject.move_cash(each)
    await listener.until(lambda reports: len(moved(reports)) == len(CASH))
    assert moved((await history(subject, before)).reports) == {each.transaction_id: each for each in CASH}
    await subject.restart()
    await listener.ended()
    again = await session(subject)
    everything = (await history(subject)).reports
    assert sorted(each.transaction_id for each in everything if isinstance(each, CashMoved)) == sorted(
        each.transaction_id for each in CASH
    )
    await again.until(lambda reports: moved(reports) == moved(everything))
    await again.stop()


async def test_cash_that_moved_while_nobody_listened_is_among_the_changes(subject: Subject) -> None:
    listener = await session(subject)
    await subject.move_cash(CASH[0])
    cursor = (await history(subject)).cursor
    await subject.drop()
    await listener.ended()
    await subject.move_cash(CASH[1])
    resumed = await session(subject, cursor)
    assert [*moved((await history(subject, cursor)).reports)] == [CASH[1].transaction_id]
    await resumed.until(lambda reports: CASH[1].transaction_id in moved(reports))
    await resumed.stop()


async def test_its_balance_is_the_fold_of_fills_and_cash(subject: Subject) -> None:
    listener = await session(subject)
    sent: dict[str, Order] = {}
    for number in range(30):
        side = Side.BUY if number % 3 else Side.SELL
        order = asked(f"k{number}", side, "7000", limit=price(110_000 + side.sign * 100))
        sent[order.order_id] = order
        await subject.venue.submit(order)
        await subject.market(price(110_000 + number), price(110_007 + number), size=50_000)
        if number < len(CASH):
            await subject.move_cash(CASH[number])
    heard, seen = await history(subject), await subject.venue.snapshot()
    assert heard.cursor == seen.cursor
    folded = fold(sent, heard.reports)
    there = {account: Fraction(text) for account, text in seen.balances}
    total = sum(map(Fraction, folded.cash.values()), Fraction(FUNDS[2]))
    assert there == {ACCOUNT: total}
    assert len(folded.executions) > 20
    assert total != Fraction(FUNDS[2]) + sum(Fraction(each.amount) for each in CASH)
    await listener.stop()
