"""The take-profit and the stop-loss that come with an order, as terms of orders of their own.

Both are on the other side, may only reduce, work until cancelled, and share the size of what their parent
fills: linked by its id. In a hedging account they reduce the position that their parent opens, and no other.
Where they were over when their parent filled after all, others take their place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from services.trading_gateway.domain import families
from services.trading_gateway.domain.book import Book
from services.trading_gateway.domain.ids import stop_loss_client_order_id, take_profit_client_order_id
from services.trading_gateway.domain.inputs import PlaceOrder
from services.trading_gateway.domain.orders import BUSTED, Leg, Order, Terms
from services.trading_gateway.domain.values import OrderOrigin, OrderStatus, OrderType, TimeInForce


def legs(parent: Order, terms: Terms, position_id: str) -> Iterator[tuple[str, Terms, int]]:
    """Key, terms and distance from the parent's fills of each leg that `terms` asks for."""
    if terms.take_profit is not None:
        leg = terms.take_profit
        key = take_profit_client_order_id(parent.order_id)
        yield key, _terms(parent, leg, OrderType.LIMIT, position_id, limit=leg.price), leg.distance
    if terms.stop_loss is not None:
        leg = terms.stop_loss
        type_ = OrderType.STOP if leg.trail is None else OrderType.TRAILING_STOP
        key = stop_loss_client_order_id(parent.order_id)
        yield key, _terms(parent, leg, type_, position_id, stop=leg.price), leg.distance


def anew(book: Book, before: Order, time_ns: int) -> list[PlaceOrder]:
    """What protects a fill that came after its order was over and its legs with it, or what is open again
    since the fill of a leg was taken back; `before` is the order as it was before that. Legs that somebody
    cancelled, or the venue refused, stay as they are.
    """
    order = book.order(before.order_id)
    grown = order.filled - before.filled
    if grown > 0 and before.final:
        return _anew(book, order, families.opened(book, order, grown), (order, order.fills), time_ns)
    parent = book.orders.get(order.parent_id)
    if grown < 0 and order.final and order.reduce_only and parent is not None:
        held = book.position(parent.account_id, parent.symbol, book.position_id(parent)).size
        size = min(-grown, max(held * parent.side.sign, 0))
        return _anew(book, parent, size, (order, order.revision), time_ns)
    return []


def _anew(book: Book, parent: Order, size: int, named: tuple[Order, int], time_ns: int) -> list[PlaceOrder]:
    """Both legs of an order for a size of its position, unless there are others at work for it."""
    name = f"{named[0].order_id}-{named[1]}"
    if not size or any(map(_guards, book.children(parent.order_id))):
        return []
    return [
        PlaceOrder(
            time_ns,
            parent.account_id,
            key(name),
            _terms_anew(leg, parent, size, name),
            origin=OrderOrigin.RISK,
        )
        for key in (take_profit_client_order_id, stop_loss_client_order_id)
        if (leg := book.find(parent.account_id, key(parent.order_id))) is not None
        if leg.status is OrderStatus.FILLED or leg.reason in _NEEDLESS
    ]


def _guards(leg: Order) -> bool:
    """False for one that is on its way out."""
    return leg.status is not OrderStatus.PENDING_CANCEL or leg.reason not in _NEEDLESS


_NEEDLESS = ("PARENT_ENDED", "LINK_FILLED", "POSITION_CLOSED", BUSTED[0])
"""Reasons of legs that were over because there was nothing (left) to protect, or that did not do it after
all.
"""


def _terms_anew(leg: Order, parent: Order, size: int, link_id: str) -> Terms:
    limit, stop, at = leg.limit, leg.stop, families.anchor(leg, parent)
    if at is not None:
        limit, stop = (at, stop) if leg.type is OrderType.LIMIT else (limit, at)
    return replace(
        leg.terms,
        size=size,
        limit=limit,
        stop=None if leg.trail is not None else stop,
        parent_id="",
        link_id=link_id,
    )


def _terms(
    parent: Order,
    leg: Leg,
    type_: OrderType,
    position_id: str,
    limit: int | None = None,
    stop: int | None = None,
) -> Terms:
    return Terms(
        parent.symbol,
        parent.side.opposite,
        type_,
        TimeInForce.GTC,
        parent.size,
        limit=limit,
        stop=stop,
        trail=leg.trail,
        trigger=leg.trigger,
        reduce_only=True,
        link_id=parent.order_id,
        parent_id=parent.order_id,
        position_id=position_id,
    )
