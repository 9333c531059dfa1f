"""The proof of double entry: every transaction sums to zero, and the books are what the postings come to.

Pure: it is given what the books hold and all transactions of an account, from memory or from the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from services.market.instruments import Instrument, instrument
from services.money.currencies import currency
from services.money.exact import decimal_text
from services.trading_gateway.domain.accounts import Account
from services.trading_gateway.domain.fills import Fill
from services.trading_gateway.domain.positions import Position
from services.trading_gateway.domain.transactions import (
    CASH,
    CONVERSION,
    Balances,
    Transaction,
    TransactionKind,
    cost_of,
    out_of_balance,
    position_of,
    profit_of,
    told_beyond,
    venue_of,
)


@dataclass(frozen=True, slots=True)
class Line:
    """One figure, as the books have it and as it is recomputed."""

    name: str
    booked: str
    recomputed: str

    @property
    def equal(self) -> bool:
        """True when both are the same to the last digit."""
        return self.booked == self.recomputed


def check_ledger(
    account: Account,
    positions: Mapping[str, Position],
    fills: Sequence[Fill],
    transactions: Sequence[Transaction],
) -> list[Line]:
    """Compare `account` and its `positions`, a symbol's together, with the fold of its transactions."""
    balances = Balances(transactions)
    cash = Fraction(account.balance, 10 ** currency(account.currency).digits)
    lines = [
        _count("transactions", account.transactions, _unbroken(transactions)),
        _count("transactions out of balance", 0, sum(map(bool, map(_missing, transactions)))),
        _count("conversions off their rate", 0, sum(map(_off_rate, transactions))),
        _count("fills with a transaction", len(fills), _posted(fills, transactions)),
        _count("rolls financed twice", 0, _doubled_rolls(transactions)),
        _line("balance, from postings", cash, balances.of(CASH, account.currency)),
        _line("told beyond the balance", Fraction(account.fraction), told_beyond(transactions)),
    ]
    for symbol in sorted({each.symbol for each in positions.values()}):
        lines += _position_lines(
            symbol, [each for each in positions.values() if each.symbol == symbol], balances
        )
    return lines


def _position_lines(symbol: str, held: Sequence[Position], balances: Balances) -> list[Line]:
    of = instrument(symbol)
    units = Fraction(sum(each.size for each in held), 10**of.size_digits)
    cost = _quote(of, sum(each.cost for each in held))
    realised = _quote(of, sum(each.realised_quote for each in held))
    return [
        _line(f"{symbol} size, from postings", units, balances.of(position_of(symbol), of.base)),
        _line(f"{symbol} cost, from postings", cost, balances.of(cost_of(symbol), of.quote)),
        _line(f"{symbol} realised, from postings", realised, -balances.of(profit_of(symbol), of.quote)),
        _line(f"{symbol} unsettled at the venue", -cost, balances.of(venue_of(symbol), of.quote)),
    ]


def _quote(of: Instrument, raw: int) -> Fraction:
    return Fraction(raw, 10 ** (of.size_digits + of.digits))


def _missing(transaction: Transaction) -> dict[str, Fraction]:
    return out_of_balance(transaction.postings)


def _off_rate(transaction: Transaction) -> bool:
    """True when what was converted is not what the quotes named give."""
    converted = [each for each in transaction.postings if each.ledger_account == CONVERSION]
    if not converted:
        return False  # one currency, or an amount of zero
    if len(converted) != 2 or not transaction.legs:
        return True
    source, target = converted
    return -source.exact * transaction.rate != target.exact


def _unbroken(transactions: Iterable[Transaction]) -> int:
    """How many there are, counted to the first hole in their numbers."""
    count = 0
    for each in transactions:
        if each.number != count + 1:
            break
        count += 1
    return count


def _posted(fills: Iterable[Fill], transactions: Iterable[Transaction]) -> int:
    """Fills that exactly one transaction records, with their units: those that take one back, too."""
    units: dict[str, list[Fraction]] = {}
    for each in transactions:
        held = [line.exact for line in each.postings if line.ledger_account.startswith("position:")]
        if each.kind is TransactionKind.FILL or (each.kind is TransactionKind.BUST and held):
            units.setdefault(each.reference, []).append(sum(held, Fraction(0)))
    return sum(
        units.get(fill.execution_id)
        == [Fraction(fill.signed_size, 10 ** instrument(fill.symbol).size_digits)]
        for fill in fills
    )


def _doubled_rolls(transactions: Iterable[Transaction]) -> int:
    """A position is financed once a roll."""
    rolls = [each.reference for each in transactions if each.kind is TransactionKind.FINANCING]
    return len(rolls) - len(set(rolls))


def _count(name: str, booked: int, recomputed: int) -> Line:
    return Line(name, str(booked), str(recomputed))


def _line(name: str, booked: Fraction, recomputed: Fraction) -> Line:
    return Line(name, decimal_text(booked), decimal_text(recomputed))
