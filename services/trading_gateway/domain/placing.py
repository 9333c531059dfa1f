"""Taking, changing and withdrawing orders: the side of the books that callers and decisions speak to.

Nothing here talks to the venue: what it is asked for leaves as a request after the commit, so only durable
intents are ever sent.
"""

from __future__ import annotations

from dataclasses import replace

from services.errors import FxError, Kind, invalid_field
from services.market.calendar import civil_day, roll_ns
from services.trading_gateway.domain import checks, orders, storms
from services.trading_gateway.domain.book import Book
from services.trading_gateway.domain.changes import Replace, Submit, Withdraw
from services.trading_gateway.domain.events import OrderStep
from services.trading_gateway.domain.ids import fingerprint, order_id
from services.trading_gateway.domain.inputs import AmendOrder, CancelOrder, PlaceOrder
from services.trading_gateway.domain.orders import Order, Terms
from services.trading_gateway.domain.situations import Refusal, situation
from services.trading_gateway.domain.values import OrderStatus, TimeInForce


def place(book: Book, asked: PlaceOrder) -> Order:
    """The new order: PLACED and on its way, or REJECTED with the reason of the check that refused it.

    Raises FxError `UNKNOWN_ACCOUNT`. The key must be new (`same_order`).
    """
    account = book.account(asked.account_id)
    case = situation(book, account, asked.terms, asked.facts, asked.time_ns, reduce_only=asked.reduce_only)
    refused = checks.refusal(case) or storms.beyond_rate(case)
    if refused is not None or not case.reducing:
        book.count_placed(account.account_id, asked.time_ns)
    order = _new(book, asked, account.session_id, refused)
    if refused is not None:
        book.count_refusal(account.account_id, refused.reason)
        return book.put_order(order, OrderStep.REJECTED)
    book.changes.requests.append(Submit(order.order_id))
    return book.put_order(order, OrderStep.PLACED)


def same_order(first: Order, terms: Terms) -> Order:
    """`first`, when a request with its key asks for the same again.

    Raises FxError: ALREADY_EXISTS `DUPLICATE_CLIENT_ORDER_ID` when it asks for something else.
    """
    if first.terms_key != terms_key(terms):
        raise FxError(
            Kind.ALREADY_EXISTS,
            "DUPLICATE_CLIENT_ORDER_ID",
            f"client order id {first.client_order_id} belongs to another order, {first.order_id}",
        )
    return first


def refused(order: Order) -> FxError:
    """The answer to whoever placed an order that a check refused."""
    return FxError(Kind.FAILED_PRECONDITION, order.reason, order.reason_detail)


def already(order: Order, size: int | None, limit: int | None, stop: int | None) -> bool:
    """True when a working order has the terms asked for: there is nothing to tell the venue."""
    resting = order.status in (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED)
    pairs = ((size, order.size), (limit, order.limit), (stop, order.stop))
    return resting and all(wanted is None or wanted == had for wanted, had in pairs)


def amend(book: Book, asked: AmendOrder) -> Order:
    """The order with its amendment pending. Raises FxError: `ORDER_FINAL`, `PRICE_NOT_ALLOWED`, a check's
    reason.
    """
    order = _unfinished(book.order(asked.order_id))
    if order.status is not OrderStatus.ACCEPTED and order.status is not OrderStatus.PARTIALLY_FILLED:
        raise FxError(
            Kind.FAILED_PRECONDITION,
            "ORDER_FINAL",
            f"order {order.order_id} is {order.status.value}; wait for the venue",
        )
    terms = _amended_terms(order, asked)
    account = book.account(order.account_id)
    rest = replace(terms, size=terms.size - order.filled)
    case = situation(
        book, account, rest, asked.facts, asked.time_ns, besides=order.order_id, reduce_only=order.reduce_only
    )
    objection = checks.refusal(case)
    if objection is not None:
        book.tally(account.account_id, objection.reason, asked.time_ns)
        raise FxError(Kind.FAILED_PRECONDITION, objection.reason, objection.detail)
    book.changes.requests.append(Replace(order.order_id))
    return book.put_order(orders.amendment_asked(order, asked.time_ns, asked.size, asked.limit, asked.stop))


def cancel(book: Book, asked: CancelOrder) -> Order:
    """The order with its cancel pending. Raises FxError FAILED_PRECONDITION `ORDER_FINAL`."""
    order = _unfinished(book.order(asked.order_id))
    if order.status is OrderStatus.PENDING_CANCEL:
        return order
    book.changes.requests.append(Withdraw(order.order_id))
    pending = orders.changed(order, asked.time_ns, OrderStatus.PENDING_CANCEL, asked.reason, asked.detail)
    return book.put_order(pending)


def terms_key(terms: Terms) -> str:
    """Fingerprint of what is asked for."""
    return fingerprint(
        terms.symbol, terms.side.value, terms.type.value, terms.time_in_force.value, terms.size,
        terms.limit, terms.stop, terms.expires_ns,
    )  # fmt: skip


def _new(book: Book, asked: PlaceOrder, scope: str, refused_for: Refusal | None) -> Order:
    terms = asked.terms
    return Order(
        number=book.next_order_number(),
        order_id=order_id(asked.account_id, asked.client_order_id),
        account_id=asked.account_id,
        client_order_id=asked.client_order_id,
        scope=scope,
        symbol=terms.symbol,
        side=terms.side,
        type=terms.type,
        time_in_force=terms.time_in_force,
        size=terms.size,
        limit=terms.limit,
        stop=terms.stop,
        expires_ns=expiry(terms, asked.time_ns),
        status=OrderStatus.PLACED if refused_for is None else OrderStatus.REJECTED,
        origin=asked.origin,
        created_ns=asked.time_ns,
        updated_ns=asked.time_ns,
        terms_key=terms_key(terms),
        signal_id=asked.signal_id,
        reason="" if refused_for is None else refused_for.reason,
        reason_detail="" if refused_for is None else refused_for.detail,
        reduce_only=asked.reduce_only,
        protect_distance=asked.protect_distance,
        depth=asked.facts.depth if refused_for is None else (),
    )


def expiry(terms: Terms, time_ns: int) -> int | None:
    """When the order stops working: a day order at the next 17:00 New York, GTD as asked, others never."""
    if terms.time_in_force is TimeInForce.DAY:
        return roll_ns(civil_day(time_ns))
    return terms.expires_ns


def _unfinished(order: Order) -> Order:
    if order.final:
        raise FxError(
            Kind.FAILED_PRECONDITION, "ORDER_FINAL", f"order {order.order_id} is {order.status.value} already"
        )
    return order


def _amended_terms(order: Order, asked: AmendOrder) -> Terms:
    for field, price, had in (
        ("limit_price", asked.limit, order.limit),
        ("stop_price", asked.stop, order.stop),
    ):
        if price is not None and had is None:
            raise invalid_field("PRICE_NOT_ALLOWED", field, f"a {order.type.value} order has none")
    if asked.stop is not None and order.triggered:
        raise FxError(
            Kind.FAILED_PRECONDITION, "ORDER_FINAL", f"the stop of order {order.order_id} was reached already"
        )
    size = order.size if asked.size is None else asked.size
    if size <= order.filled:
        raise invalid_field("SIZE_BELOW_MINIMUM", "size", "must be above the size filled so far")
    return replace(
        order.terms,
        size=size,
        limit=order.limit if asked.limit is None else asked.limit,
        stop=order.stop if asked.stop is None else asked.stop,
    )
