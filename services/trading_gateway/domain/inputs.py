"""Everything that can happen to the books, as values: what the journal holds and what replaying it needs.

An input carries all that is outside the books when it arrives (market time, whether the feed lives, the depth
of the book, what analysis answered), so that the same inputs and ticks give the same orders, fills and
balances.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from services.trading_gateway.domain.feeds import Quote
from services.trading_gateway.domain.limits import LimitSetting
from services.trading_gateway.domain.markets import Session
from services.trading_gateway.domain.orders import Amendment, Terms
from services.trading_gateway.domain.reports import Report
from services.trading_gateway.domain.values import (
    PAPER,
    OrderOrigin,
    PositionMode,
    Side,
    TradingState,
    VenueState,
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the books cannot know and a check needs."""

    feed_alive: bool = True
    """Ticks or heartbeats came lately. A replay's feed is a file and counts as alive."""
    outbox_backlog: int = 0
    depth: tuple[tuple[int, int], ...] = ()
    """Levels (price, size) on the side an order takes from, best first; empty when not asked for or unknown.
    """
    bus_full: bool = False
    """The stream of trading's events takes no more."""
    both_currencies: bool = False
    """Quotes are judged by their age on the way of the base currency into the account's, too. An input of a
    release that looked at the quote currency's only is played again as it was judged.
    """


@dataclass(frozen=True, slots=True)
class OpenAccount:
    """`deposit` in minor units; `session_id` for the account of a replay."""

    time_ns: int
    account_id: str
    currency: str
    deposit: int
    auto_trade: bool
    session_id: str = ""
    venue: str = PAPER
    mode: PositionMode = PositionMode.NETTING


@dataclass(frozen=True, slots=True)
class SetAutoTrade:
    """Auto-trading of an account on or off, or of one symbol of it; `wall_ns` is when it was asked, for the
    audit.
    """

    time_ns: int
    account_id: str
    auto_trade: bool
    symbol: str = ""
    changed_by: str = ""
    reason: str = ""
    wall_ns: int = 0


@dataclass(frozen=True, slots=True)
class SetTradingState:
    """The kill switch of one account; `everywhere`: as part of one for all."""

    time_ns: int
    account_id: str
    state: TradingState
    reason: str
    everywhere: bool = False


@dataclass(frozen=True, slots=True)
class SetStanding:
    """The kill switch of all accounts, as far as those are concerned that are not open yet."""

    time_ns: int
    state: TradingState
    reason: str


@dataclass(frozen=True, slots=True)
class SetLimits:
    """Limits of an account, or of a symbol of it; `wall_ns` is when it was asked, for the audit."""

    time_ns: int
    account_id: str
    settings: tuple[LimitSetting, ...]
    changed_by: str
    reason: str
    wall_ns: int


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """An order as it was asked for, by a person or by a decision on a signal."""

    time_ns: int
    account_id: str
    client_order_id: str
    terms: Terms
    origin: OrderOrigin = OrderOrigin.USER
    facts: Facts = Facts()
    signal_id: str = ""
    through_halt: bool = False
    """Closes a position on behalf of whoever may lift the halt."""


@dataclass(frozen=True, slots=True)
class AmendOrder:
    """New terms of a working order."""

    time_ns: int
    order_id: str
    change: Amendment
    facts: Facts = Facts()
    whole: bool = False
    """The size is all that its parent has for it, and goes on being that when there is more."""


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """`reason` is a code, `detail` words."""

    time_ns: int
    order_id: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class VenueStood:
    """The books of an account were, or could not be, compared with its venue."""

    time_ns: int
    account_id: str
    state: VenueState
    detail: str
    differences: tuple[tuple[str, str, str], ...] = ()
    """As `Account.venue_differences`."""


@dataclass(frozen=True, slots=True)
class VenueAdopted:
    """A person takes the venue's figure for one that differs: of a symbol's position, or (none) the balance.

    `theirs` and `ours` are the figures he was shown; `wall_ns` is when he asked.
    """

    time_ns: int
    account_id: str
    symbol: str
    theirs: str
    ours: str
    price: int | None
    """Of a position: what the units between the two were traded at."""
    request_id: str
    changed_by: str
    reason: str
    wall_ns: int


