"""What moves cash or a position, written down: an entry of the cash ledger and a balanced transaction.

The only place where cash changes. `transactions` says which ledger accounts there are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from services.market.instruments import instrument
from services.money.conversion import Conversion, ExactAmount, convert
from services.money.currencies import currency
from services.money.decimals import format_trimmed
from services.money.exact import exact_text
from services.money.rounding import round_fraction
from services.trading_gateway.domain.accounts import Account
from services.trading_gateway.domain.book import Book
from services.trading_gateway.domain.fills import Fill, LedgerEntry
from services.trading_gateway.domain.transactions import (
    ADJUSTMENT,
    CASH,
    COMMISSION,
    CONVERSION,
    FINANCING,
    FUNDING,
    ROUNDING,
    Posting,
    Transaction,
    TransactionKind,
    cost_of,
    position_of,
    profit_of,
    venue_of,
)
from services.trading_gateway.domain.values import LedgerKind


@dataclass(frozen=True, slots=True)
class Occasion:
    """What a posting is made for."""

    reference: str
    symbol: str
    time_ns: int
    execution_id: str = ""
    detail: str = ""
    note: str = ""
    """Stays with the transaction, whether or not cash moves."""


def deposit(book: Book, account: Account, amount: int, time_ns: int) -> Account:
    """The account with cash paid in."""
    paid = Fraction(amount, 10 ** currency(account.currency).digits)
    occasion = Occasion("", "", time_ns)
    account = _entered(book, account, LedgerKind.DEPOSIT, amount, exact_text(paid), occasion)
    lines = [(CASH, account.currency, paid), (FUNDING, account.currency, -paid)]
    return _written(book, account, TransactionKind.DEPOSIT, account.ledger_entries, occasion, lines)


def trade(
    book: Book,
    account: Account,
    occasion: Occasion,
    fill: Fill,
    profit: Conversion | None,
    kind: TransactionKind = TransactionKind.FILL,
) -> Account:
    """The account after a fill: units against the venue, their cost, and the profit that it realised settled
    in cash; None for a fill that closed nothing.
    """
    of = instrument(fill.symbol)
    units, scale = Fraction(fill.signed_size, 10**of.size_digits), 10 ** (of.size_digits + of.digits)
    paid, gained = Fraction(fill.signed_size * fill.price, scale), Fraction(fill.realised_quote, scale)
    lines = [
        (position_of(of.symbol), of.base, units),
        (venue_of(of.symbol), of.base, -units),
        (cost_of(of.symbol), of.quote, paid + gained),
        (venue_of(of.symbol), of.quote, -paid),
        (profit_of(of.symbol), of.quote, -gained),
    ]
    if profit is None:
        return _written(book, account, kind, 0, occasion, lines)
    account = _entered(
        book, account, LedgerKind.REALISED_PROFIT, profit.money.raw, _source(profit, 1), occasion, profit
    )
    lines += _settlement(venue_of(of.symbol), profit, 1)
    entry = account.ledger_entries
    return _written(book, account, kind, entry, occasion, lines, profit)


def charge(
    book: Book,
    account: Account,
    kind: LedgerKind,
    conversion: Conversion,
    sign: int,
    occasion: Occasion,
) -> Account:
    """The account after `sign` × a conversion: of commission or financing, each with its ledger account, or
    of anything that a venue moved in another currency.
    """
    source = _source(conversion, sign)
    account = _entered(book, account, kind, sign * conversion.money.raw, source, occasion, conversion)
    lines = _settlement(_COUNTERS[kind], conversion, sign)
    return _written(
        book, account, TransactionKind(kind.value), account.ledger_entries, occasion, lines, conversion
    )


def told(book: Book, account: Account, kind: LedgerKind, exact: Fraction, occasion: Occasion) -> Account:
    """The account after cash that its venue told of, in the account currency at whatever scale it keeps.

    What no minor unit holds is carried to the next such posting, so that the balance is always the venue's,
    rounded half-even. Where cash moves by less than that, there is no entry.
    """
    unit = 10 ** currency(account.currency).digits
    due = Fraction(account.fraction) + exact
    raw = round_fraction(due * unit)
    posted, entry = Fraction(raw, unit), 0
    if raw:
        account = _entered(book, account, kind, raw, exact_text(exact), occasion)
        entry = account.ledger_entries
    lines = [
        (_COUNTERS[kind], account.currency, -exact),
        (CASH, account.currency, posted),
        (ROUNDING, account.currency, exact - posted),
    ]
    account = replace(account, fraction=exact_text(due - posted))
    return _written(book, account, TransactionKind(kind.value), entry, occasion, lines, is_told=True)


def converted(book: Book, account: Account, raw: int, digits: int, code: str) -> Conversion:
    """A profit (raw at `digits`) in the account currency, at the quotes of the moment."""
    rates = book.markets.rates(account.session_id)
    return convert(ExactAmount(raw, digits, code), account.currency, rates)


def finely(raw: Fraction, digits: int, code: str) -> ExactAmount:
    """An amount (raw at `digits`, with a rest) to be converted: twelve more decimals hold any share that a
    person would set; the rounding that counts is the posting's.
    """
    return ExactAmount(round_fraction(raw * 10**_FINER), digits + _FINER, code)


_COUNTERS = {
    LedgerKind.COMMISSION: COMMISSION,
    LedgerKind.FINANCING: FINANCING,
    LedgerKind.TRANSFER: FUNDING,
    LedgerKind.ADJUSTMENT: ADJUSTMENT,
}
"""The ledger account on the other side of cash."""
_FINER = 12
_Line = tuple[str, str, Fraction]


def _settlement(counter: str, conversion: Conversion, sign: int) -> list[_Line]:
    """Cash against `counter`, through `conversion` where the currencies differ."""
    source, money = conversion.source, conversion.money
    exact = sign * conversion.exact
    posted = sign * Fraction(money.raw, 10**money.unit.digits)
    lines = [(counter, source.currency, -sign * source.value)]
    if conversion.legs:
        lines += [
            (CONVERSION, source.currency, sign * source.value),
            (CONVERSION, money.currency, -exact),
        ]
    return [*lines, (CASH, money.currency, posted), (ROUNDING, money.currency, exact - posted)]


def _source(conversion: Conversion, sign: int) -> str:
    return format_trimmed(sign * conversion.source.raw, conversion.source.digits)


def _entered(
    book: Book,
    account: Account,
    kind: LedgerKind,
    amount: int,
    source_amount: str,
    occasion: Occasion,
    conversion: Conversion | None = None,
) -> Account:
    """The account with one more entry of its cash ledger."""
    entry = LedgerEntry(
        account_id=account.account_id,
        entry=account.ledger_entries + 1,
        kind=kind,
        amount=amount,
        balance=account.balance + amount,
        execution_id=occasion.execution_id,
        source_amount=source_amount,
        source_currency=account.currency if conversion is None else conversion.source.currency,
        rate_text="" if conversion is None else conversion.rate_text,
        time_ns=occasion.time_ns,
        transaction=account.transactions + 1,
        symbol=occasion.symbol,
        path="" if conversion is None else conversion.path,
        detail=occasion.detail,
    )
    book.changes.ledger.append(entry)
    return replace(account, balance=entry.balance, ledger_entries=entry.entry)


def _written(
    book: Book,
    account: Account,
    kind: TransactionKind,
    entry: int,
    occasion: Occasion,
    lines: list[_Line],
    conversion: Conversion | None = None,
    *,
    is_told: bool = False,
) -> Account:
    """The account with one more transaction; lines of nothing are left out."""
    transaction = Transaction(
        account_id=account.account_id,
        number=account.transactions + 1,
        kind=kind,
        reference=occasion.reference,
        entry=entry,
        time_ns=occasion.time_ns,
        postings=tuple(Posting(name, code, exact_text(amount)) for name, code, amount in lines if amount),
        legs=() if conversion is None else conversion.legs,
        told=is_told,
        detail=occasion.note,
    )
    book.changes.transactions.append(transaction)
    return replace(account, transactions=transaction.number)
