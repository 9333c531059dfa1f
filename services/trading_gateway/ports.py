"""What trading needs from outside: its store, the outbox, market data, analysis, clocks and counters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from services.market.ticks import TickBatch
from services.tracing import Step, Story
from services.trading_gateway.domain.book import Saved
from services.trading_gateway.domain.changes import Answered, Changes, Decision, JournalEntry
from services.trading_gateway.domain.feeds import Quote
from services.trading_gateway.domain.fills import Fill, LedgerEntry
from services.trading_gateway.domain.inputs import Opinion, Signal
from services.trading_gateway.domain.limits import LimitChange
from services.trading_gateway.domain.markets import Session
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.transactions import Transaction
from services.trading_gateway.domain.values import OrderStatus


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
    """The stories that changes belong to: one for each of their events (None: the work in hand), and new ones
    to keep, by signal id and order id. `steps` end when the changes are stored.
    """

    events: list[Story | None] = field(default_factory=list)
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

    async def orders(self, query: OrderQuery) -> list[Order]:
        """A page of orders."""

    async def fills(self, query: FillQuery) -> list[Fill]:
        """A page of fills."""

    async def all_fills(self, account_id: str) -> list[Fill]:
        """All fills of an account in the order of booking."""

    async def ledger(self, account_id: str, after: int, limit: int) -> list[LedgerEntry]:
        """Postings after an entry, in order."""

    async def transactions(self, account_id: str, after: int, limit: int | None = None) -> list[Transaction]:
        """Double-entry transactions after a number, in order; without a limit all."""

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
