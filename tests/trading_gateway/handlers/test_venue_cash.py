"""Cash that a venue moves by itself, what it settles fills at, and differences that a person settles."""

from __future__ import annotations

import pytest

from services.errors import FxError, Kind
from services.trading_gateway.domain.accounts import Account
from services.trading_gateway.domain.events import AccountView
from services.trading_gateway.domain.reports import CashMoved
from services.trading_gateway.domain.transactions import Transaction
from services.trading_gateway.domain.values import CashKind, LedgerKind, OrderStatus, Side, VenueState
from services.trading_gateway.handlers import Adopting
from tests.trading_gateway.venue_world import ACCOUNT, VenueWorld
from tests.venues.fault_venue import NONE, Faults
from tests.venues.subjects import asked

HAND = "made by hand"


def account(far: VenueWorld) -> Account:
    return far.desk.engine.book.account(ACCOUNT)


async def heard(far: VenueWorld, moved: CashMoved) -> None:
    """Once it is booked."""
    known = far.desk.engine.book.cash_booked
    await far.soon(lambda: known(moved.account_id, moved.transaction_id))
    await far.desk.durable()


async def posted(far: VenueWorld, moved: CashMoved) -> Transaction:
    """The transaction that it led to."""
    found = await far.store.transactions(ACCOUNT, 0)
    (only,) = [each for each in found if each.reference == moved.transaction_id]
    return only


@pytest.mark.parametrize(
    ("kind", "counter", "figure"),
    [
        (CashKind.FINANCING, "financing", "financing"),
        (CashKind.COMMISSION, "commission", "commission"),
        (CashKind.TRANSFER, "funding", "transferred"),
        (CashKind.ADJUSTMENT, "adjustment", "adjusted"),
    ],
)
async def test_each_kind_is_a_balanced_posting_of_its_own(
    far: VenueWorld, kind: CashKind, counter: str, figure: str
) -> None:
    before = account(far)
    moved = await far.cash("t-1", kind, "-12.3456")
    await heard(far, moved)
    after, lines = account(far), (await posted(far, moved)).postings
    assert after.balance == before.balance - 1_235
    assert after.fraction == "0.0044"
    assert abs(getattr(after, figure)) == 1_235
    assert {(each.ledger_account, each.amount) for each in lines} == {
        (counter, "12.3456"),
        ("cash", "-12.35"),
        ("rounding", "0.0044"),
    }
    entry = (await far.store.ledger(ACCOUNT, 1, 10))[-1]
    assert (entry.kind, entry.amount, entry.source_amount) == (LedgerKind(kind.value), -1_235, "-12.3456")
    await far.same_books()


async def test_a_payment_is_no_result_of_trading(far: VenueWorld) -> None:
    before = account(far)
    await heard(far, await far.cash("t-1", CashKind.TRANSFER, "-400000"))
    after = account(far)
    assert after.day_start_equity == before.day_start_equity - 40_000_000
    assert after.peak_equity == before.peak_equity - 40_000_000
    order = await far.buy("k1")  # neither the loss of the day nor the drawdown stops it
    await far.soon(far.is_(order, OrderStatus.FILLED))
    await heard(far, await far.cash("t-2", CashKind.FINANCING, "-10"))
    assert account(far).day_start_equity == after.day_start_equity


async def test_amounts_below_a_minor_unit_add_up(far: VenueWorld) -> None:
    moved = [await far.cash(f"t-{number}", CashKind.FINANCING, "0.0010") for number in range(25)]
    await heard(far, moved[-1])
    assert (account(far).balance, account(far).fraction) == (100_000_002, "0.005")
    await far.same_books()


async def test_it_is_booked_once_whoever_tells_it_and_however_often(far: VenueWorld) -> None:
    far.far.faults = Faults(doubled=0.6, late=0.5, shuffled=0.8)
    for number in range(20):
        await far.cash(f"t-{number}", CashKind.FINANCING, f"-{number}.5")
    await far.eventually(lambda: account(far).balance == 100_000_000 - 20_000)
    await far.killed()  # what was booked in a life before is told again
    await far.agreed()
    await far.far.drop()
    await far.doubted()
    await far.agreed()
    again = far.far.books.after("").reports
    await far.links._links["far"]._book(again)  # from the very beginning
    await far.same_books()


