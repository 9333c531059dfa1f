"""The take-profit and the stop-loss that come with an order, as terms of orders of their own.

Both are on the other side, may only reduce, work until cancelled, and share the size of what their parent
fills: linked by its id. In a hedging account they reduce the position that their parent opens, and no other.
"""

from __future__ import annotations

from collections.abc import Iterator

from services.trading_gateway.domain.ids import stop_loss_client_order_id, take_profit_client_order_id
from services.trading_gateway.domain.orders import Leg, Order, Terms
from services.trading_gateway.domain.values import OrderType, TimeInForce


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
