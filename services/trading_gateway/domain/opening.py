"""Accounts: opening with a first deposit, the kill switch, the start of a trading day."""

from __future__ import annotations

from dataclasses import replace

from services.errors import FxError, Kind
from services.market.calendar import civil_day, roll_ns
from services.trading_gateway.domain import bookkeeping, financing, valuation
from services.trading_gateway.domain.accounts import Account, Standing
from services.trading_gateway.domain.book import Book
from services.trading_gateway.domain.events import TradingStateChanged
from services.trading_gateway.domain.inputs import (
    DayRolled,
    OpenAccount,
    SetStanding,
    SetTradingState,
)
from services.trading_gateway.domain.values import PAPER, TradingState, VenueState


def open_account(book: Book, asked: OpenAccount) -> Account:
    """A new account with its deposit posted. Raises FxError ALREADY_EXISTS `ACCOUNT_EXISTS`."""
    if asked.account_id in book.accounts:
        raise FxError(Kind.ALREADY_EXISTS, "ACCOUNT_EXISTS", f"account {asked.account_id} exists already")
    venue_state = VenueState.AGREED if asked.venue == PAPER else VenueState.RECONCILING
    account = Account(
        account_id=asked.account_id,
        currency=asked.currency,
        session_id=asked.session_id,
        auto_trade=asked.auto_trade,
        balance=0,
        deposited=asked.deposit,
        realised=0,
        commission=0,
        trading_state=book.standing.state,
        state_reason=book.standing.reason,
        day_start_equity=asked.deposit,
        day_roll_ns=next_roll(asked.time_ns),
        peak_equity=asked.deposit,
        ledger_entries=0,
        created_ns=asked.time_ns,
        updated_ns=asked.time_ns,
        venue=asked.venue,
        venue_state=venue_state,
        venue_detail="" if asked.venue == PAPER else "the account is new",
        mode=asked.mode,
    )
    account = bookkeeping.deposit(book, account, asked.deposit, asked.time_ns)
    opened = book.put_account(account, asked.time_ns)
    book.tell_account(opened)
    if opened.trading_state is not TradingState.ACTIVE:
        _tell_state(book, opened, asked.time_ns, everywhere=True)
    return opened


def set_trading_state(book: Book, asked: SetTradingState) -> Account:
    """The kill switch; setting the state it has, for the same reason, changes nothing.

    Where all are set at once each account says so: that all trade again ends what halted them all.
    """
    account = book.account(asked.account_id)
    same = (account.trading_state, account.state_reason) == (asked.state, asked.reason)
    if same and not asked.everywhere:
        return account
    changed = replace(account, trading_state=asked.state, state_reason=asked.reason)
    account = book.put_account(changed, asked.time_ns)
    _tell_state(book, account, asked.time_ns, everywhere=asked.everywhere)
    return account


def set_standing(book: Book, asked: SetStanding) -> Standing:
    """Accounts opened from now on, of replays too, begin with this state."""
    return book.put_standing(Standing(asked.state, asked.reason))


def roll_day(book: Book, due: DayRolled) -> Account:
    """17:00 New York: positions are financed, and the daily loss counts from the equity after that.

    A roll that was done already changes nothing, so that none is financed twice.
    """
    account = book.account(due.account_id)
    if due.time_ns < account.day_roll_ns:
        return account
    financed = financing.post(book, account, due)
    equity = valuation.account_view(book, financed).equity
    rolled = replace(
        financed,
        day_start_equity=equity,
        day_roll_ns=next_roll(due.time_ns),
        peak_equity=max(account.peak_equity, equity),
    )
    rolled = book.put_account(rolled, due.time_ns)
    if rolled.transactions > account.transactions:
        book.tell_account(rolled)
    return rolled


def _tell_state(book: Book, account: Account, time_ns: int, *, everywhere: bool) -> None:
    state, reason = account.trading_state, account.state_reason
    book.tell(TradingStateChanged(account.account_id, account.revision, state, reason, time_ns, everywhere))


def next_roll(time_ns: int) -> int:
    """The first 17:00 New York after `time_ns`."""
    return roll_ns(civil_day(time_ns))
