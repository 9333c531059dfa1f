"""Changing an order that works: what may be changed, when, and to what."""

from __future__ import annotations

from dataclasses import replace

from services.errors import FxError, Kind, invalid_field
from services.market.instruments import instrument
from services.trading_gateway.domain import checks, orders
from services.trading_gateway.domain.book import Book
from services.trading_gateway.domain.changes import Replace
from services.trading_gateway.domain.events import OrderStep
from services.trading_gateway.domain.inputs import AmendOrder
from services.trading_gateway.domain.orders import Amendment, Order, Terms
from services.trading_gateway.domain.situations import situation
from services.trading_gateway.domain.terms import PRICES
from services.trading_gateway.domain.values import OrderStatus

_AT_REST = (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED, OrderStatus.HELD)


def already(order: Order, wanted: Amendment) -> bool:
    """True when a working order has the terms asked for: there is nothing to tell the venue."""
    resting = order.status in (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED)
    pairs = (
        (wanted.size, order.size),
        (wanted.limit, order.limit),
        (wanted.stop, order.stop),
        (wanted.trail, order.trail),
    )
    return resting and all(value is None or value == had for value, had in pairs)


def require_room(book: Book, order: Order, wanted: Amendment) -> bool:
    """An order that works for the fills of another cannot be given a size that these will not let it work.
    True for a take-profit or stop-loss that gets all there is: it goes on growing with its order.

    Asked before the amendment becomes an input: earlier releases took any size, and kept what there was.
    Raises FxError: FAILED_PRECONDITION `SIZE_ABOVE_MAXIMUM`, and as `changeable`.
    """
    changeable(order)
    parent = book.orders.get(order.parent_id)
    held = order.status is OrderStatus.HELD
    is_leg = order.link_id == order.parent_id
    if wanted.size is None or not order.parent_id or (held and (parent is None or not is_leg)):
        return False  # what is placed after another may be larger from the start
    most = parent.size if held and parent is not None else order.granted - order.taken
    if wanted.size <= most:
        return is_leg and wanted.size == most
    of = instrument(order.symbol)
    if held:
        why = f"it protects order {order.parent_id} of {of.size_text(most)}"
    else:
        why = f"it works for what order {order.parent_id} has filled, {of.size_text(order.granted)}"
        why += f", less {of.size_text(order.taken)} that linked orders filled" if order.taken else ""
    detail = f"{why}: give at most {of.size_text(most)}"
    raise FxError(Kind.FAILED_PRECONDITION, "SIZE_ABOVE_MAXIMUM", detail)


def changeable(order: Order) -> Order:
    """The order, when the venue works it, or never had it, and no answer is on its way.

    Raises FxError FAILED_PRECONDITION: `ORDER_FINAL`, `ORDER_PENDING`.
    """
    if unfinished(order).status in _AT_REST:
        return order
    raise FxError(
        Kind.FAILED_PRECONDITION,
        "ORDER_PENDING",
        f"order {order.order_id} is {order.status.value}, the venue's answer is on its way: "
        "read the order until it works or is over, then ask again",
    )


def amend(book: Book, asked: AmendOrder) -> Order:
    """The order with its amendment pending. Raises FxError: as `changeable`, `PRICE_NOT_ALLOWED`, a check's
    reason.
    """
    order = changeable(book.order(asked.order_id))
    terms = _amended_terms(order, asked.change)
    account = book.account(order.account_id)
    rest = replace(terms, size=terms.size - order.filled, stop=None if order.triggered else terms.stop)
    case = situation(
        book,
        account,
        rest,
        asked.facts,
        asked.time_ns,
        besides=order.order_id,
        amendment=asked.change,
        origin=order.origin,
        held=order.status is OrderStatus.HELD,
    )
    objection = checks.refusal(case)
    if objection is not None:
        book.tally(account.account_id, objection.reason, asked.time_ns)
        raise FxError(Kind.FAILED_PRECONDITION, objection.reason, objection.detail)
    if not case.held:  # else it is asked when it is released
        order = replace(order, reduce_only=checks.needs_position(case))
    if not (asked.change.limit is None and asked.change.stop is None):
        order = replace(order, protect_distance=0, anchor=None)  # it has a price of its own from now on
    if asked.change.size is not None and (order.parent_id or order.link_id):
        order = replace(order, asked=0 if asked.whole else terms.size + order.taken)
    if order.status is OrderStatus.HELD:
        return _amend_held(book, order, asked, terms)
    book.changes.requests.append(Replace(order.order_id))
    return book.put_order(orders.amendment_asked(order, asked.time_ns, asked.change))


def _amend_held(book: Book, order: Order, asked: AmendOrder, terms: Terms) -> Order:
    """At once: the venue knows nothing of it."""
    amended = replace(
        orders.changed(order, asked.time_ns, OrderStatus.HELD),
        size=terms.size,
        limit=terms.limit,
        stop=terms.stop,
        trail=terms.trail,
    )
    return book.put_order(amended, OrderStep.AMENDED)


def unfinished(order: Order) -> Order:
    """The order, unless it is over. Raises FxError FAILED_PRECONDITION `ORDER_FINAL`."""
    if order.final:
        raise FxError(
            Kind.FAILED_PRECONDITION, "ORDER_FINAL", f"order {order.order_id} is {order.status.value} already"
        )
    return order


def _amended_terms(order: Order, asked: Amendment) -> Terms:
    for field, price in (
        ("limit_price", asked.limit),
        ("stop_price", asked.stop),
        ("trail_distance", asked.trail),
    ):
        if price is not None and field not in PRICES[order.type]:
            raise invalid_field("PRICE_NOT_ALLOWED", field, f"a {order.type.words} order has none")
    if order.triggered and not (asked.stop is None and asked.trail is None):
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
        trail=order.trail if asked.trail is None else asked.trail,
    )
