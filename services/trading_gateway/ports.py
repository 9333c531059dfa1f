"""What trading needs from outside: its store, the outbox, market data, analysis, clocks and counters."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from services.market.ticks import TickBatch
from services.tracing import Step, Story
from services.trading_gateway.domain.book import Saved
from services.trading_gateway.domain.changes import Answered, Changes, Decision, JournalEntry
from services.trading_gateway.domain.feeds import Quote
from services.trading_gateway.domain.fills import Fill, LedgerEntry
from services.trading_gateway.domain.histories import History
from services.trading_gateway.domain.inputs import Opinion, Signal
from services.trading_gateway.domain.limits import LimitChange
from services.trading_gateway.domain.markets import Session
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.positions import Position
from services.trading_gateway.domain.reconcile import Misfilled
from services.trading_gateway.domain.reports import Report
from services.trading_gateway.domain.transactions import Transaction
from services.trading_gateway.domain.values import OrderStatus
from services.trading_gateway.domain.venue_views import Heard, Snapshot, VenueOrder


@dataclass(frozen=True, slots=True)
class OrderQuery:
    """Which orders, newest first. Empty means all; `before` is the number of the last order of the page
    before.
    """

    account_id: str = ""
    symbols: tuple[str, ...] = ()
    statuses: tuple[OrderStatus, ...] = ()
    before: int | None = None
    limit: int = 100
    parent_id: str = ""


@dataclass(frozen=True, slots=True)
class FillQuery:
    """Which fills, newest first."""

    account_id: str = ""
    symbols: tuple[str, ...] = ()
    order_id: str = ""
    before: int | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class DecisionQuery:
    """Which automatic decisions of an account, newest first; `before`: where a page ended."""

    account_id: str
    symbols: tuple[str, ...] = ()
    ordered_only: bool = False
    before: tuple[int, str] | None = None
    limit: int = 100


@dataclass(slots=True)
class Told:
    """The stories that changes belong to: one for each of their events, and new ones to keep, by signal id
    and order id. `steps` end when the changes are stored.
    """

    events: list[Story] = field(default_factory=list)
    stories: dict[str, Story] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)


class Store(Protocol):
    """The durable truth. FxError UNAVAILABLE `STORE_UNAVAILABLE` or RESOURCE_EXHAUSTED `DISK_FULL` when it
    fails.
    """

    async def load(self) -> Saved:
        """What the books are rebuilt from."""

    async def stories(self) -> dict[str, Story]:
        """Of signals that are undecided and orders that are not over, by their ids."""

    async def commit(self, changes: Changes, told: Told) -> None:
        """One transaction with its events in the outbox; commits happen in the order of the calls.

        Refused unless it follows on the last one stored, so that nothing can follow a commit that failed.
        """

    async def order(self, order_id: str) -> Order | None:
        """Any order ever placed."""

    async def executions(self, order_id: str) -> Sequence[str]:
        """Execution ids of an order's fills."""

    async def cash_booked(self, account_id: str, transaction_ids: Collection[str]) -> set[str]:
        """Those of a venue's transactions of an account that were booked."""

    async def orders(self, query: OrderQuery) -> list[Order]:
        """A page of orders."""

    async def fills(self, query: FillQuery) -> list[Fill]:
        """A page of fills."""

    async def all_fills(self, account_id: str) -> list[Fill]:
        """All fills of an account in the order of booking."""

    async def misfilled(self, account_id: str) -> list[Misfilled]:
        """Orders of an account that say another size to be filled than their fills come to."""

    async def history(self, position: tuple[str, str, str], executions: Collection[str]) -> History:
        """All fills of a position (account, symbol, position id) in the order of booking, and what was posted
        for some executions.
        """

    async def busted(self, executions: Collection[str]) -> set[str]:
        """Those of some executions that were taken back."""

    async def ledger(self, account_id: str, after: int, limit: int) -> list[LedgerEntry]:
        """Postings after an entry, in order."""

    async def transactions(self, account_id: str, after: int, limit: int | None = None) -> list[Transaction]:
        """Double-entry transactions after a number, in order; without a limit all."""

    async def closed_tickets(self, account_id: str) -> list[Position]:
        """Closed positions of a hedging account."""

    async def limit_changes(self, account_id: str, before: int | None, limit: int) -> list[LimitChange]:
        """Changes of an account's limits, newest first, before a number."""

    async def answer(self, request_id: str) -> Answered | None:
        """What a request id was used for, and its answer."""

    async def signal_known(self, signal_id: str) -> bool:
        """True when a signal has come before."""

    async def decisions(self, query: DecisionQuery) -> list[Decision]:
        """A page of automatic decisions."""

    async def orders_for(self, account_id: str, signal_ids: Collection[str]) -> list[Order]:
        """Orders of an account that were placed for signals, in the order of placing."""

    async def fills_of(self, order_ids: Collection[str]) -> list[Fill]:
        """All fills of orders, in the order of booking."""

    async def correlations(self, keys: Collection[str]) -> dict[str, str]:
        """Correlation ids of signals and orders, by their ids, where there are any."""

    async def journal(self, after: int, limit: int) -> list[JournalEntry]:
        """Journal entries after a number, in order."""


