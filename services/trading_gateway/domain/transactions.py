"""Double entry: every change of an account is a transaction of postings that sum to zero in each currency.

Ledger accounts of a trading account, an amount above zero being a debit:

    cash                what the balance is                            account currency
    funding             what was paid in, as owed to its owner         account currency
    position:<SYMBOL>   units held                                     base currency
    cost:<SYMBOL>       what they cost                                 quote currency
    venue:<SYMBOL>      the other side of the trades, unsettled        base and quote currency
    profit:<SYMBOL>     profit realised (credit) or lost (debit)       quote currency
    commission          paid                                           quote currency of the trade
    financing           paid (debit) or received (credit)              quote currency of the position
    adjustment          what a venue paid or took for other reasons    account currency
    conversion          what was changed into the account currency     both
    rounding            posted amount against the exact one            account currency

Amounts are exact: an amount converted at an inverse quote has no last decimal and is kept as a fraction; what
was rounded off stands in `rounding`, so that cash is whole minor units and every sum is still zero.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

from services.money.conversion import Leg, rate_of

CASH = "cash"
FUNDING = "funding"
COMMISSION = "commission"
FINANCING = "financing"
ADJUSTMENT = "adjustment"
CONVERSION = "conversion"
ROUNDING = "rounding"


class TransactionKind(Enum):
    """What a transaction records."""

    DEPOSIT = "deposit"
    FILL = "fill"
    COMMISSION = "commission"
    FINANCING = "financing"
    TRANSFER = "transfer"
    ADJUSTMENT = "adjustment"
    BUST = "bust"
    """A fill that was taken back, and the profit that moved for it between later fills and what is open."""


@dataclass(frozen=True, slots=True)
class Posting:
    """One line: `amount` is exact text ("-12.5", or "n/d" where no decimal text is exact)."""

    ledger_account: str
    currency: str
    amount: str

    @property
    def exact(self) -> Fraction:
        """The amount."""
        return Fraction(self.amount)


@dataclass(frozen=True, slots=True)
class Transaction:
    """Balanced postings of one event; `number` counts 1, 2, 3 … within the account."""

    account_id: str
    number: int
    kind: TransactionKind
    reference: str
    """The execution behind it, "<SYMBOL> <roll date>" of financing, or the venue's transaction."""
    entry: int
    """The entry of the cash ledger that it made; 0 where cash did not move."""
    time_ns: int
    postings: tuple[Posting, ...]
    legs: tuple[Leg, ...] = ()
    """The quotes that `conversion` was made at; none where currencies are the same."""
    told: bool = False
    """The amount is a venue's, which may be finer than a minor unit."""
    detail: str = ""
    """Of what a person adopted: who and why."""

    @property
    def rate(self) -> Fraction:
        """Account units for one unit of the currency converted from."""
        return rate_of(self.legs)


def position_of(symbol: str) -> str:
    """Ledger account of the units held."""
    return f"position:{symbol}"


def cost_of(symbol: str) -> str:
    """Ledger account of what they cost."""
    return f"cost:{symbol}"


def venue_of(symbol: str) -> str:
    """Ledger account of the other side of the trades."""
    return f"venue:{symbol}"


def profit_of(symbol: str) -> str:
    """Ledger account of realised profit."""
    return f"profit:{symbol}"


class Balances:
    """Sums of postings by ledger account and currency: the trial balance of an account."""

    def __init__(self, transactions: Iterable[Transaction] = ()) -> None:
        self._sums: dict[tuple[str, str], Fraction] = {}
        for each in transactions:
            self.add(each)

    def add(self, transaction: Transaction) -> None:
        """Count a transaction in."""
        for each in transaction.postings:
            key = (each.ledger_account, each.currency)
            self._sums[key] = self._sums.get(key, Fraction(0)) + each.exact

    def of(self, ledger_account: str, currency: str) -> Fraction:
        """Balance of a ledger account in a currency."""
        return self._sums.get((ledger_account, currency), Fraction(0))

    def open(self) -> list[tuple[str, str, Fraction]]:
        """(ledger account, currency, balance), by name; those at zero left out."""
        return [(*key, self._sums[key]) for key in sorted(self._sums) if self._sums[key]]


def cash_of(transactions: Iterable[Transaction], kind: TransactionKind) -> Fraction:
    """Cash that the transactions of one kind moved."""
    return _sum_of(CASH, (each for each in transactions if each.kind is kind))


def told_beyond(transactions: Iterable[Transaction]) -> Fraction:
    """What a venue told of cash that no minor unit holds."""
    return _sum_of(ROUNDING, (each for each in transactions if each.told and not each.legs))


def _sum_of(ledger_account: str, transactions: Iterable[Transaction]) -> Fraction:
    lines = (line for each in transactions for line in each.postings)
    return sum((line.exact for line in lines if line.ledger_account == ledger_account), Fraction(0))


def out_of_balance(postings: Iterable[Posting]) -> dict[str, Fraction]:
    """What the postings of a transaction fail to cancel, by currency; nothing for a balanced one."""
    sums: dict[str, Fraction] = {}
    for each in postings:
        sums[each.currency] = sums.get(each.currency, Fraction(0)) + each.exact
    return {code: total for code, total in sums.items() if total}
