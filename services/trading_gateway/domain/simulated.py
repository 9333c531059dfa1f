"""A simulated venue: orders by their id, fills, positions and every report it ever made, of its own.

It works its copies of the orders by the rules of the paper venue, but knows nothing of the gateway's books:
what it holds outlives the gateway, and is what a real venue would show. Pure: quotes and times are handed in,
each step answers what changed, for whoever keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from services.trading_gateway.domain import orders
from services.trading_gateway.domain.conditions import Conditions
from services.trading_gateway.domain.feeds import Quote
from services.trading_gateway.domain.orders import Amendment, Order
from services.trading_gateway.domain.placing import terms_key
from services.trading_gateway.domain.reports import (
    Accepted,
    Amended,
    AmendRefused,
    Busted,
    CancelRefused,
    CashMoved,
    Ended,
    Executed,
    OrderReport,
    Report,
    Trailed,
    Triggered,
)
from services.trading_gateway.domain.simulated_cash import SimulatedCash
from services.trading_gateway.domain.values import OrderStatus
from services.trading_gateway.domain.venue import FILLED, PaperVenue, close, expire
from services.trading_gateway.domain.venue_views import Heard, Holding, Snapshot, VenueOrder


@dataclass(frozen=True, slots=True)
class Kept:
    """An order as the venue has it. `key` tells a repeated order from another under the same id."""

    order: Order
    key: str
    answered: int = 0
    """Revision of the last amendment that it has answered."""
    taken: int = 0
    """And of the last that it has taken."""


@dataclass(frozen=True, slots=True)
class Logged:
    """A report, numbered 1, 2, 3 … without a hole: the number is the cursor."""

    number: int
    report: Report


@dataclass(frozen=True, slots=True)
class Step:
    """What a step changed."""

    orders: tuple[Kept, ...] = ()
    reports: tuple[Logged, ...] = ()


class SimulatedBooks:
    """All that the venue knows."""

    def __init__(self, conditions: Conditions, kept: Iterable[Kept] = (), log: Iterable[Logged] = ()) -> None:
        # Whether answers arrive is the connection's business.
        self._paper = PaperVenue(replace(conditions, lost_ppm=0, unanswered_ppm=0))
        self.orders = {each.order.order_id: each for each in kept}
        self.log = sorted(log, key=lambda each: each.number)
        self.quotes: dict[str, Quote] = {}
        self._changed: dict[str, Kept] = {}
        self._held: dict[tuple[str, str], int] = {}
        self._executions: dict[tuple[str, str], Executed] = {}
        self._busted: set[tuple[str, str]] = set()
        self._erroneous: dict[tuple[str, str], None] = {}
        """Executions that are to be taken back, in the order of filling."""
        self._conditions = conditions
        self.cash = SimulatedCash(conditions, self.quotes)
        """Money, of accounts that it was told of: of others it tells nothing."""
        for logged in self.log:
            self._hold(logged.report)
        self._working = {each for each, kept in self.orders.items() if not kept.order.final}

    # What it is asked

    def same(self, order: Order) -> bool | None:
        """Whether the id is taken by an order with the same terms; None where it is free."""
        known = self.orders.get(order.order_id)
        return None if known is None else known.key == terms_key(order.terms)

    def submit(self, order: Order, time_ns: int) -> Step:
        """Take an order; one whose id it has, it has."""
        if order.order_id in self.orders:
            return Step()
        sent = replace(order, status=OrderStatus.PLACED, at_venue=False)
        self._keep(Kept(sent, terms_key(order.terms)))
        return self._step(order.order_id, lambda own: self._submitted(own, time_ns))

    def cancel(self, order_id: str, time_ns: int, reason: str, detail: str) -> Step:
        """Cancel one that works. Raises KeyError for an id that it does not have."""

        def act(own: Order) -> Iterator[OrderReport]:
            yield (
                CancelRefused(time_ns, order_id, *FILLED)
                if own.final
                else close(own, time_ns, reason, detail)
            )

        return self._step(order_id, act)

    def amend(self, order: Order, time_ns: int) -> Step:
        """Change one as its pending amendment asks; a revision that was answered is answered for good.

        Raises KeyError for an id that it does not have.
        """
        kept = self.orders[order.order_id]
        if order.amend_revision <= kept.answered:
            return Step()
        self._keep(replace(kept, answered=order.amend_revision))

        def act(own: Order) -> Iterator[OrderReport]:
            if own.final:
                yield AmendRefused(time_ns, order.order_id, *FILLED, order.amend_revision)
                return
            asked = replace(
                own,
                status=OrderStatus.PENDING_AMEND,
                amend_size=order.amend_size,
                amend_limit=order.amend_limit,
                amend_stop=order.amend_stop,
                amend_trail=order.amend_trail,
                amend_revision=order.amend_revision,
                reduce_only=order.reduce_only,
            )
            self._keep(replace(self.orders[order.order_id], order=asked))
            yield from self._paper.replace(asked, self._quote(own), time_ns)

        step = self._step(order.order_id, act)
        looked = self._step(order.order_id, lambda own: self._looked(own, self._quote(own)))
        return Step(looked.orders or step.orders, step.reports + looked.reports)

    def quote(self, quote: Quote) -> Step:
        """What works may fill, in the order of placing, and what is due expires before that; what is held is
        financed first.
        """
        self.quotes[quote.symbol] = quote
        kept: dict[str, Kept] = {}
        reports: tuple[Logged, ...] = ()
        for moved in list(self.cash.rolled(quote.time_ns)):
            reports += self.move_cash(moved).reports
        for order_id in sorted(self._working, key=lambda each: self.orders[each].order.number):
            own = self.orders[order_id].order
            if own.symbol == quote.symbol:
                step = self._step(order_id, lambda own: self._looked(own, self._quote(own)))
                kept.update((each.order.order_id, each) for each in step.orders)
                reports += step.reports
        for step in list(self._errors(quote)):
            kept.update((each.order.order_id, each) for each in step.orders)
            reports += step.reports
        return Step(tuple(kept.values()), reports)

    def _errors(self, quote: Quote) -> Iterator[Step]:
        """Fills before this quote that are taken back, as its conditions ask; those that cannot be settled
        now are at a later one.
        """
        for order_id, execution_id in list(self._erroneous):
            earlier = self._executions[order_id, execution_id].time_ns < quote.time_ns
            order = self.orders[order_id].order
            if earlier and order.symbol == quote.symbol and self.cash.settles(order):
                yield self.bust(order_id, execution_id, quote.time_ns, "erroneous")

    def move_cash(self, moved: CashMoved) -> Step:
        """Move cash by itself; the same transaction again does nothing."""
        if self.cash.booked(moved):
            return Step()
        return Step(reports=(self._log(moved),))

    def bust(self, order_id: str, execution_id: str, time_ns: int, detail: str = "") -> Step:
        """Take one of its executions back, the first time; an order that it had filled is over. Raises
        KeyError for one that is not there, FxError where the profit that moves cannot be settled.
        """
        if (order_id, execution_id) in self._busted:
            return Step()
        kept, executed = self.orders[order_id], self._executions[order_id, execution_id]
        cash = self.cash.taken_back(kept.order, executed)
        report = Busted(time_ns, order_id, execution_id, over=True, cash=cash, detail=detail)
        own = orders.busted(kept.order, executed.size, executed.price, time_ns, over=True)
        self._keep(replace(kept, order=own))
        logged = self._log(report)
        changed, self._changed = self._changed, {}
        return Step(tuple(changed.values()), (logged,))

    # What it shows

    def order(self, order_id: str) -> VenueOrder | None:
        """An order by its id, over or not."""
        kept = self.orders.get(order_id)
        return None if kept is None else VenueOrder.of(kept.order, kept.taken)

    def snapshot(self) -> Snapshot:
        """Everything at this moment."""
        working = [self.orders[each] for each in sorted(self._working)]
        return Snapshot(
            str(len(self.log)),
            tuple(VenueOrder.of(each.order, each.taken) for each in working),
            self.holdings(),
            self.cash.balances,
        )

    def holdings(self) -> tuple[Holding, ...]:
        """Positions: the fold of all fills."""
        return tuple(Holding(*key, size) for key, size in sorted(self._held.items()) if size)

    def after(self, cursor: str) -> Heard:
        """Reports after a cursor; empty text is the beginning."""
        start = int(cursor or 0)
        return Heard(tuple(each.report for each in self.log[start:]), str(len(self.log)))

    # Inside

    def _submitted(self, own: Order, time_ns: int) -> Iterator[OrderReport]:
        return self._paper.submit(own, self._quote(own), time_ns, self._free(own))

    def _quote(self, own: Order) -> Quote | None:
        """What an order may fill at, where what it moves can be settled."""
        return self.quotes.get(own.symbol) if self.cash.settles(own) else None

    def _looked(self, own: Order, quote: Quote | None) -> Iterator[OrderReport]:
        if quote is None or own.final or not own.at_venue:
            return iter(())
        if own.expires_ns is not None and own.expires_ns <= quote.time_ns:
            return expire(own, own.expires_ns)
        return self._paper.on_quote(own, quote, self._free(own))

    def _free(self, own: Order) -> int:
        """How much of an order may fill, by the venue's own positions."""
        if not own.reduce_only:
            return own.remaining
        size = self._held.get((own.account_id, own.symbol), 0)
        return abs(size) if size * own.side.sign < 0 else 0

    def _step(self, order_id: str, act: Callable[[Order], Iterator[OrderReport]]) -> Step:
        first = len(self.log)
        for made in list(act(self.orders[order_id].order)):
            kept = self.orders[order_id]
            report = self.cash.settled(kept.order, made)
            taken = report.revision if isinstance(report, Amended) else kept.taken
            self._keep(replace(kept, order=after(kept.order, report), taken=taken))
            self._log(report)
        changed, self._changed = self._changed, {}
        return Step(tuple(changed.values()), tuple(self.log[first:]))

    def _log(self, report: Report) -> Logged:
        logged = Logged(len(self.log) + 1, report)
        self.log.append(logged)
        self._hold(report)
        return logged

    def _hold(self, report: Report) -> None:
        own = None if isinstance(report, CashMoved) else self.orders[report.order_id].order
        self.cash.hold(report, own)
        if own is None or not isinstance(report, Executed | Busted):
            return
        of = report.order_id, report.execution_id
        if isinstance(report, Executed):
            size = report.size
            self._executions[of] = report
            if self._conditions.busts(report.execution_id):
                self._erroneous[of] = None
        else:
            size = -self._executions[of].size
            self._busted.add(of)
            self._erroneous.pop(of, None)
        key = own.account_id, own.symbol
        self._held[key] = self._held.get(key, 0) + own.side.sign * size

    def _keep(self, kept: Kept) -> None:
        order_id = kept.order.order_id
        self.orders[order_id] = self._changed[order_id] = kept
        (self._working.discard if kept.order.final else self._working.add)(order_id)


def after(order: Order, report: Report) -> Order:
    """A venue's own copy after what it reports."""
    time_ns = report.time_ns
    match report:
        case Accepted():
            return orders.accepted(order, time_ns, report.works_from_ns)
        case Triggered():
            return replace(order, triggered=True)
        case Trailed():
            return orders.trailed(order, time_ns, report.stop)
        case Executed():
            return orders.executed(order, report.size, report.price, time_ns)
        case Ended():
            return orders.ended(order, time_ns, report.status, report.reason, report.detail)
        case Amended():
            terms = Amendment(report.size, report.limit, report.stop, report.trail)
            return orders.amended(order, time_ns, terms, report.revision)
        case AmendRefused():
            return orders.amendment_refused(order, time_ns, report.reason, report.detail, report.revision)
        case _:
            return order
