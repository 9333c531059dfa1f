"""Cash that a venue outside moves by itself, and what it settles a fill at.

The balance there is the truth: each amount is posted as the venue told it, so that after everything was heard
both balances are equal to the last digit. What the venue's conversion of a profit makes of a fill beyond what
our own comes to is an adjustment of its own, so that the fill stays what its prices say.
"""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction

from services.errors import VALIDATION_FAILED, invalid_field
from services.market.instruments import INSTRUMENTS
from services.money.conversion import ExactAmount, convert
from services.money.currencies import currency
from services.money.exact import exact_text
from services.trading_gateway.domain import bookkeeping, valuation
from services.trading_gateway.domain.accounts import Account
from services.trading_gateway.domain.book import Book
from services.trading_gateway.domain.bookkeeping import Occasion
from services.trading_gateway.domain.events import PositionChanged
from services.trading_gateway.domain.fills import Fill
from services.trading_gateway.domain.reports import CashMoved
from services.trading_gateway.domain.values import CashKind, LedgerKind

_DECIMAL = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII)
SETTLED = "what the venue settled it at beyond the profit and commission booked"


def amount_of(text: str) -> Fraction:
    """An amount that a venue told. Raises FxError INVALID_ARGUMENT `VALIDATION_FAILED`."""
    if not _DECIMAL.fullmatch(text):
        raise invalid_field(VALIDATION_FAILED, "amount", f"{text!r} is no decimal amount")
    return Fraction(text)


def exact_balance(account: Account) -> Fraction:
    """Cash with what its venue told beyond minor units."""
    return Fraction(account.balance, 10 ** currency(account.currency).digits) + Fraction(account.fraction)


def move(book: Book, moved: CashMoved) -> Account:
    """Book it, the first time. Raises FxError `UNKNOWN_ACCOUNT`, `VALIDATION_FAILED`, or for a currency that
    no quote leads from.
    """
    account, exact = book.account(moved.account_id), amount_of(moved.amount)
    if book.cash_booked(moved.account_id, moved.transaction_id):
        return account
    kind = LedgerKind(moved.kind.value)
    occasion = Occasion(moved.transaction_id, moved.symbol, moved.time_ns, detail=moved.detail)
    if moved.currency == account.currency:
        after = bookkeeping.told(book, account, kind, exact, occasion)
    else:
        digits = len(moved.amount.partition(".")[2])
        source = ExactAmount(int(exact * 10**digits), digits, moved.currency)
        conversion = convert(source, account.currency, book.markets.rates(account.session_id))
        after = bookkeeping.charge(book, account, kind, conversion, 1, occasion)
    book.note_cash(moved.account_id, moved.transaction_id)
    posted = after.balance - account.balance
    after = _counted(after, moved.kind, posted)
    if moved.kind is CashKind.FINANCING:
        _finance(book, moved, posted)
    if moved.kind is not CashKind.TRANSFER:
        after = valuation.at_peak(book, after)
    kept = book.put_account(after, moved.time_ns)
    book.tell_account(kept)
    return kept


def settle_fill(book: Book, account: Account, fill: Fill, cash: str) -> Account:
    """The account after a fill that the venue settled at `cash` in all. Raises FxError
    `VALIDATION_FAILED`.
    """
    booked = Fraction(fill.realised - fill.commission, 10 ** currency(account.currency).digits)
    beyond = amount_of(cash) - booked
    if not beyond:
        return account
    occasion = Occasion(fill.execution_id, fill.symbol, fill.time_ns, fill.execution_id, SETTLED)
    return adjust(book, account, beyond, occasion)


def adjust(book: Book, account: Account, exact: Fraction, occasion: Occasion) -> Account:
    """The account after an adjustment."""
    after = bookkeeping.told(book, account, LedgerKind.ADJUSTMENT, exact, occasion)
    return _counted(after, CashKind.ADJUSTMENT, after.balance - account.balance)


def balance_text(account: Account) -> str:
    """The exact balance, to be compared with the venue's."""
    return exact_text(exact_balance(account))


def _counted(account: Account, kind: CashKind, posted: int) -> Account:
    match kind:
        case CashKind.FINANCING:
            return replace(account, financing=account.financing + posted)
        case CashKind.COMMISSION:
            return replace(account, commission=account.commission - posted)
        case CashKind.TRANSFER:
            return _paid(account, posted)
        case CashKind.ADJUSTMENT:
            return replace(account, adjusted=account.adjusted + posted)


def _paid(account: Account, amount: int) -> Account:
    """The account after a transfer, which alone is no result: the marks of its loss limits move along, so
    that neither does a payment out count as a loss, nor does one in hide any.
    """
    return replace(
        account,
        transferred=account.transferred + amount,
        day_start_equity=account.day_start_equity + amount,
        peak_equity=account.peak_equity + amount,
    )


def _finance(book: Book, moved: CashMoved, posted: int) -> None:
    """The position that it was moved for, where there was one, shows it."""
    if moved.symbol not in INSTRUMENTS or not posted:
        return
    position = book.position(moved.account_id, moved.symbol)
    if position.revision:
        financed = replace(
            position,
            financing=position.financing + posted,
            updated_ns=max(position.updated_ns, moved.time_ns),
            revision=position.revision + 1,
        )
        kept = book.put_position(financed)
        book.tell(PositionChanged(valuation.position_view(book, kept), by_fill=False))