async def test_what_was_lost_is_found_by_asking(far: VenueWorld) -> None:
    far.far.faults = Faults(missing=1.0)
    await far.cash("t-1", CashKind.FINANCING, "-3.5")
    await far.rest()
    assert account(far).balance == 100_000_000
    far.far.faults = NONE
    await far.far.drop()
    await far.doubted()
    await far.agreed()
    assert account(far).balance == 100_000_000 - 350
    await far.same_books()


async def test_financing_shows_on_its_position(far: VenueWorld) -> None:
    order = await far.buy("k1")
    await far.soon(far.is_(order, OrderStatus.FILLED))
    await heard(far, await far.cash("t-1", CashKind.FINANCING, "-1.25", "EURUSD"))
    assert far.desk.engine.book.position(ACCOUNT, "EURUSD").financing == -125
    await far.same_books()


async def test_another_currency_is_converted_at_the_market(far: VenueWorld) -> None:
    moved = CashMoved(far.clock.now_ns(), ACCOUNT, "t-1", CashKind.COMMISSION, "-2.50", "EUR")
    await far.links._links["far"].hear(moved)
    assert account(far).commission == 275  # bought at 1.1001
    transaction = await posted(far, moved)
    assert [each.symbol for each in transaction.legs] == ["EURUSD"]
    assert (await far.accounts.reconcile(ACCOUNT)).reconciled


async def test_a_fill_is_what_its_prices_say_and_the_rest_an_adjustment(far: VenueWorld) -> None:
    first = await far.buy("k1", "1000")
    await far.soon(far.is_(first, OrderStatus.FILLED))
    await far.tick(("1.10123", "1.10133"), sizes=(100_000, 100_000))
    second = await far.sell("k2", "333")
    await far.soon(far.is_(second, OrderStatus.FILLED))
    assert account(far).realised == 38  # 333 × 0.00113 = 0.37629
    assert (account(far).balance, account(far).fraction) == (100_000_038, "-0.0037")
    await far.same_books()


async def test_an_amount_that_is_none_is_not_booked(far: VenueWorld) -> None:
    moved = CashMoved(far.clock.now_ns(), ACCOUNT, "t-1", CashKind.ADJUSTMENT, "1e5", "USD")
    with pytest.raises(FxError) as refused:
        await far.links._links["far"].hear(moved)
    assert refused.value.reason == "VALIDATION_FAILED"
    assert account(far).balance == 100_000_000


async def test_cash_of_an_account_elsewhere_is_nobodys(far: VenueWorld) -> None:
    await far.accounts.open("r-paper", "here", "USD", "100", auto_trade=False)
    for account_id in ("here", "nobody"):
        moved = CashMoved(far.clock.now_ns(), account_id, "t-1", CashKind.ADJUSTMENT, "5", "USD")
        await far.links._links["far"].hear(moved)
    assert far.desk.engine.book.account("here").balance == 10_000


# Differences


async def differs(far: VenueWorld) -> tuple[tuple[str, str, str], ...]:
    """The differences, once they are found."""
    far.links._links["far"].wake()
    await far.eventually(lambda: far.state is VenueState.DIFFERS)
    return account(far).venue_differences


async def adopt(
    far: VenueWorld, difference: tuple[str, str, str], price: str = "", request_id: str = "r-adopt"
) -> AccountView:
    return await Adopting(far.desk, far.links).adopt(request_id, ACCOUNT, difference, price, HAND, "anna")


async def test_a_balance_that_differs_is_adopted_and_the_account_trades(far: VenueWorld) -> None:
    far.far.books.cash.fund(ACCOUNT, "USD", "12.3456")  # before the gateway's time: no report says it
    (difference,) = await differs(far)
    assert difference == ("", "1000012.3456", "1000000")
    view = await adopt(far, difference)
    assert (view.account.venue_state, view.account.venue_differences) == (VenueState.AGREED, ())
    assert (view.account.balance, view.account.fraction) == (100_001_235, "-0.0044")
    last = (await far.store.transactions(ACCOUNT, 0))[-1]
    assert last.reference == "adopted-r-adopt"
    assert last.detail == "1000012.3456 at the venue for 1000000 here, by anna: made by hand"
    again = await adopt(far, difference)  # the same request: once
    assert again.account.transactions == view.account.transactions
    order = await far.buy("k1")
    await far.soon(far.is_(order, OrderStatus.FILLED))
    await far.same_books()
    await far.killed()
    await far.agreed()


