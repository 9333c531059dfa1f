"""One input after the other: applies it, journals it, and asks the paper venue.

An input and all that it changes form one transaction (`take_changes`), so the journal never says more or less
than the books. Requests to the venue are part of the changes and come back through `deliver` once they are
durable. With `live=False` (replaying a journal) the venue is not asked: its reports are in the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar, get_args

from services.errors import FxError, Kind
from services.market.ticks import TickBatch
from services.trading_gateway.domain import (
    amending,
    autotrade,
    families,
    legs,
    limiting,
    links,
    margin_watch,
    opening,
    placing,
    plain,
    reading,
    sessions,
    settling,
    stop_out,
    storms,
    venue,
)
from services.trading_gateway.domain.accounts import Account, Standing
from services.trading_gateway.domain.book import NOTHING_SAVED, Book, Saved
from services.trading_gateway.domain.changes import (
    Answered,
    Ask,
    Changes,
    Decision,
    Replace,
    Request,
    SignalNote,
    Submit,
    Withdraw,
)
from services.trading_gateway.domain.feeds import Quote
from services.trading_gateway.domain.inputs import (
    AmendOrder,
    AskDue,
    CancelOrder,
    DayRolled,
    Input,
    MarginCalled,
    OpenAccount,
    OrderDue,
    OrdersRefused,
    PlaceOrder,
    QuoteSeen,
    SessionEnded,
    SessionStarted,
    SetAutoTrade,
    SetLimits,
    SetStanding,
    SetTradingState,
    Signal,
    SignalDecided,
    StoppedOut,
    TicksRead,
)
from services.trading_gateway.domain.journal import Journal
from services.trading_gateway.domain.limits import LimitChange
from services.trading_gateway.domain.markets import Session
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.reports import OrderReport
from services.trading_gateway.domain.rules import Rules
from services.trading_gateway.domain.situations import Refusal
from services.trading_gateway.domain.venue import PaperVenue

T = TypeVar("T")
InputT = TypeVar("InputT", bound=Input)


class Engine:
    """The books, the venue and the journal of all accounts."""

    def __init__(
        self, rules: Rules, policy: autotrade.Policy, saved: Saved = NOTHING_SAVED, *, live: bool = True
    ) -> None:
        self.book = Book(rules, saved, whole=not live)
        self.journal = Journal(self.book, saved.journal_number)
        self.signal_counts = dict(saved.signal_counts)
        """Signals that came, by session."""
        self.undecided = {each.signal_id: each for each in saved.undecided}
        """Signals without decisions yet, in the order in which they came."""
        self.live = live
        self.venue = PaperVenue(rules.paper)
        self._policy = policy
        self._derived: list[Request] = []

    # Inputs from callers

    def open_account(self, asked: OpenAccount) -> Account:
        """Raises FxError ALREADY_EXISTS `ACCOUNT_EXISTS`."""
        return self._take(asked, opening.open_account)

    def set_auto_trade(self, asked: SetAutoTrade) -> Account:
        """Raises FxError NOT_FOUND `UNKNOWN_ACCOUNT`."""
        return self._take(asked, limiting.set_auto_trade)

    def set_trading_state(self, asked: SetTradingState) -> Account:
        """Raises FxError NOT_FOUND `UNKNOWN_ACCOUNT`."""
        return self._take(asked, opening.set_trading_state)

    def set_standing(self, asked: SetStanding) -> Standing:
        """What accounts begin with that are opened later."""
        return self._take(asked, opening.set_standing)

    def set_limits(self, asked: SetLimits) -> list[LimitChange]:
        """Raises FxError NOT_FOUND `UNKNOWN_ACCOUNT`."""
        changes = self._take(asked, limiting.set_limits)
        stop_out.look(self, self.book.account(asked.account_id), asked.time_ns)
        return changes

    def place(self, asked: PlaceOrder) -> Order:
        """As `placing.place`."""
        return self._take(asked, placing.place)

    def amend(self, asked: AmendOrder) -> Order:
        """As `amending.amend`."""
        return self._take(asked, amending.amend)

    def cancel(self, asked: CancelOrder) -> Order:
        """As `placing.cancel`."""
        return self._take(asked, placing.cancel)

    def answered(self, answer: Answered) -> None:
        """A request id and its answer become durable with what the request changed."""
        self.book.changes.answers.append(answer)

    # Signals

    def decide(self, asked: SignalDecided) -> Decision:
        """Act on a signal for one account."""
        decision = self._take(asked, lambda book, it: autotrade.decide(book, self._policy, it))
        self.book.changes.decisions.append(decision)
        return decision

    def signal_came(self, signal: Signal) -> None:
        """A signal is here to stay: it counts for its session, and waits to be decided about."""
        if signal.signal_id not in self.undecided:
            self.signal_counts[signal.session_id] = self.signal_counts.get(signal.session_id, 0) + 1
            self.undecided[signal.signal_id] = signal
            self._note(signal, decided=False)

    def signal_decided(self, signal: Signal) -> None:
        """All accounts have decided about a signal."""
        self.undecided.pop(signal.signal_id, None)
        self._note(signal, decided=True)

    def _note(self, signal: Signal, *, decided: bool) -> None:
        body = "" if decided else plain.dump(signal)
        note = SignalNote(signal.signal_id, signal.session_id, decided, body)
        self.book.changes.signals[signal.signal_id] = note

    # The venue

    def report(self, report: OrderReport) -> None:
        """Book what the venue says. Raises FxError NOT_FOUND `UNKNOWN_ORDER` for an order not in memory."""
        self._book_all((report,))
        self._look_at(self.book.order(report.order_id))

    def hear(self, report: OrderReport) -> bool:
        """As `report`, of a venue outside; False, and not journalled, for what says nothing new."""
        before = self.book.order(report.order_id)
        account = self.book.account(before.account_id)
        settling.settle(self.book, report)
        same = self.book.account(account.account_id) is account
        if same and self.book.order(before.order_id) is before:
            return False
        self._follow_up(before, report)
        self._deliver_derived()
        self._look_at(self.book.order(report.order_id))
        return True

    def link(self, asked: links.Linked) -> None:
        """How a venue outside stands to the books, and its cash; what is known already changes nothing."""
        if links.news(self.book, asked):
            self._take(asked, links.apply)

    def works(self, order: Order) -> bool:
        """True for an order that quotes may fill, by the paper venue."""
        return self.book.on_paper(order) and self.venue.works(order)

    def deliver(self, requests: Iterable[Request]) -> None:
        """Give durable requests to the paper venue and book its answers."""
        asked = tuple(requests)
        self._deliver(asked)
        for each in dict.fromkeys(request.order_id for request in asked):
            self._look_at(self.book.order(each))

    def _deliver(self, requests: Iterable[Request]) -> None:
        for request in requests if self.live else ():
            order = self.book.order(request.order_id)
            if not self.book.on_paper(order):
                continue
            time_ns = max(self.time(order.scope), order.updated_ns)
            match request:
                case Submit():
                    reducible = self.book.reducible(order)
                    self._book_all(self.venue.submit(order, self._quote(order), time_ns, reducible))
                case Withdraw():
                    self._book_all(self.venue.withdraw(order, time_ns))
                case Replace():
                    self._book_all(self.venue.replace(order, self._quote(order), time_ns))
                    self.match(order.order_id)

    def match(self, order_id: str) -> None:
        """Let the venue look at a working order at the present quote."""
        order = self.book.order(order_id)
        quote = self._quote(order)
        if quote is not None and self.works(order):
            self._book_all(self.venue.on_quote(order, quote, self.book.reducible(order)))

    def resume(self) -> list[Request]:
        """After a restart: what was on its way to the paper venue when the last process ended."""
        return placing.on_the_way(self.book)

    # Markets

    def session_started(self, asked: SessionStarted) -> None:
        """Market data announced a session; one that is known says nothing new."""
        if sessions.started(self.book, asked):
            self.journal.enter(asked)

    def session_ended(self, asked: SessionEnded) -> None:
        """No tick follows: what works in a replay is cancelled; on the live market it waits for the next."""
        session = self.session(asked.session_id)
        if not sessions.ended(self.book, session, asked.symbol):
            return
        self.journal.enter(asked)
        if session.replay and self.live:
            lane = self.book.lane(session.scope, asked.symbol)
            while lane:  # one may take others with it
                order = next(iter(lane.values()))
                self.report(venue.close(order, asked.time_ns, "SESSION_ENDED", "the replay is over"))

    def quote_seen(self, asked: QuoteSeen) -> None:
        """A quote asked for, where no tick was read yet."""
        if sessions.quoted(self.book, self.session(asked.quote.session_id), asked.quote):
            self.journal.enter(asked)

    def read(self, batch: TickBatch, clock_ns: int) -> None:
        """Ticks of one symbol, and the market time up to which it is complete; known ticks are passed over.

        Raises FxError NOT_FOUND `UNKNOWN_SESSION` or `UNKNOWN_SYMBOL`, INVALID_ARGUMENT `PRICE_PRECISION`.
        """
        reading.read(self, batch, clock_ns)

    def order_due(self, due: OrderDue) -> None:
        """A timer: an order's time in force ran out."""
        self.journal.enter(due)
        if self.live:
            self._book_all(venue.expire(self.book.order(due.order_id), due.time_ns))

    def ask_due(self, due: AskDue) -> None:
        """A timer: the venue is asked for an order that it did not answer, and its word taken."""
        order = self.book.put_order(replace(self.book.order(due.order_id), ask_ns=None))
        self.journal.enter(due)
        if not self.book.on_paper(order):
            self.book.changes.requests.append(Ask(due.order_id))
        elif self.live:
            self._book_all(self.venue.query(order, due.time_ns))

    def roll_day(self, due: DayRolled) -> None:
        """A timer: a trading day begins for an account."""
        stop_out.look(self, self._take(due, opening.roll_day), due.time_ns)

    # Margin and storms

    def margin_called(self, asked: MarginCalled) -> Account:
        """The account is told that it is below its margin call level, or above it again."""
        return self._take(asked, margin_watch.call_margin)

    def stopped_out(self, asked: StoppedOut) -> Order:
        """A position of an account below its stop-out level is closed."""
        return self._take(asked, margin_watch.stop_out)

    def turned_away(self, asked: PlaceOrder) -> Refusal | None:
        """As `storms.turned_away`: nothing is journalled of such an order."""
        return storms.turned_away(self.book, asked)

    def orders_refused(self, asked: OrdersRefused) -> None:
        """Refusals beyond the rate are told."""
        self._take(asked, storms.tell)

    def at_once(self, act: Callable[[], object]) -> None:
        """What a tick leads to on a paper account reaches the paper venue before the next tick does."""
        requests = self.book.changes.requests
        asked = len(requests)
        act()
        taken = requests[asked:]
        del requests[asked:]
        self._deliver(taken)

    # All of it

    def apply(self, asked: Input) -> None:
        """Any input but ticks, as the journal gives them; the answer is of no interest."""
        _APPLY.get(type(asked), Engine.report)(self, asked)

    def positions(self) -> list[tuple[str, str, int]]:
        """(session, symbol, last sequence read) of every feed that goes on: where to resume."""
        states = (feed.state for feed in self.book.markets.feeds.values())
        return [
            (each.session_id, each.symbol, each.sequence)
            for each in states
            if each.session_id and not each.ended
        ]

    def time(self, scope: str) -> int:
        """Market time of a scope; 0 before anything was heard."""
        return self.book.markets.time(scope)

    def session(self, session_id: str) -> Session:
        """An announced session. Raises FxError NOT_FOUND `UNKNOWN_SESSION`."""
        found = self.book.markets.sessions.get(session_id)
        if found is None:
            raise FxError(Kind.NOT_FOUND, "UNKNOWN_SESSION", f"session {session_id} was never announced")
        return found

    def take_changes(self) -> Changes:
        """What changed since the last call, for one transaction."""
        changes = self.book.take_changes()
        changes.follows = self.journal.number - len(changes.journal)
        return changes

    def _quote(self, order: Order) -> Quote | None:
        feed = self.book.markets.feed(order.scope, order.symbol)
        return None if feed is None or feed.state.ended else feed.state.quote

    def _look_at(self, order: Order) -> None:
        """A fill may leave its account with less than its positions need."""
        if order.fills:
            stop_out.look(self, self.book.account(order.account_id), order.updated_ns)

    def _book_all(self, reports: Iterable[OrderReport]) -> None:
        """Book reports; what follows from them reaches the paper venue at once, before the next tick does."""
        for report in reports:
            before = self.book.order(report.order_id)
            settling.settle(self.book, report)
            self._follow_up(before, report)
        self._deliver_derived()

    def _follow_up(self, before: Order, report: OrderReport) -> None:
        requests = self.book.changes.requests
        asked = len(requests)
        families.follow_up(self.book, before, report)
        if self.book.on_paper(before):
            self._derived += requests[asked:]
            del requests[asked:]
        self.journal.enter(report)
        for anew in legs.anew(self.book, before, report.time_ns) if self.live else ():
            self.place(anew)

    def _deliver_derived(self) -> None:
        derived, self._derived = self._derived, []
        self._deliver(derived)

    def _take(self, asked: InputT, act: Callable[[Book, InputT], T]) -> T:
        """Apply and journal an input. One that no column could hold is refused and has changed nothing."""
        plain.require_storable(asked)
        answer = act(self.book, asked)
        self.journal.enter(asked)
        return answer


_APPLY: dict[type[Input], Callable[[Engine, Any], Any]] = {
    OpenAccount: Engine.open_account,
    SetAutoTrade: Engine.set_auto_trade,
    SetTradingState: Engine.set_trading_state,
    SetStanding: Engine.set_standing,
    SetLimits: Engine.set_limits,
    PlaceOrder: Engine.place,
    AmendOrder: Engine.amend,
    CancelOrder: Engine.cancel,
    SignalDecided: Engine.decide,
    SessionStarted: Engine.session_started,
    SessionEnded: Engine.session_ended,
    QuoteSeen: Engine.quote_seen,
    OrderDue: Engine.order_due,
    AskDue: Engine.ask_due,
    DayRolled: Engine.roll_day,
    MarginCalled: Engine.margin_called,
    StoppedOut: Engine.stopped_out,
    OrdersRefused: Engine.orders_refused,
    TicksRead: lambda _, __: None,  # read by whoever has them
    **dict.fromkeys(get_args(links.Linked), Engine.link),
}