class Lease(Protocol):
    """Of several gateways on one database, which one trades. It is for all accounts together."""

    @property
    def held(self) -> bool:
        """True while this one may act. Look before each act: it ends by itself where it cannot be renewed."""

    @property
    def term(self) -> int:
        """Above zero while this gateway holds it; another number each time that it begins to."""

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once `condition` holds, judged now and after each change of term."""

    async def campaign(self) -> None:
        """Hold it from now on whenever no other gateway does. Returns after the first attempt."""


class Outbox(Protocol):
    """Events that wait for the bus."""

    @property
    def backlog(self) -> int:
        """How many waited when it was last looked."""

    @property
    def full(self) -> bool:
        """True while the bus has no room for them."""

    def wake(self) -> None:
        """There are new ones."""


@dataclass(frozen=True, slots=True)
class Announced:
    """A session begins or runs already, with `ticks` published so far."""

    session: Session
    ticks: int


@dataclass(frozen=True, slots=True)
class TicksCame:
    """Ticks of one symbol, complete up to market time `clock_ns`. `ended`: none follows in the session.

    `paced`: market time runs with the wall's, at whatever speed; not so in an unpaced or lockstep replay.
    """

    batch: TickBatch
    clock_ns: int
    ended: bool
    paced: bool = True


@dataclass(frozen=True, slots=True)
class Barrier:
    """Lockstep: analysis is done with the ticks up to `sequence`, having made so many signals so far."""

    session_id: str
    symbol: str
    sequence: int
    signals: int


@dataclass(frozen=True, slots=True)
class Beat:
    """Nothing happened, but the feed lives."""


FeedItem: TypeAlias = Announced | TicksCame | Barrier | Beat


@dataclass(frozen=True, slots=True)
class Depth:
    """Levels (price, size) of both sides, best first, raw."""

    session_id: str
    time_ns: int
    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]


class MarketData(Protocol):
    """The market data service. Raises FxError as its contract says, UNAVAILABLE when it is not there."""

    def ticks(self, positions: Sequence[tuple[str, str, int]]) -> AsyncIterator[FeedItem]:
        """Every tick after the positions (session, symbol, sequence); ends only by raising."""

    async def quotes(self) -> list[Quote]:
        """The last quote of every symbol that has one."""

    async def depth(self, symbol: str) -> Depth | None:
        """The order book; None when there is none."""

    async def acknowledge(self, session_id: str, symbol: str, sequence: int, *, ended: bool) -> None:
        """Lockstep: all ticks up to `sequence` (and the end) are handled."""


class Analysis(Protocol):
    """The analysis service. Raises FxError as its contract says, UNAVAILABLE when it is not there."""

    async def average_range(self, signal: Signal) -> int | None:
        """Average true range at a signal's bar, raw price; None while it warms up."""

    async def opinions(self, signal: Signal) -> tuple[Opinion, ...]:
        """Earlier signals of other strategies on the same bar."""

    async def progress(self, session_id: str, symbol: str) -> tuple[int, int]:
        """Sequence up to which it is done with a feed (0 before the first tick), having published so many
        signals of the session.
        """


class NotSentError(Exception):
    """A request that for certain has not left: the venue knows nothing of it."""


class OutcomeUnknownError(Exception):
    """A request that may have reached the venue, and no answer: a time-out, a connection that broke."""


class VenueRefusedError(Exception):
    """The venue's no: it has the request and does not do it."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        """A code; `UNKNOWN_ORDER` for an id that it does not know."""
        self.detail = detail


class KeyTakenError(Exception):
    """The venue has an order of that id already, and cannot say that it is the same."""


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """The venue takes requests from now on."""


@dataclass(frozen=True, slots=True)
class SessionClosed:
    """It takes none any more; what was on its way may or may not have arrived."""

    why: str


VenueNotice: TypeAlias = SessionOpened | SessionClosed | Report


class Venue(Protocol):
    """A venue outside. It knows an order by our order id, which is a function of account and client order
    id, and a change of it by id and revision.

    Requests return once the venue has them, and raise one of the four errors above and nothing else; what
    comes of them is a report. So is cash that it moves by itself. The same request again does nothing new,
    however often it is sent. Reports may come late, doubled, in any order, or not at all as long as `changes`
    has them. docs/venues.md says how to write one.
    """

    async def submit(self, order: Order) -> None:
        """Send an order. Raises KeyTakenError where the id is another order's."""

    async def amend(self, order: Order) -> None:
        """Change an order as its pending amendment says, reduce-only where it is that by now; the answer
        names its `amend_revision`.
        """

    async def cancel(self, order: Order) -> None:
        """Cancel an order."""

    async def order(self, order_id: str) -> VenueOrder | None:
        """What became of an order; None where the venue does not have it (yet)."""

    async def snapshot(self) -> Snapshot:
        """All that works, all positions, and cash where the venue tells it, at one moment."""

    async def changes(self, cursor: str) -> Heard:
        """The next page of reports after a cursor, none missing; empty text is the beginning. The last page
        leads to the cursor that was asked with.
        """

    def reports(self, cursor: str) -> AsyncGenerator[VenueNotice, None]:
        """A session: SessionOpened first, then reports from the cursor on as they come; SessionClosed last.

        Where it cannot be opened it ends with SessionClosed at once. A new one ends the one before, and so
        does whoever closes the generator: from then on requests raise NotSentError.
        """


class Clock(Protocol):
    """Wall and monotonic time, handed in by the runtime."""

    def now_ns(self) -> int:
        """Wall time."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class Meter(Protocol):
    """What is counted."""

    def committed(self, changes: Changes) -> None:
        """Orders, refusals, fills and decisions of one transaction."""

    def ticks(self, count: int) -> None:
        """Ticks read."""

    def drift(self, endpoint: str) -> None:
        """A model reported drift."""
