"""What one or more inputs changed: the rows and events of one transaction, and what goes to the venue after
it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TypeAlias

from services.trading_gateway.domain.accounts import Account, Standing
from services.trading_gateway.domain.events import Event
from services.trading_gateway.domain.feeds import FeedState
from services.trading_gateway.domain.fills import Fill, LedgerEntry
from services.trading_gateway.domain.limits import LimitChange, LimitName, LimitSetting
from services.trading_gateway.domain.markets import Session
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.positions import Position
from services.trading_gateway.domain.transactions import Transaction
from services.trading_gateway.domain.values import Side


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One input as stored; `number` counts 1, 2, 3 … without a hole, `payload` is its JSON text."""

    number: int
    kind: str
    time_ns: int
    payload: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What auto-trading made of a signal on an account, and why."""

    signal_id: str
    account_id: str
    reason: str
    """`ORDERED`, or why not: a code."""
    detail: str
    order_id: str
    time_ns: int
    symbol: str = ""
    side: Side | None = None
    strategy: str = ""
    timeframe: str = ""
    strength_ppm: int | None = None
    probability_ppm: int | None = None
    score_ppm: int | None = None
    risked: int | None = None
    """Minor units lost when the stop is hit, as accepted."""
    stop_distance: int | None = None
    """Raw price."""


@dataclass(frozen=True, slots=True)
class SignalNote:
    """A signal that came from the bus. It comes once, however often it is delivered, and is decided once."""

    signal_id: str
    session_id: str
    decided: bool
    body: str
    """The signal as JSON text, for the process that will decide about it."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A request id with what it was used for and the answer it got (JSON text)."""

    request_id: str
    used_for: str
    answer: str


@dataclass(frozen=True, slots=True)
class Submit:
    """Send an order to the venue."""

    order_id: str


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Ask the venue to cancel an order, for the reason that it carries."""

    order_id: str


@dataclass(frozen=True, slots=True)
class Replace:
    """Ask the venue to change an order as its pending amendment says."""

    order_id: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the venue what became of an order that it did not answer."""

    order_id: str


Request: TypeAlias = Submit | Withdraw | Replace | Ask


@dataclass(frozen=True, slots=True)
class VenueCursor:
    """Up to where a venue's reports were heard without a hole; the text is the venue's own."""

    venue: str
    cursor: str


@dataclass(frozen=True, slots=True)
class VenueCash:
    """A venue's transaction was booked: never again."""

    account_id: str
    transaction_id: str


@dataclass(slots=True)
class Changes:
    """Rows by key, the last value wins; lists in the order of events. `requests` leave after the commit."""

    follows: int = 0
    """Number of the last journal entry before these: a commit that does not follow on it is refused."""
    journal: list[JournalEntry] = field(default_factory=list)
    orders: dict[str, Order] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    ledger: list[LedgerEntry] = field(default_factory=list)
    transactions: list[Transaction] = field(default_factory=list)
    positions: dict[tuple[str, str, str], Position] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    standing: Standing | None = None
    sessions: dict[str, Session] = field(default_factory=dict)
    feeds: dict[tuple[str, str], FeedState] = field(default_factory=dict)
    cursors: dict[str, VenueCursor] = field(default_factory=dict)
    venue_cash: list[VenueCash] = field(default_factory=list)
    limits: dict[tuple[str, str, LimitName], LimitSetting] = field(default_factory=dict)
    limit_changes: list[LimitChange] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    signals: dict[str, SignalNote] = field(default_factory=dict)
    answers: list[Answered] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def absorb(self, later: Changes) -> None:
        """Take in what changed next, so that both are one transaction."""
        for each in fields(self):
            mine, theirs = getattr(self, each.name), getattr(later, each.name)
            if isinstance(mine, dict):
                mine.update(theirs)
            elif isinstance(mine, list):
                mine.extend(theirs)
        self.standing = later.standing or self.standing

    def __bool__(self) -> bool:
        """True when there is anything to commit. Every change of the books comes with a journal entry."""
        return bool(self.journal or self.signals or self.answers or self.feeds)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Kinds of the inputs that they came of, in order."""
        return tuple(each.kind for each in self.journal)

    @property
    def asked(self) -> tuple[str, ...]:
        """Kinds of the requests that leave after the commit."""
        return tuple(type(each).__name__ for each in self.requests)
