"""What the books tell the world: one value per published event, made in the step that changed the books."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from services.trading_gateway.domain.accounts import Account
from services.trading_gateway.domain.fills import Fill
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


Event: TypeAlias = OrderChanged | TradeExecuted | PositionChanged | AccountChanged | TradingStateChanged