async def test_an_adopted_loss_counts_against_the_limits_of_loss(far: VenueWorld) -> None:
    before = account(far)
    far.far.books.cash.fund(ACCOUNT, "USD", "-120000")  # of a million; a tenth may be lost in a day
    (difference,) = await differs(far)
    await adopt(far, difference)
    after = account(far)
    assert after.balance == before.balance - 12_000_000
    assert (after.day_start_equity, after.peak_equity) == (before.day_start_equity, before.peak_equity)
    with pytest.raises(FxError) as refused:
        await far.buy("k1")
    assert refused.value.reason == "DAILY_LOSS_LIMIT"
    await far.same_books()


async def test_an_adopted_gain_is_a_new_peak_of_the_equity(far: VenueWorld) -> None:
    before = account(far)
    far.far.books.cash.fund(ACCOUNT, "USD", "50")
    (difference,) = await differs(far)
    await adopt(far, difference)
    after = account(far)
    assert after.day_start_equity == before.day_start_equity
    assert after.peak_equity == before.peak_equity + 5_000


async def test_figures_that_no_longer_stand_are_not_adopted(far: VenueWorld) -> None:
    far.far.books.cash.fund(ACCOUNT, "USD", "10")
    (shown,) = await differs(far)
    far.far.books.cash.fund(ACCOUNT, "USD", "5")  # meanwhile
    with pytest.raises(FxError) as refused:
        await adopt(far, shown)
    assert (refused.value.kind, refused.value.reason) == (Kind.ABORTED, "DIFFERENCE_CHANGED")
    assert "1000015 there and 1000000 here" in refused.value.detail
    assert account(far).balance == 100_000_000
    await heard(far, await far.cash("t-1", CashKind.TRANSFER, "1"))
    with pytest.raises(FxError):
        await adopt(far, ("", "1000015", "1000000"))
    view = await adopt(far, ("", "1000016", "1000001"))
    assert view.account.venue_state is VenueState.AGREED
    with pytest.raises(FxError) as nothing:
        await adopt(far, ("", "1000016", "1000001"), request_id="r-again")
    assert "does not differ" in nothing.value.detail


async def test_a_position_that_somebody_opened_there_is_adopted_at_its_price(far: VenueWorld) -> None:
    order = asked("by hand", Side.SELL, "3000", limit="1.10000")
    await far.far.submit(order)
    far.far.books.orders.pop(order.order_id)  # no order of ours, and its picture shows none
    far.far.books.log.clear()
    (difference,) = await differs(far)
    assert difference == ("EURUSD", "-3000", "0")
    with pytest.raises(FxError) as priceless:
        await adopt(far, difference)
    assert priceless.value.reason == "PRICE_REQUIRED"
    view = await adopt(far, difference, "1.10000")
    assert view.account.venue_state is VenueState.AGREED
    position = far.desk.engine.book.position(ACCOUNT, "EURUSD")
    assert (position.size, position.cost) == (-300_000, -300_000 * 110_000)
    assert (await far.accounts.reconcile(ACCOUNT)).reconciled


async def test_what_only_the_venue_closed_is_closed_with_its_profit(far: VenueWorld) -> None:
    first = await far.buy("k1", "1000")
    await far.soon(far.is_(first, OrderStatus.FILLED))
    far.far.books._held.clear()  # by telephone
    (difference,) = await differs(far)
    assert difference == ("EURUSD", "0", "1000")
    view = await adopt(far, difference, "1.10510")
    assert view.account.realised == 500
    assert view.account.venue_differences == (("", "1000000", "1000005"),)
    view = await adopt(far, ("", "1000000", "1000005"), request_id="r-cash")
    assert view.account.venue_state is VenueState.AGREED
    assert (await far.accounts.reconcile(ACCOUNT)).reconciled


async def test_a_venue_that_is_away_and_paper_have_nothing_to_adopt(far: VenueWorld) -> None:
    await far.accounts.open("r-paper", "here", "USD", "100", auto_trade=False)
    adopting = Adopting(far.desk, far.links)
    with pytest.raises(FxError) as paper:
        await adopting.adopt("r-1", "here", ("", "1", "100"), "", HAND, "anna")
    assert (paper.value.kind, paper.value.reason) == (Kind.FAILED_PRECONDITION, "NO_VENUE")
    await far.far.drop()
    await far.doubted()
    with pytest.raises(FxError) as away:
        await adopt(far, ("", "1", "1000000"))
    assert (away.value.kind, away.value.reason) == (Kind.UNAVAILABLE, "VENUE_AWAY")
