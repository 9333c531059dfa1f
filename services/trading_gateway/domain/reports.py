"""What a venue says of the orders it was sent, the paper venue and those outside alike, and of the cash that
one outside moves by itself.

Reports may come late, doubled and in any order. That on an order names it by our id, which is the key that
the venue knows it by; amounts are whole numbers, cash exact text, times those of the venue's market.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from services.trading_gateway.domain.values import CashKind, OrderStatus


@dataclass(frozen=True, slots=True)
class Accepted:
    """The venue works an order, against quotes from `works_from_ns` on."""

    time_ns: int
    order_id: str
    works_from_ns: int = 0


@dataclass(frozen=True, slots=True)
class Unanswered:
    """An order was sent and no answer came: the venue is asked at `ask_ns`, not before."""

    time_ns: int
    order_id: str
    ask_ns: int


@dataclass(frozen=True, slots=True)
class Triggered:
    """The market reached an order's stop price."""

    time_ns: int
    order_id: str


@dataclass(frozen=True, slots=True)
class Trailed:
    """The market took the stop price of a trailing stop along."""

    time_ns: int
    order_id: str
    stop: int


@dataclass(frozen=True, slots=True)
class Executed:
    """The venue filled (part of) an order against a tick."""

    time_ns: int
    order_id: str
    execution_id: str
    size: int
    price: int
    session_id: str = ""
    tick_sequence: int = 0
    """The tick it was filled against; none on a venue with a market of its own."""
    commission: int | None = None
    """What the venue charged for it, in minor units of the account currency; None: what the rules say."""
    cash: str | None = None
    """What it moved in all in the account's cash there, profit less charges, as exact decimal text in the
    account currency; None where the venue does not say.
    """


@dataclass(frozen=True, slots=True)
class Busted:
    """The venue takes an execution back: it never was. It has its effect once, by the execution's id.

    A correction is this, and the corrected execution under an id of its own.
    """

    time_ns: int
    order_id: str
    execution_id: str
    """Of the execution, as `Executed` told it."""
    over: bool = True
    """An order that it had filled is over for good; else it works again what was taken back. One that works
    goes on in any case.
    """
    cash: str | None = None
    """What it moved in all in the account's cash there, as that of `Executed`; None where the venue does not
    say: as much as the execution moved goes back.
    """
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """The venue ended an order: CANCELLED, EXPIRED or REJECTED."""

    time_ns: int
    order_id: str
    status: OrderStatus
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Amended:
    """The venue works an order with these terms from now on."""

    time_ns: int
    order_id: str
    size: int
    limit: int | None
    stop: int | None
    trail: int | None
    revision: int
    """Of the request that it answers."""


@dataclass(frozen=True, slots=True)
class AmendRefused:
    """The venue keeps the old terms."""

    time_ns: int
    order_id: str
    reason: str
    detail: str
    revision: int


@dataclass(frozen=True, slots=True)
class CancelRefused:
    """The venue does not cancel an order; it works on, or its end is on the way."""

    time_ns: int
    order_id: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class CashMoved:
    """The venue moved cash of an account by itself. It has its effect once by its id within the account."""

    time_ns: int
    account_id: str
    transaction_id: str
    """The venue's own, for ever the same."""
    kind: CashKind
    amount: str
    """Exact decimal text at whatever scale the venue keeps; above zero the account receives."""
    currency: str
    symbol: str = ""
    """What it was moved for, where the venue says."""
    detail: str = ""


OrderReport: TypeAlias = (
    Accepted
    | Unanswered
    | Triggered
    | Trailed
    | Executed
    | Busted
    | Ended
    | Amended
    | AmendRefused
    | CancelRefused
)
Report: TypeAlias = OrderReport | CashMoved