@dataclass(frozen=True, slots=True)
class VenueRead:
    """All that a venue reported up to `cursor` was heard."""

    time_ns: int
    venue: str
    cursor: str


@dataclass(frozen=True, slots=True)
class Orphaned:
    """The venue works an order that is over in the books: it is asked to cancel it."""

    time_ns: int
    order_id: str


@dataclass(frozen=True, slots=True)
class OvernightRate:
    """What a position is financed at: millionths a year, below zero the holder pays; ISO value dates."""

    symbol: str
    annual_ppm: int
    days: int
    value_from: str
    value_to: str
    position_id: str = ""


@dataclass(frozen=True, slots=True)
class DayRolled:
    """17:00 New York was reached on an account's market (a timer); `rates` of the positions it keeps."""

    time_ns: int
    account_id: str
    rates: tuple[OvernightRate, ...] = ()


@dataclass(frozen=True, slots=True)
class OrderDue:
    """An order's time in force ran out (a timer); what comes of it is the venue's report."""

    time_ns: int
    order_id: str


@dataclass(frozen=True, slots=True)
class AskDue:
    """The settle window of an unanswered order is over (a timer); what the venue says is its report."""

    time_ns: int
    order_id: str


@dataclass(frozen=True, slots=True)
class MarginCalled:
    """Equity fell below the account's margin call level, or (not raised) is above it again."""

    time_ns: int
    account_id: str
    raised: bool


@dataclass(frozen=True, slots=True)
class StoppedOut:
    """Equity is below the account's stop-out level: a position is closed."""

    time_ns: int
    account_id: str
    symbol: str
    position_id: str = ""


@dataclass(frozen=True, slots=True)
class OrdersRefused:
    """Orders beyond the rate, and amendments, that were refused without a trace of their own until now."""

    time_ns: int
    account_id: str
    reason: str
    count: int
    since_ns: int


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """Market data announced a feed session."""

    time_ns: int
    session: Session


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """No tick of the symbol follows in the session."""

    time_ns: int
    session_id: str
    symbol: str


@dataclass(frozen=True, slots=True)
class TicksRead:
    """The ticks `first` to `last` were read before the next input."""

    time_ns: int
    session_id: str
    symbol: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class QuoteSeen:
    """A quote asked for, where no tick came yet."""

    time_ns: int
    quote: Quote


class Advice(Enum):
    """Whether analysis could be asked about a signal."""

    COMPLETE = "complete"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal with its numbers made exact: shares in millionths."""

    signal_id: str
    session_id: str
    symbol: str
    timeframe: str
    timeframe_ns: int
    strategy: str
    side: Side
    strength_ppm: int
    probability_ppm: int | None
    """None when nothing was predicted."""
    bar_open_ns: int
    time_ns: int
    tick_sequence: int
    number: int
    """1, 2, 3 … within the session."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """Another strategy's signal on the same bar."""

    strategy: str
    side: Side
    strength_ppm: int


@dataclass(frozen=True, slots=True)
class SignalDecided:
    """A signal for one account, with what analysis said of it."""

    time_ns: int
    account_id: str
    signal: Signal
    advice: Advice
    advice_detail: str
    average_range: int | None
    """Average true range at the signal's bar, raw price; None while it warms up."""
    opinions: tuple[Opinion, ...]
    facts: Facts


Input: TypeAlias = (
    OpenAccount
    | SetAutoTrade
    | SetTradingState
    | SetStanding
    | SetLimits
    | PlaceOrder
    | AmendOrder
    | CancelOrder
    | Report
    | DayRolled
    | MarginCalled
    | StoppedOut
    | OrdersRefused
    | OrderDue
    | AskDue
    | SessionStarted
    | SessionEnded
    | TicksRead
    | QuoteSeen
    | SignalDecided
    | VenueStood
    | VenueRead
    | VenueAdopted
    | Orphaned
)
