"""Orders that come faster than an account may send them.

What is journalled and stored of an account is bounded by its order rate, whatever becomes of the orders: an
order that adds risk counts, and one that is refused. Beyond the rate an order that would be refused anyway,
or that adds risk, is answered at once and leaves nothing behind: no order, no journal entry, and its key is
free. Such refusals are counted and told together, an input and an event for each account and reason, about
once a second; refused amendments, which leave their order as it was, are among them. An order that only
reduces a position and may go is never held up.
"""

from __future__ import annotations

from dataclasses import replace

from services.trading_gateway.domain import checks, events
from services.trading_gateway.domain.book import Book
from services.trading_gateway.domain.inputs import OrdersRefused, PlaceOrder
from services.trading_gateway.domain.situations import Refusal, Situation, situation


def beyond_rate(case: Situation) -> Refusal | None:
    """ORDER_RATE for an order that adds risk where the last second of market time had enough of them."""
    limit = case.limits.orders_per_second
    if case.reducing or case.book.order_rate.lately(case.account.account_id, case.time_ns) < limit:
        return None
    return Refusal("ORDER_RATE", f"{limit} orders a second are the limit")


def turned_away(book: Book, asked: PlaceOrder) -> Refusal | None:
    """Why an order beyond the rate is refused without a trace; None for one that is to be placed or refused
    as usual. Raises FxError `UNKNOWN_ACCOUNT`.
    """
    account = book.account(asked.account_id)
    limit = book.limits.of(account.account_id, asked.terms.symbol).orders_per_second
    if book.order_rate.lately(account.account_id, asked.time_ns) < limit:
        return None
    held = bool(asked.terms.parent_id)
    case = situation(book, account, asked.terms, asked.facts, asked.time_ns, origin=asked.origin, held=held)
    refused = checks.refusal(case) or beyond_rate(case)
    if refused is not None:
        book.tally(account.account_id, refused.reason, asked.time_ns)
    return refused


def due(book: Book) -> list[OrdersRefused]:
    """What was turned away since the last time, and is to be told."""
    taken, book.tallies = book.tallies, {}
    return [
        OrdersRefused(each.last_ns, account_id, reason, each.count, each.since_ns)
        for (account_id, reason), each in sorted(taken.items())
    ]


def tell(book: Book, asked: OrdersRefused) -> None:
    """Refusals are counted and published."""
    account = book.account(asked.account_id)
    account = book.put_account(replace(account), asked.time_ns)
    book.count_refusal(account.account_id, asked.reason, asked.count)
    book.tell(
        events.OrdersRefused(
            account.account_id,
            account.revision,
            asked.reason,
            asked.count,
            asked.since_ns,
            asked.time_ns,
        )
    )
