"""The books: accounts, orders, positions and cash, with what changed since the last commit.

Holds state and keeps its invariants (numbering, one effect per execution id, an event for every change); the
rules live beside it in `placing`, `settling` and `checks`. Everything here is whole numbers handed in;
nothing is awaited, so one step is atomic on an event loop.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from services.errors import FxError, Kind
from services.trading_gateway.domain import histories, valuation
from services.trading_gateway.domain.accounts import NOTHING_SAID, Account, Standing
from services.trading_gateway.domain.changes import Changes, Request, VenueCash, VenueCursor
from services.trading_gateway.domain.events import AccountChanged, Event, OrderChanged, OrderStep
from services.trading_gateway.domain.feeds import FeedState
from services.trading_gateway.domain.histories import History, Key
from services.trading_gateway.domain.holdings import Holdings
from services.trading_gateway.domain.ids import order_id
from services.trading_gateway.domain.inputs import Signal
from services.trading_gateway.domain.limits import LimitBook, LimitChange, LimitSetting
from services.trading_gateway.domain.markets import Markets, Session
from services.trading_gateway.domain.order_rate import OrderRate
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.positions import Position
from services.trading_gateway.domain.rules import Rules
from services.trading_gateway.domain.values import Side
from services.trading_gateway.domain.working import Working

FINISHED_KEPT = 4_000
"""Orders that are over and stay in memory; older ones are read from the store when something comes late for
them.
"""


@dataclass(frozen=True, slots=True)
class Saved:
    """What the store holds of the books: all that they are rebuilt from."""

    accounts: tuple[Account, ...] = ()
    standing: Standing = NOTHING_SAID
    orders: tuple[Order, ...] = ()
    """Those that are not over."""
    executions: tuple[tuple[str, str], ...] = ()
    """(order id, execution id) of the fills of these orders."""
    positions: tuple[Position, ...] = ()
    """Without the closed tickets of hedging accounts of which no order works."""
    ticket_revisions: tuple[tuple[str, str, int], ...] = ()
    """(account, symbol, last revision of its tickets)."""
    sessions: tuple[Session, ...] = ()
    feeds: tuple[FeedState, ...] = ()
    signal_counts: tuple[tuple[str, int], ...] = ()
    """(session, signals that came)."""
    undecided: tuple[Signal, ...] = ()
    """Signals that came and were not decided about, in the order in which they came."""
    limits: tuple[LimitSetting, ...] = ()
    placed: tuple[tuple[str, int], ...] = ()
    """(account, market time) of the orders that count for its rate, of its last second that had any."""
    order_number: int = 0
    fill_number: int = 0
    limit_change_number: int = 0
    cursors: tuple[VenueCursor, ...] = ()
    journal_number: int = 0


NOTHING_SAVED = Saved()


@dataclass(frozen=True, slots=True)
class Tally:
    """Refusals in a row."""

    count: int
    since_ns: int
    last_ns: int


class Book:
    """State of all accounts."""

    def __init__(self, rules: Rules, saved: Saved = NOTHING_SAVED, *, whole: bool = False) -> None:
        """`whole`: nothing is taken away before the end, so that all there ever was is among the changes."""
        self.rules = rules
        self._whole = whole
        self.limits = LimitBook(rules, saved.limits)
        self.markets = Markets(saved.sessions, saved.feeds)
        self.accounts: dict[str, Account] = {each.account_id: each for each in saved.accounts}
        self.standing = saved.standing
        self.holdings = Holdings(saved.positions, saved.ticket_revisions)
        self.orders: dict[str, Order] = {each.order_id: each for each in saved.orders}
        self._working = Working(saved.orders)
        self.order_number = saved.order_number
        self.fill_number = saved.fill_number
        self.limit_change_number = saved.limit_change_number
        self.refusals: dict[str, Counter[str]] = {}
        self.cursors = {each.venue: each.cursor for each in saved.cursors}
        self.valued: dict[str, tuple[object, valuation.Valued]] = {}
        """Accounts as they were last valued, each with what that rests on."""
        self.changes = Changes()
        self._histories: dict[Key, History] = {}
        self._executions: dict[str, set[str]] = {}
        for of, execution in saved.executions:
            self._executions.setdefault(of, set()).add(execution)
        self._orders_of = Counter(map(self._ticket, saved.orders))
        """How many orders in memory each ticket has."""
        self._finished: OrderedDict[str, None] = OrderedDict()
        self._cash: OrderedDict[tuple[str, str], None] = OrderedDict()
        """Venues' transactions that were booked, of those lately heard: the store knows them all."""
        self.order_rate = OrderRate(saved.placed)
        """Of orders that add risk, or were refused."""
        self.tallies: dict[tuple[str, str], Tally] = {}
        """Refusals that left nothing behind and are not told yet, by account and reason."""

    # Accounts

    def account(self, account_id: str) -> Account:
        """Raises FxError NOT_FOUND `UNKNOWN_ACCOUNT`."""
        found = self.accounts.get(account_id)
        if found is None:
            raise FxError(Kind.NOT_FOUND, "UNKNOWN_ACCOUNT", f"no account {account_id}")
        return found

    def put_account(self, account: Account, time_ns: int) -> Account:
        """The next revision of an account (its first, when new)."""
        known = self.accounts.get(account.account_id)
        revision = 1 if known is None else known.revision + 1
        updated = replace(account, revision=revision, updated_ns=max(account.updated_ns, time_ns))
        self.accounts[account.account_id] = self.changes.accounts[account.account_id] = updated
        return updated

    def put_standing(self, standing: Standing) -> Standing:
        """What accounts begin with from now on."""
        self.standing = self.changes.standing = standing
        return standing

    def next_limit_change(self) -> int:
        """1, 2, 3 …"""
        self.limit_change_number += 1
        return self.limit_change_number

    def put_limit(self, setting: LimitSetting, change: LimitChange) -> None:
        """From now on a limit holds, and its change is kept."""
        self.limits.put(setting)
        self.changes.limits[setting.account_id, setting.symbol, setting.name] = setting
        self.changes.limit_changes.append(change)

    def tell_account(self, account: Account, *, by_fill: bool = False) -> None:
        """Publish an account as it stands."""
        self.tell(AccountChanged(valuation.account_view(self, account), by_fill))

    # Orders

    def order(self, wanted: str) -> Order:
        """An order in memory. Raises FxError NOT_FOUND `UNKNOWN_ORDER`."""
        found = self.orders.get(wanted)
        if found is None:
            raise FxError(Kind.NOT_FOUND, "UNKNOWN_ORDER", f"no order {wanted}")
        return found

    def find(self, account_id: str, client_order_id: str) -> Order | None:
        """The order in memory that an account placed under a key."""
        return self.orders.get(order_id(account_id, client_order_id))

    def put_order(self, order: Order, step: OrderStep | None = None) -> Order:
        """Keep the next revision of an order, and publish it when the step has an event."""
        known = self.orders.get(order.order_id)
        self._working.keep(known, order)
        if known is None:
            self._orders_of[self._ticket(order)] += 1
        self.orders[order.order_id] = self.changes.orders[order.order_id] = order
        if step is not None:
            self.tell(OrderChanged(step, order))
        if order.final:
            self._finished[order.order_id] = None
        elif known is not None and known.final:  # what had filled it was taken back
            self._finished.pop(order.order_id, None)
        return order

    def adopt(self, order: Order, executions: Iterable[str]) -> None:
        """Take an order that is over back into memory, from the store, since something came late for it."""
        if order.order_id not in self.orders:
            self._orders_of[self._ticket(order)] += 1
            self.orders[order.order_id] = order
            self._executions[order.order_id] = set(executions)
            self._finished[order.order_id] = None

    def forget_finished(self, keep: int = FINISHED_KEPT) -> None:
        """Drop the oldest finished orders from memory. Call it only when all changes are committed."""
        while len(self._finished) > keep:
            oldest, _ = self._finished.popitem(last=False)
            self._executions.pop(oldest, None)
            order = self.orders.pop(oldest, None)
            if order is not None:
                self._forget_ticket(order)
        while len(self._cash) > keep:
            self._cash.popitem(last=False)

    def lane(self, scope: str, symbol: str) -> dict[str, Order]:
        """Orders of one market that are not over, by id, in the order of placing."""
        return self._working.lane(scope, symbol)

    def working(self, account_id: str = "", symbol: str = "") -> list[Order]:
        """Orders that are not over, in the order of placing; empty arguments take all."""
        return self._working.of(account_id, symbol)

    def adding(self, account_id: str, symbol: str, side: Side) -> int:
        """Raw size that orders of an account on one side may still add to its position."""
        return self._working.adding(account_id, symbol, side)

    def on_paper(self, order: Order) -> bool:
        """True where the engine's own venue works an order."""
        return self.accounts[order.account_id].on_paper

    def outside(self, requests: Iterable[Request]) -> list[Request]:
        """Those of durable requests that are for a venue outside."""
        return [each for each in requests if not self.on_paper(self.orders[each.order_id])]

    def put_cursor(self, cursor: VenueCursor) -> None:
        """A venue's reports were heard up to there."""
        self.cursors[cursor.venue] = cursor.cursor
        self.changes.cursors[cursor.venue] = cursor

    def children(self, of: str) -> list[Order]:
        """Orders that are not over and work for the fills of this one, in the order of placing."""
        return self._working.children(of)

    def linked(self, order: Order) -> list[Order]:
        """Orders that are not over and share their size with this one, in the order of placing."""
        return self._working.linked(order)

    def reducing(self, account_id: str, symbol: str) -> list[Order]:
        """Orders that are not over and may only reduce a position, in the order of placing."""
        return self._working.reducing(account_id, symbol)

    def reducible(self, order: Order) -> int:
        """How much of an order may fill: all of it, or for a reduce-only order what there is to reduce."""
        if not order.reduce_only:
            return order.remaining
        position = self.position(order.account_id, order.symbol, order.position_id).size
        return abs(position) if position * order.side.sign < 0 else 0

    def position_id(self, order: Order) -> str:
        """The position that fills of an order change: in a hedging account the one it names, or its own."""
        return (order.position_id or order.order_id) if self.accounts[order.account_id].hedging else ""

    def next_order_number(self) -> int:
        """1, 2, 3 …"""
        self.order_number += 1
        return self.order_number

    def count_refusal(self, account_id: str, reason: str, count: int = 1) -> None:
        """Refusals since the start, by reason."""
        self.refusals.setdefault(account_id, Counter())[reason] += count

    def tally(self, account_id: str, reason: str, time_ns: int) -> None:
        """An amendment, or an order beyond the rate, was refused, and is to be told with others like it."""
        known = self.tallies.get((account_id, reason))
        count, since_ns = (0, time_ns) if known is None else (known.count, known.since_ns)
        self.tallies[account_id, reason] = Tally(count + 1, since_ns, time_ns)

    # Fills and positions

    def booked(self, of: str, execution_id: str) -> bool:
        """True when that execution of an order has had its effect."""
        return execution_id in self._executions.get(of, ())

    def note_booked(self, of: str, execution_id: str) -> None:
        """The execution has its effect in this step."""
        self._executions.setdefault(of, set()).add(execution_id)

    def adopt_history(self, position: Key, history: History) -> None:
        """What the store holds of a position, until the changes are taken."""
        self._histories[position] = history

    def history(self, position: Key) -> History:
        """All that was booked of a position. Raises KeyError for one that was not adopted."""
        read = History() if self._whole else self._histories[position]
        fills = (each for each in self.changes.fills if histories.position_of(each) == position)
        posted = (each for each in self.changes.transactions if each.account_id == position[0])
        return read.with_later(fills, posted)

    def cash_booked(self, account_id: str, transaction_id: str) -> bool:
        """True when that transaction of an account's venue has had its effect."""
        return (account_id, transaction_id) in self._cash

    def note_cash(self, account_id: str, transaction_id: str) -> None:
        """The transaction has its effect in this step."""
        self.adopt_cash(account_id, transaction_id)
        self.changes.venue_cash.append(VenueCash(account_id, transaction_id))

    def adopt_cash(self, account_id: str, transaction_id: str) -> None:
        """The store says that a venue's transaction was booked; it may come again."""
        self._cash[account_id, transaction_id] = None
        self._cash.move_to_end((account_id, transaction_id))

    def next_fill_number(self) -> int:
        """1, 2, 3 …"""
        self.fill_number += 1
        return self.fill_number

    @property
    def open_symbols(self) -> dict[str, set[str]]:
        """Symbols with an open position, by account; of accounts that ever had one."""
        return self.holdings.symbols

    def position(self, account_id: str, symbol: str, position_id: str = "") -> Position:
        """The position, flat when there never was one."""
        return self.holdings.get(account_id, symbol, position_id)

    def put_position(self, position: Position) -> Position:
        """Keep the next revision of a position."""
        kept = self.holdings.put(position)
        self.changes.positions[kept.account_id, kept.symbol, kept.position_id] = kept
        return kept

    def positions_of(self, account_id: str) -> list[Position]:
        """Positions of an account in memory by symbol and age, flat ones too."""
        return self.holdings.all(account_id)

    def _ticket(self, order: Order) -> tuple[str, str, str]:
        return order.account_id, order.symbol, self.position_id(order)

    def _forget_ticket(self, order: Order) -> None:
        """An order is forgotten, and its ticket with the last of its orders."""
        ticket = self._ticket(order)
        self._orders_of[ticket] -= 1
        if not self._orders_of[ticket]:
            del self._orders_of[ticket]
            if ticket[2]:
                self.holdings.forget(*ticket)

    # Changes

    def tell(self, event: Event) -> None:
        """Publish with the commit."""
        self.changes.events.append(event)

    def take_changes(self) -> Changes:
        """What changed since the last call, for one transaction."""
        taken, self.changes = self.changes, Changes()
        self._histories.clear()
        return taken
