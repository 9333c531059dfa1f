"""The books against a venue outside: what is different, what repairs it, and what only a person can settle.

Repairs are inputs like any other: reports of what the venue has done, a cancel for an order that should not
be there, a question about one that should. What none of these explains stays a difference, and the account
takes no new risk until it is gone. Nothing is ever assumed: a missing fill is not invented.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TypeAlias

from services.market.instruments import INSTRUMENTS
from services.money.exact import exact_text
from services.trading_gateway.domain import adopting, busting, venue_cash
from services.trading_gateway.domain.accounts import Account
from services.trading_gateway.domain.book import Book
from services.trading_gateway.domain.changes import Replace, Request, VenueCursor, Withdraw
from services.trading_gateway.domain.inputs import Orphaned, VenueAdopted, VenueRead, VenueStood
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.reports import (
    Accepted,
    Amended,
    CashMoved,
    Ended,
    OrderReport,
    Trailed,
    Triggered,
)
from services.trading_gateway.domain.values import OrderStatus, VenueState
from services.trading_gateway.domain.venue_views import Snapshot, VenueOrder

ABSENT = ("NOT_AT_VENUE", "the venue does not have it after the settle window")
MOST_WORDS = 3
"""Differences that an account spells out."""
_UNHEARD = (OrderStatus.PLACED, OrderStatus.UNKNOWN)


Linked: TypeAlias = VenueStood | VenueRead | VenueAdopted | Orphaned | CashMoved
"""Inputs between an account and its venue that are not about one order's life."""


def news(book: Book, asked: Linked) -> bool:
    """False for what the books know already."""
    match asked:
        case VenueStood():
            account = book.account(asked.account_id)
            known = (account.venue_state, account.venue_detail, account.venue_differences)
            return known != (asked.state, asked.detail, asked.differences)
        case VenueRead():
            return book.cursors.get(asked.venue) != asked.cursor
        case CashMoved():
            return not book.cash_booked(asked.account_id, asked.transaction_id)
        case VenueAdopted() | Orphaned():
            return True


def apply(book: Book, asked: Linked) -> None:
    """Take one of these inputs. Raises FxError `UNKNOWN_ACCOUNT`, `UNKNOWN_ORDER`, and as `venue_cash.move`
    and `adopting.adopt`.
    """
    match asked:
        case VenueStood():
            account = book.account(asked.account_id)
            stood = replace(
                account,
                venue_state=asked.state,
                venue_detail=asked.detail,
                venue_differences=asked.differences,
            )
            book.tell_account(book.put_account(stood, asked.time_ns))
        case VenueRead():
            book.put_cursor(VenueCursor(asked.venue, asked.cursor))
        case Orphaned():
            book.changes.requests.append(Withdraw(book.order(asked.order_id).order_id))
        case CashMoved():
            venue_cash.move(book, asked)
        case VenueAdopted():
            adopting.adopt(book, asked)


def accounts_of(book: Book, venue: str) -> list[Account]:
    """Accounts on a venue, by id."""
    return [book.accounts[each] for each in sorted(book.accounts) if book.accounts[each].venue == venue]


def doubts(book: Book, venue: str, time_ns: int, why: str) -> list[VenueStood]:
    """What is said of the accounts on a venue (no name: on any but paper) until they were compared."""
    found = [each for each in book.accounts.values() if each.venue == venue or not (venue or each.on_paper)]
    return [VenueStood(time_ns, each.account_id, VenueState.RECONCILING, why) for each in found]


def verdict(account: Account, found: Findings, waiting_for: int, time_ns: int) -> VenueStood:
    """How an account stands after a comparison; what agreed before is not doubted for an order on its way."""
    words = found.differences.get(account.account_id)
    if words:
        more = f" and {len(words) - MOST_WORDS} more" if len(words) > MOST_WORDS else ""
        detail = "; ".join(words[:MOST_WORDS]) + more
        figures = tuple(found.figures.get(account.account_id, ()))
        return VenueStood(time_ns, account.account_id, VenueState.DIFFERS, detail, figures)
    if waiting_for and account.venue_state is not VenueState.AGREED:
        detail = f"{waiting_for} orders of unknown outcome"
        return VenueStood(time_ns, account.account_id, VenueState.RECONCILING, detail)
    return VenueStood(time_ns, account.account_id, VenueState.AGREED, "")


@dataclass(slots=True)
class Findings:
    """What a comparison came to."""

    reports: list[OrderReport] = field(default_factory=list)
    """What the venue has done and the books do not know."""
    again: list[Request] = field(default_factory=list)
    """What it was asked for and has not done."""
    orphans: list[str] = field(default_factory=list)
    """Orders that it works and that are over in the books."""
    missing: list[str] = field(default_factory=list)
    """Orders that the books have and its picture has not: to be asked for by name."""
    differences: dict[str, list[str]] = field(default_factory=dict)
    """By account, in words."""
    figures: dict[str, list[tuple[str, str, str]]] = field(default_factory=dict)
    """Those of them that one may adopt, as `Account.venue_differences`."""

    def differs(self, account_id: str, words: str) -> None:
        """Note what nothing here repairs."""
        self.differences.setdefault(account_id, []).append(words)


