"""What a venue outside shows when it is asked: orders by our id, positions, cash, reports by cursor."""

from __future__ import annotations

from dataclasses import dataclass

from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.reports import Report
from services.trading_gateway.domain.values import OrderStatus


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order as the venue has it. `status` is one of ACCEPTED, PARTIALLY_FILLED or those that are final."""

    order_id: str
    account_id: str
    status: OrderStatus
    time_ns: int
    """When it last changed."""
    size: int
    filled: int
    limit: int | None = None
    stop: int | None = None
    trail: int | None = None
    triggered: bool = False
    revision: int = 0
    """Of the last amendment that it has taken; 0: it works as it was placed."""
    reason: str = ""
    detail: str = ""
    """Of its end."""

    @classmethod
    def of(cls, order: Order, revision: int) -> VenueOrder:
        """From a copy that a simulated venue keeps."""
        return cls(
            order.order_id,
            order.account_id,
            order.status,
            order.updated_ns,
            order.size,
            order.filled,
            order.limit,
            order.stop,
            order.trail,
            order.triggered,
            revision,
            order.reason,
            order.reason_detail,
        )


@dataclass(frozen=True, slots=True)
class Holding:
    """A position at the venue: signed size, of all that ever filled there."""

    account_id: str
    symbol: str
    size: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of a venue: all that `cursor` covers and nothing after it."""

    cursor: str
    orders: tuple[VenueOrder, ...]
    """Those that work."""
    holdings: tuple[Holding, ...]
    """Those that are not flat."""
    balances: tuple[tuple[str, str], ...] = ()
    """(account, cash as exact decimal text in the account currency), of accounts whose cash the venue tells:
    all that moved up to `cursor`, by fills and otherwise.
    """


@dataclass(frozen=True, slots=True)
class Heard:
    """Reports in the order in which the venue made them, complete up to `cursor`."""

    reports: tuple[Report, ...]
    cursor: str
