"""What the books tell the world: one value per published event, made in the step that changed the books."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from services.trading_gateway.domain.accounts import Account
from services.trading_gateway.domain.fills import Fill
from services.trading_gateway.domain.limits import LimitChange
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.positions import Position
from services.trading_gateway.domain.values import TradingState


class OrderStep(Enum):
    """Which of an order's events."""

    PLACED = "placed"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    AMENDED = "amended"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class PositionView:
    """A position at the quotes of the moment; None where there is no quote to value it at."""

    position: Position
    currency: str
    unrealised: int | None
    margin: int | None


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account at the quotes of the moment. What cannot be valued counts as nothing."""

    account: Account
    unrealised: int
    margin: int
    auto_trade_off: tuple[str, ...] = ()
    """Symbols whose auto-trading is off."""

    @property
    def equity(self) -> int:
        """Balance and unrealised profit."""
        return self.account.balance + self.unrealised


@dataclass(frozen=True, slots=True)
class OrderChanged:
    """A step in an order's life."""

    step: OrderStep
    order: Order


@dataclass(frozen=True, slots=True)
class TradeExecuted:
    """A fill was applied; `order` is the order after it."""

    fill: Fill
    order: Order
    currency: str


@dataclass(frozen=True, slots=True)
class PositionChanged:
    """A position changed by a fill, or by its financing."""

    view: PositionView
    by_fill: bool = True


@dataclass(frozen=True, slots=True)
class AccountChanged:
    """Cash or settings changed; `by_fill`: by the one told before."""

    view: AccountView
    by_fill: bool = False


@dataclass(frozen=True, slots=True)
class TradingStateChanged:
    """The trading state was set; `everywhere`: of all accounts at once."""

    account_id: str
    revision: int
    state: TradingState
    reason: str
    time_ns: int
    everywhere: bool


@dataclass(frozen=True, slots=True)
class MarginCallChanged:
    """An account fell below its margin call level, or is above it again."""

    view: AccountView
    raised: bool
    time_ns: int


@dataclass(frozen=True, slots=True)
class PositionStoppedOut:
    """A position is closed because its account is below the stop-out level; both as they were before."""

    position: PositionView
    account: AccountView
    order_id: str
    time_ns: int


@dataclass(frozen=True, slots=True)
class OrdersRefused:
    """Orders of an account beyond its rate, and amendments, refused in a row for one reason."""

    account_id: str
    revision: int
    reason: str
    count: int
    since_ns: int
    time_ns: int


@dataclass(frozen=True, slots=True)
class RiskLimitChanged:
    """A limit was set at run time."""

    change: LimitChange


Event: TypeAlias = (
    OrderChanged
    | TradeExecuted
    | PositionChanged
    | AccountChanged
    | TradingStateChanged
    | MarginCallChanged
    | PositionStoppedOut
    | OrdersRefused
    | RiskLimitChanged
)
