"""What an order would fill against one quote, by price and size; no state, no order book of our own.

Paper orders do not take liquidity from each other: each sees the whole size of the quote. An unknown size is
enough for any order.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.market.instruments import instrument
from services.market.ticks import TickBatch
from services.money.rounding import Rounding, divide
from services.trading_gateway.domain.feeds import Quote
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.values import OrderType, Side, TimeInForce, TriggerSide


@dataclass(frozen=True, slots=True)
class Match:
    """A fill to be: size and price."""

    size: int
    price: int


def takes_from(side: Side, quote: Quote) -> tuple[int, int | None]:
    """Price and size (None unknown) of the side that an order takes from: buyers the ask, sellers the bid."""
    return (quote.ask, quote.ask_size) if side is Side.BUY else (quote.bid, quote.bid_size)


def trigger_side(side: Side, chosen: TriggerSide | None) -> TriggerSide:
    """The chosen side, or the one that an order of that side trades at."""
    return chosen or (TriggerSide.ASK if side is Side.BUY else TriggerSide.BID)


def twice_watched(at: TriggerSide, quote: Quote) -> int:
    """Twice the price that triggers, so that the middle of the quote is a whole number too."""
    if at is TriggerSide.MID:
        return quote.bid + quote.ask
    return 2 * (quote.bid if at is TriggerSide.BID else quote.ask)


def rises_to_stop(type_: OrderType, side: Side) -> bool:
    """True when the market triggers an order from below: a buyer's stop, a seller's market-if-touched."""
    return (side is Side.BUY) is not (type_ is OrderType.MARKET_IF_TOUCHED)


def reached(order: Order, quote: Quote) -> bool:
    """True when the market is at an order's stop price or past it."""
    if order.stop is None:
        return False
    watched = twice_watched(trigger_side(order.side, order.trigger), quote)
    return watched >= 2 * order.stop if rises_to_stop(order.type, order.side) else watched <= 2 * order.stop


def trailing_stop(order: Order, quote: Quote) -> int | None:
    """Where a quote takes the stop of a trailing order, on the tick further away; None: nowhere."""
    if order.trail is None:
        return None
    twice = twice_watched(trigger_side(order.side, order.trigger), quote) + 2 * order.side.sign * order.trail
    tick, away = instrument(order.symbol).tick, Rounding.CEILING if order.side is Side.BUY else Rounding.FLOOR
    stop = divide(twice, 2 * tick, away) * tick
    nearer = order.stop is None or (order.stop - stop) * order.side.sign > 0
    return stop if nearer else None


def acceptable(side: Side, limit: int | None, price: int) -> bool:
    """True when an order may fill at that price: always, but for a limit at the limit or better."""
    if limit is None:
        return True
    return price <= limit if side is Side.BUY else price >= limit


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
        if taken <= 0 or not acceptable(order.side, order.limit, level_price):
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


@dataclass(frozen=True, slots=True)
class Extremes:
    """The lowest and highest prices among some ticks of a symbol."""

    symbol: str
    lowest_bid: int
    highest_bid: int
    lowest_ask: int
    highest_ask: int

    @classmethod
    def of(cls, batch: TickBatch) -> Extremes:
        """Of a batch with ticks in it."""
        return cls(batch.symbol, min(batch.bids), max(batch.bids), min(batch.asks), max(batch.asks))

    @property
    def highest_price(self) -> int:
        """The highest ask, or bid where quotes are crossed."""
        return max(self.highest_ask, self.highest_bid)

    def twice_watched(self, at: TriggerSide) -> tuple[int, int]:
        """Bounds of what `twice_watched` gives for any of the ticks."""
        bids, asks = (2 * self.lowest_bid, 2 * self.highest_bid), (2 * self.lowest_ask, 2 * self.highest_ask)
        if at is TriggerSide.MID:
            return self.lowest_bid + self.lowest_ask, self.highest_bid + self.highest_ask
        return bids if at is TriggerSide.BID else asks


def may_touch(order: Order, extremes: Extremes) -> bool:
    """False when no tick with these extremes can fill, trigger or take along a working order: the cheap way
    past it.
    """
    if order.type.waits and not order.triggered:
        return _may_trigger(order, extremes)
    if order.limit is not None:
        best = extremes.lowest_ask if order.side is Side.BUY else extremes.highest_bid
        return acceptable(order.side, order.limit, best)
    return True


def _may_trigger(order: Order, extremes: Extremes) -> bool:
    if order.stop is None:
        return True
    lowest, highest = extremes.twice_watched(trigger_side(order.side, order.trigger))
    up = rises_to_stop(order.type, order.side)
    if highest >= 2 * order.stop if up else lowest <= 2 * order.stop:
        return True
    if order.trail is None:
        return False
    anchor = 2 * (order.stop - order.side.sign * order.trail)
    return lowest < anchor if up else highest > anchor
