"""What market data sends, as domain values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fxmesh.marketdata.v1 import market_pb2, service_pb2

from services.market.instruments import Instrument, instrument
from services.market.ticks import TickBatch
from services.money.decimals import parse_decimal
from services.trading_gateway.domain.feeds import Flaw, Quote
from services.trading_gateway.domain.markets import Session
from services.trading_gateway.ports import Announced, Barrier, Beat, Depth, FeedItem, TicksCame
from services.wire.ticks import tick_batch
from services.wire.times import nanoseconds

_FLAW = {
    market_pb2.QUOTE_QUALITY_CROSSED: Flaw.CROSSED,
    market_pb2.QUOTE_QUALITY_GAPPED: Flaw.GAPPED,
}


def positions(known: Iterable[tuple[str, str, int]]) -> list[service_pb2.TickPosition]:
    """Where to go on."""
    return [
        service_pb2.TickPosition(session_id=session_id, symbol=symbol, after_sequence=sequence)
        for session_id, symbol, sequence in known
    ]


def feed_item(message: service_pb2.StreamTicksResponse) -> FeedItem:
    """One message of the tick stream."""
    match message.WhichOneof("content"):
        case "batch":
            clock = message.batch.clock
            time_ns, paced = nanoseconds(clock.time), clock.speed > 0
            return TicksCame(batch(message.batch), time_ns, message.batch.session_ended, paced)
        case "session_started":
            return Announced(session(message.session_started), message.session_started.ticks)
        case "barrier":
            raised = message.barrier
            return Barrier(raised.session_id, raised.symbol, raised.sequence, raised.signal_count)
        case _:
            return Beat()


def batch(message: service_pb2.TickBatch) -> TickBatch:
    """Ticks as columns."""
    return tick_batch(message.session_id, message.symbol, max(message.first_sequence, 1), message.ticks)


def session(message: market_pb2.FeedSession) -> Session:
    """A feed session."""
    return Session(
        message.session_id,
        message.kind == market_pb2.FEED_KIND_REPLAY,
        tuple(message.symbols),
        message.always_open,
    )


def quote(message: market_pb2.Quote) -> Quote:
    """A quote. A stale or closed one is good for valuation: whether it may be traded on is checked anew."""
    of = instrument(message.symbol)
    return Quote(
        message.session_id,
        message.symbol,
        message.sequence,
        nanoseconds(message.time),
        parse_decimal(message.bid, of.digits),
        parse_decimal(message.ask, of.digits),
        _size(message.bid_size, of),
        _size(message.ask_size, of),
        _FLAW.get(message.quality, Flaw.NONE),
    )


def depth(message: market_pb2.OrderBook) -> Depth:
    """An order book."""
    of = instrument(message.symbol)
    return Depth(
        message.session_id, nanoseconds(message.time), _levels(message.bids, of), _levels(message.asks, of)
    )


def _levels(levels: Sequence[market_pb2.BookLevel], of: Instrument) -> tuple[tuple[int, int], ...]:
    return tuple(
        (parse_decimal(each.price, of.digits), size)
        for each in levels
        if (size := _size(each.size, of)) is not None
    )


def _size(text: str, of: Instrument) -> int | None:
    return parse_decimal(text, of.size_digits) if text else None
