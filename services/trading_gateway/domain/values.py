"""The closed sets of trading: side, type, trigger, time in force, status, origin, states, posting kind."""

from __future__ import annotations

from enum import Enum


class Side(Enum):
    """Direction of an order or fill."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 for buying, -1 for selling: what a fill does to a position."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        """The other side."""
        return Side.SELL if self is Side.BUY else Side.BUY

    @classmethod
    def of(cls, signed: int) -> Side:
        """BUY for a positive number, SELL for a negative one."""
        return Side.BUY if signed > 0 else Side.SELL


class OrderType(Enum):
    """Kind of order."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    MARKET_IF_TOUCHED = "market_if_touched"
    TRAILING_STOP = "trailing_stop"

    @property
    def words(self) -> str:
        """As people write it."""
        return self.value.replace("_", " ")

    @property
    def waits(self) -> bool:
        """True for the types that do nothing until the market reaches a price."""
        return self not in (OrderType.MARKET, OrderType.LIMIT)


class TriggerSide(Enum):
    """Which price of a quote reaches a stop price, where it is not the side that the order trades at."""

    BID = "bid"
    ASK = "ask"
    MID = "mid"


class TimeInForce(Enum):
    """How long an order works."""

    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"
    GTD = "gtd"
    DAY = "day"


class OrderStatus(Enum):
    """Where an order is in its life."""

    PLACED = "placed"
    ACCEPTED = "accepted"
    PARTIALLY_FILLED = "partially_filled"
    PENDING_CANCEL = "pending_cancel"
    PENDING_AMEND = "pending_amend"
    UNKNOWN = "unknown"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    HELD = "held"

    @property
    def final(self) -> bool:
        """True when nothing but a late fill can follow."""
        return self in _FINAL


_FINAL = frozenset((OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.EXPIRED, OrderStatus.REJECTED))
FINAL_STATUSES = tuple(each for each in OrderStatus if each.final)


class OrderOrigin(Enum):
    """Who asked for an order."""

    USER = "user"
    SIGNAL = "signal"
    RISK = "risk"


class PositionMode(Enum):
    """How an account keeps what its orders open."""

    NETTING = "netting"
    """One position a symbol."""
    HEDGING = "hedging"
    """One position for each order that opens one, on either side at the same time."""


class TradingState(Enum):
    """Whether new risk may be taken."""

    ACTIVE = "active"
    REDUCING = "reducing"
    HALTED = "halted"


PAPER = "paper"
"""Name of the venue that every account is on unless it names another."""


class VenueState(Enum):
    """Whether the books of an account are known to be those of its venue."""

    AGREED = "agreed"
    RECONCILING = "reconciling"
    """Not compared with the venue since the gateway started or the connection broke."""
    DIFFERS = "differs"
    """The venue holds what no report explains; a person has to look."""


class LedgerKind(Enum):
    """Why cash moved."""

    DEPOSIT = "deposit"
    REALISED_PROFIT = "realised_profit"
    COMMISSION = "commission"
    FINANCING = "financing"
    TRANSFER = "transfer"
    ADJUSTMENT = "adjustment"


class CashKind(Enum):
    """Why a venue moved cash by itself; each is the posting of that name."""

    FINANCING = "financing"
    COMMISSION = "commission"
    """Charged apart from the fill."""
    TRANSFER = "transfer"
    """Paid in or out by the owner: no result of trading."""
    ADJUSTMENT = "adjustment"
    """Anything else: a correction, a fee, interest, a dividend."""
