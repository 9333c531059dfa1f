"""The paper venue: works accepted orders against the ticks of their market and reports what happens to them.

It sees orders as the books have them and answers with reports only; the books change by those. A quote with a
flaw is never traded on. Orders are looked at in the order of placing, ticks one by one, timers (in `engine`)
before the tick that passes them, so the same ticks give the same reports.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from services.market.instruments import instrument
from services.trading_gateway.domain import matching
from services.trading_gateway.domain.conditions import Conditions, Fate
from services.trading_gateway.domain.feeds import Flaw, Quote
from services.trading_gateway.domain.ids import execution_id
from services.trading_gateway.domain.matching import Match
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.reports import (
    Accepted,
    Amended,
    AmendRefused,
    Ended,
    Executed,
    OrderReport,
    Trailed,
    Triggered,
    Unanswered,
)
from services.trading_gateway.domain.values import OrderStatus, TimeInForce

Depth: TypeAlias = tuple[tuple[int, int], ...]
WOULD_TAKE = ("POST_ONLY_WOULD_TAKE", "it would fill at once, and is to add liquidity only")
"""Reason and words for a post-only order that is marketable."""
FILLED = ("ORDER_FINAL", "it was filled meanwhile")
FILLED_MORE = ("SIZE_BELOW_MINIMUM", "more than that filled meanwhile")
REJECTED = ("VENUE_REJECTED", "the paper venue refuses some orders, as its settings ask")
ABSENT = ("NOT_AT_VENUE", "the venue did not answer, and does not have it after the settle window")


class PaperVenue:
    """Answers under its conditions; keeps nothing of its own."""

    def __init__(self, conditions: Conditions) -> None:
        self._conditions = conditions

    def works(self, order: Order) -> bool:
        """True for an order that quotes may fill: also one of which nobody heard that the venue has it."""
        return not order.final and (order.at_venue or self._has_unheard(order))

    def submit(
        self, order: Order, quote: Quote | None, time_ns: int, reducible: int
    ) -> Iterator[OrderReport]:
        """Reports on an order that was sent: acceptance, what fills at once, and the end of what cannot wait.

        `reducible` is how much a reduce-only order may fill.
        """
        if order.status is not OrderStatus.PLACED:
            return  # sent twice: the venue has it
        conditions = self._conditions
        if conditions.fate(order.order_id) is not Fate.ANSWERED:
            yield Unanswered(time_ns, order.order_id, time_ns + conditions.settle_ns)
        elif conditions.rejects(order.order_id):
            yield Ended(time_ns, order.order_id, OrderStatus.REJECTED, *REJECTED)
        elif quote is not None and _would_take(order, order.limit, quote):
            yield Ended(time_ns, order.order_id, OrderStatus.REJECTED, *WOULD_TAKE)
        elif conditions.latency_ns:
            yield Accepted(time_ns, order.order_id, time_ns + conditions.latency_ns)
        else:
            yield Accepted(time_ns, order.order_id)
            yield from self._fill(order, quote, time_ns, order.depth, reducible)

    def on_quote(self, order: Order, quote: Quote, reducible: int) -> Iterator[OrderReport]:
        """Reports on a working order at a new quote."""
        if quote.time_ns >= order.works_from_ns:
            yield from self._fill(order, quote, quote.time_ns, (), reducible)

    def withdraw(self, order: Order, time_ns: int) -> Iterator[OrderReport]:
        """Reports on a cancel that was asked for; none where the venue may not have the order."""
        if order.status is OrderStatus.PENDING_CANCEL and (order.ask_ns is None or self.works(order)):
            yield close(order, time_ns, order.reason, order.reason_detail)

    def replace(self, order: Order, quote: Quote | None, time_ns: int) -> Iterator[OrderReport]:
        """Reports on an amendment: refused when the order filled beyond it meanwhile or may not do what it
        would do now, else taken.
        """
        if order.status is not OrderStatus.PENDING_AMEND:
            return
        asked = order.amend_revision
        size = order.size if order.amend_size is None else order.amend_size
        if not order.remaining or size <= order.filled:
            reason, words = FILLED if not order.remaining else FILLED_MORE
            yield AmendRefused(time_ns, order.order_id, reason, words, asked)
            return
        limit = order.limit if order.amend_limit is None else order.amend_limit
        if quote is not None and _would_take(order, limit, quote):
            yield AmendRefused(time_ns, order.order_id, *WOULD_TAKE, asked)
            return
        if order.amend_trail is not None:
            # It starts anew from the market, which the venue looks at next.
            yield Amended(time_ns, order.order_id, size, limit, None, order.amend_trail, asked)
            return
        stop = order.stop if order.amend_stop is None else order.amend_stop
        yield Amended(time_ns, order.order_id, size, limit, stop, order.trail, asked)

    def query(self, order: Order, time_ns: int) -> Iterator[OrderReport]:
        """What the venue says when it is asked, after the settle window, for an order it did not answer."""
        has = self._conditions.fate(order.order_id) is Fate.UNANSWERED
        if order.status is OrderStatus.UNKNOWN and has:
            yield Accepted(time_ns, order.order_id)
        elif order.status is OrderStatus.UNKNOWN:
            yield Ended(time_ns, order.order_id, OrderStatus.REJECTED, *ABSENT)
        elif order.status is OrderStatus.PENDING_CANCEL:
            yield close(order, time_ns, order.reason, order.reason_detail)

    def _has_unheard(self, order: Order) -> bool:
        return order.ask_ns is not None and self._conditions.fate(order.order_id) is Fate.UNANSWERED

    def _fill(
        self, order: Order, quote: Quote | None, time_ns: int, depth: Depth, reducible: int
    ) -> Iterator[OrderReport]:
        if quote is None or not quote.tradable:
            yield from _leave(order, time_ns, _why_not(quote), "the market cannot be traded on at the moment")
            return
        if order.type.waits and not order.triggered:
            if not matching.reached(order, quote):
                stop = matching.trailing_stop(order, quote)
                if stop is not None:
                    yield Trailed(time_ns, order.order_id, stop)
                return
            yield Triggered(time_ns, order.order_id)
        wanted = min(order.remaining, reducible)
        whole = wanted == order.remaining or order.time_in_force is not TimeInForce.FOK
        fills = self._matches(order, quote, wanted, depth) if whole else []
        for number, match in enumerate(fills, order.fills + 1):
            yield Executed(
                time_ns,
                order.order_id,
                execution_id(order.order_id, number),
                match.size,
                match.price,
                quote.session_id,
                quote.sequence,
            )
        rest = order.remaining - sum(match.size for match in fills)
        if whole and rest and wanted < order.remaining and rest == order.remaining - wanted:
            yield Ended(
                time_ns, order.order_id, OrderStatus.CANCELLED, "NOTHING_TO_REDUCE", "the position is smaller"
            )
        elif rest:
            yield from _leave(order, time_ns, *_remainder(order))

    def _matches(self, order: Order, quote: Quote, wanted: int, depth: Depth) -> list[Match]:
        """What the quote gives, under the conditions."""
        of, conditions = instrument(order.symbol), self._conditions
        found: list[Match] = []
        for number, match in enumerate(matching.matches(order, quote, wanted, depth), order.fills + 1):
            size, price = match.size, match.price
            if order.time_in_force is not TimeInForce.FOK:
                size = conditions.part(order.order_id, number, size, of.size_step)
            if order.limit is None:
                price += order.side.sign * of.tick * conditions.slippage(order.order_id, number)
            found.append(Match(size, max(price, of.tick)))
            if size < match.size:
                break  # what lies deeper is not reached
        return found


def close(order: Order, time_ns: int, reason: str, detail: str) -> OrderReport:
    """The report that cancels an order at once."""
    return Ended(time_ns, order.order_id, OrderStatus.CANCELLED, reason, detail)


def expire(order: Order, time_ns: int) -> Iterator[OrderReport]:
    """Reports on an order whose time in force ran out."""
    if not order.final:
        reason = (
            "end of the trading day" if order.time_in_force is TimeInForce.DAY else "expires_at was reached"
        )
        yield Ended(time_ns, order.order_id, OrderStatus.EXPIRED, "TIME_IN_FORCE", reason)


def _would_take(order: Order, limit: int | None, quote: Quote) -> bool:
    """True when a post-only order with that limit would fill at a quote."""
    price, _ = matching.takes_from(order.side, quote)
    return order.post_only and quote.tradable and matching.acceptable(order.side, limit, price)


def _leave(order: Order, time_ns: int, reason: str, detail: str) -> Iterator[OrderReport]:
    """The end of an order that cannot wait; nothing for one that can."""
    if not matching.can_wait(order):
        yield Ended(time_ns, order.order_id, OrderStatus.CANCELLED, reason, detail)


def _remainder(order: Order) -> tuple[str, str]:
    if order.time_in_force is TimeInForce.FOK:
        return "FOK_NOT_FILLED", "the whole size was not to be had at once"
    return "IOC_REMAINDER", "the rest was not to be had at once"


def _why_not(quote: Quote | None) -> str:
    if quote is None:
        return "NO_QUOTE"
    return "QUOTE_CROSSED" if quote.flaw is Flaw.CROSSED else "QUOTE_GAPPED"