def compare(
    book: Book, venue: str, seen: Snapshot, sent: Collection[str], under_way: Collection[str]
) -> Findings:
    """The books against a picture of the venue.

    Orders `under_way` are left alone: something about them is being sent or asked. So are those of which
    nothing was `sent` and that the venue never confirmed: what they ask for may not be durable yet.
    """
    found = Findings()
    for theirs in seen.orders:
        if theirs.order_id in under_way:
            continue
        ours = book.orders.get(theirs.order_id)
        if ours is None:
            found.differs(theirs.account_id, f"order {theirs.order_id} at the venue is not of this gateway")
        elif ours.final and ours.filled < theirs.size:
            found.orphans.append(ours.order_id)
        else:
            _compare_order(found, ours, theirs)
    found.again = [each for each in found.again if each.order_id in sent]
    there = {each.order_id for each in seen.orders}
    accounts = {each.account_id for each in accounts_of(book, venue)}
    for order in book.working():
        expected = order.account_id in accounts and (order.at_venue or order.order_id in sent)
        if expected and order.order_id not in there and order.order_id not in under_way:
            found.missing.append(order.order_id)
    _compare_holdings(found, book, seen, accounts)
    _compare_balances(found, book, seen, accounts)
    for account_id in sorted(accounts):
        for execution_id, _ in book.account(account_id).busts:
            found.differs(account_id, f"execution {execution_id} is busted there and unknown here")
            found.figures.setdefault(account_id, []).append((execution_id, *busting.UNKNOWN))
    return found


def resolve(ours: Order, theirs: VenueOrder) -> Findings:
    """What a venue's word on one order comes to."""
    found = Findings()
    if ours.final:
        if not theirs.status.final:
            found.orphans.append(ours.order_id)
    else:
        _compare_order(found, ours, theirs)
    return found


def absent(ours: Order, time_ns: int) -> OrderReport:
    """The end of an order that the venue does not have after the settle window."""
    if ours.status is OrderStatus.PENDING_CANCEL:
        return Ended(time_ns, ours.order_id, OrderStatus.CANCELLED, ours.reason, ours.reason_detail)
    never = ours.status in _UNHEARD
    return Ended(time_ns, ours.order_id, OrderStatus.REJECTED if never else OrderStatus.CANCELLED, *ABSENT)


def waiting(order: Order) -> bool:
    """True for an order of which the venue has to say something."""
    return order.status in (*_UNHEARD, OrderStatus.PENDING_AMEND, OrderStatus.PENDING_CANCEL)


def _compare_order(found: Findings, ours: Order, theirs: VenueOrder) -> None:
    if ours.filled != theirs.filled:
        words = f"order {ours.order_id} has filled {theirs.filled} there and {ours.filled} here"
        found.differs(ours.account_id, words)
    reports = list(_unknown_of(ours, theirs))
    found.reports += reports
    if theirs.status.final or reports:
        return
    if ours.status is OrderStatus.PENDING_CANCEL:
        found.again.append(Withdraw(ours.order_id))
    elif ours.status is OrderStatus.PENDING_AMEND:
        found.again.append(Replace(ours.order_id))
    elif (ours.size, ours.limit, ours.stop) != (theirs.size, theirs.limit, theirs.stop):
        found.differs(ours.account_id, f"order {ours.order_id} works with other terms there")


def _unknown_of(ours: Order, theirs: VenueOrder) -> Iterator[OrderReport]:
    """Reports of what the books do not know."""
    time_ns, order_id = theirs.time_ns, ours.order_id
    if ours.status in _UNHEARD and theirs.status is not OrderStatus.REJECTED:
        yield Accepted(time_ns, order_id)
    if theirs.triggered and not ours.triggered:
        yield Triggered(time_ns, order_id)
    if ours.amend_revision and theirs.revision == ours.amend_revision:
        yield Amended(
            time_ns, order_id, theirs.size, theirs.limit, theirs.stop, theirs.trail, theirs.revision
        )
    elif _trailed(ours, theirs) and theirs.stop is not None:
        yield Trailed(time_ns, order_id, theirs.stop)
    if theirs.status.final and theirs.status is not OrderStatus.FILLED:
        yield Ended(time_ns, order_id, theirs.status, theirs.reason, theirs.detail)


def _trailed(ours: Order, theirs: VenueOrder) -> bool:
    if ours.trail is None or theirs.stop is None or ours.triggered:
        return False
    return ours.stop is None or (ours.stop - theirs.stop) * ours.side.sign > 0


def _compare_holdings(found: Findings, book: Book, seen: Snapshot, accounts: Collection[str]) -> None:
    there = {(each.account_id, each.symbol): each.size for each in seen.holdings}
    here = {
        (each.account_id, each.symbol): each.size
        for account_id in accounts
        for each in book.positions_of(account_id)
        if not each.flat
    }
    for account_id, symbol in sorted(there.keys() | here.keys()):
        held, booked = there.get((account_id, symbol), 0), here.get((account_id, symbol), 0)
        if held != booked:
            texts = (adopting.size_text(symbol, held), adopting.size_text(symbol, booked))
            found.differs(account_id, f"{symbol} is {texts[0]} there and {texts[1]} here")
            if symbol in INSTRUMENTS and account_id in accounts:
                found.figures.setdefault(account_id, []).append((symbol, *texts))


def _compare_balances(found: Findings, book: Book, seen: Snapshot, accounts: Collection[str]) -> None:
    """To the last digit that the venue tells."""
    for account_id, told in seen.balances:
        if account_id not in accounts:
            continue
        theirs, account = Fraction(told), book.account(account_id)
        if theirs != venue_cash.exact_balance(account):
            texts = (exact_text(theirs), venue_cash.balance_text(account))
            found.differs(account_id, f"balance is {texts[0]} there and {texts[1]} {account.currency} here")
            found.figures.setdefault(account_id, []).append(("", *texts))
