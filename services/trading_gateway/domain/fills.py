"""A fill as it was booked, and the postings to cash that came of it."""

from __future__ import annotations

from dataclasses import dataclass

from services.trading_gateway.domain.values import LedgerKind, Side


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution, applied once. Money in minor units of the account currency."""

    number: int
    """1, 2, 3 … of this gateway, in the order of booking."""
    execution_id: str
    order_id: str
    account_id: str
    client_order_id: str
    symbol: str
    side: Side
    size: int
    price: int
    closed: int
    """How much of the size went against the position before it."""
    realised_quote: int
    """Exact profit in the quote currency, raw at the scale of a cost."""
    realised: int
    """The same as posted."""
    commission: int
    """Charged, above zero; posted with a minus sign."""
    rate: str
    """Exact rate of the profit's conversion as "numerator/denominator"; empty when nothing was converted."""
    rate_text: str
    """The rate in decimals, to read."""
    path: str
    """Quotes the rate came from."""
    session_id: str
    tick_sequence: int
    time_ns: int
    position_id: str = ""
    """In a hedging account: the position that it changed."""
    busts: str = ""
    """The execution that it takes back, at its size and price on the other side. Profit and commission are
    what changed by that; `rate` and `path` are of the profit that moved between other fills and what is open.
    """

    @property
    def signed_size(self) -> int:
        """What it did to the position."""
        return self.side.sign * self.size


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One posting to an account's cash; `entry` counts 1, 2, 3 … within the account."""

    account_id: str
    entry: int
    kind: LedgerKind
    amount: int
    balance: int
    """After the posting."""
    execution_id: str
    source_amount: str
    """Exact amount before conversion, as decimal text in `source_currency`."""
    source_currency: str
    rate_text: str
    time_ns: int
    transaction: int = 0
    """Number of the transaction that it is the cash side of."""
    symbol: str = ""
    path: str = ""
    """Quotes the rate came from."""
    detail: str = ""
    """Of financing: what was charged for."""
