"""Stops that the gateway places itself: one for what an automatic order filled, gone when the position is.

They only ever reduce: a protective stop fills at most what the position still holds, and is withdrawn once
the position is flat or has turned.
"""

from __future__ import annotations

from services.market.instruments import instrument
from services.money.rounding import Rounding, divide, quantise
from services.trading_gateway.domain import placing
from services.trading_gateway.domain.book import Book
from services.trading_gateway.domain.ids import protective_client_order_id
from services.trading_gateway.domain.inputs import CancelOrder, PlaceOrder
from services.trading_gateway.domain.orders import Order, Terms
from services.trading_gateway.domain.values import OrderOrigin, OrderType, Side, TimeInForce


def follow_up(book: Book, before: Order, time_ns: int) -> None:
    """What a report on an order leads to; `before` is the order as it was before the report."""
    after = book.order(before.order_id)
    if after.filled != before.filled:
        _withdraw_needless(book, after, time_ns)
    if after.final and not before.final and after.protect_distance and after.filled:
        _protect(book, after, time_ns)


def reducible(book: Book, order: Order) -> int:
    """How much of an order may fill: all of it, or for a reduce-only order what there is to reduce."""
    if not order.reduce_only:
        return order.remaining
    position = book.position(order.account_id, order.symbol).size
    return abs(position) if position * order.side.sign < 0 else 0


def _protect(book: Book, entry: Order, time_ns: int) -> None:
    """Place the stop at its distance from the average fill, on the tick further away."""
    position = book.position(entry.account_id, entry.symbol).size
    if position * entry.side.sign <= 0:
        return  # the entry closed a position and opened none
    size = min(entry.filled, abs(position))
    stop = _stop_price(entry)
    if stop <= 0:
        return
    terms = Terms(
        entry.symbol,
        entry.side.opposite,
        OrderType.STOP,
        TimeInForce.GTC,
        size,
        stop=stop,
        reduce_only=True,
    )
    placing.place(
        book,
        PlaceOrder(
            time_ns,
            entry.account_id,
            protective_client_order_id(entry.order_id),
            terms,
            origin=OrderOrigin.RISK,
            signal_id=entry.signal_id,
        ),
    )


def _stop_price(entry: Order) -> int:
    rounding = Rounding.FLOOR if entry.side is Side.BUY else Rounding.CEILING
    average = divide(entry.notional, entry.filled, rounding)
    distance = -entry.side.sign * entry.protect_distance
    return quantise(average + distance, instrument(entry.symbol).tick, rounding)


def _withdraw_needless(book: Book, filled: Order, time_ns: int) -> None:
    for each in book.working(filled.account_id, filled.symbol):
        if each.reduce_only and each.order_id != filled.order_id and not reducible(book, each):
            placing.cancel(
                book,
                CancelOrder(time_ns, each.order_id, "POSITION_CLOSED", "the position it protected is closed"),
            )
