"""What an order would fill against one quote, by price and size; no state, no order book of our own.

Paper orders do not take liquidity from each other: each sees the whole size of the quote. An unknown size is
enough for any order.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.trading_gateway.domain.feeds import Quote
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.values import OrderType, Side, TimeInForce


@dataclass(frozen=True, slots=True)
class Match:
    """A fill to be: size and price."""

    size: int
    price: int


def takes_from(side: Side, quote: Quote) -> tuple[int, int | None]:
    """Price and size (None unknown) of the side that an order takes from: buyers the ask, sellers the bid."""
    return (quote.ask, quote.ask_size) if side is Side.BUY else (quote.bid, quote.bid_size)


def reached(order: Order, price: int) -> bool:
    """True when the price on the side the order trades at is at its stop or beyond."""
    if order.stop is None:
        return False
    return price >= order.stop if order.side is Side.BUY else price <= order.stop


def acceptable(order: Order, price: int) -> bool:
    """True when the order may fill at that price: always, but for a limit at the limit or better."""
    if order.limit is None:
        return True
    return price <= order.limit if order.side is Side.BUY else price >= order.limit


def matches(order: Order, quote: Quote, size: int, depth: tuple[tuple[int, int], ...] = ()) -> list[Match]:
    """Fills of up to `size` of an order against a quote, or against the levels of a book where they are
    given.

    Empty when the price is not acceptable, or a fill-or-kill order would not fill whole. A stop must have
    triggered.
    """
    price, available = takes_from(order.side, quote)
    levels = depth or ((price, size if available is None else available),)
    found: list[Match] = []
    for level_price, level_size in levels:
        taken = min(level_size, size)
        if taken <= 0 or not acceptable(order, level_price):
            break
        found.append(Match(taken, level_price))
        size -= taken
    if order.time_in_force is TimeInForce.FOK and size > 0:
        return []
    return found


def can_wait(order: Order) -> bool:
    """True for orders that work on when they are not filled at once."""
    return order.type is not OrderType.MARKET and order.time_in_force not in (
        TimeInForce.IOC,
        TimeInForce.FOK,
    )


def may_touch(order: Order, best_ask: int, best_bid: int, highest_ask: int, lowest_bid: int) -> bool:
    """False when no tick of a batch with these extremes can fill or trigger a working order: the cheap way
    past it.
    """
    if order.type is OrderType.MARKET or order.triggered:
        return True
    if order.limit is not None:
        return best_ask <= order.limit if order.side is Side.BUY else best_bid >= order.limit
    if order.stop is not None:
        return highest_ask >= order.stop if order.side is Side.BUY else lowest_bid <= order.stop
    return False
