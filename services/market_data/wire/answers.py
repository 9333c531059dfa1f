"""What the instance that leads answers, as the domain values it was made from."""

from __future__ import annotations

from collections.abc import Iterable

from fxmesh.marketdata.v1 import market_pb2, service_pb2
from fxmesh.types.v1 import market_pb2 as types_pb2

from services.market.clock import MarketClock
from services.market.formats.tallies import RejectTally
from services.market.instruments import instrument
from services.market_data.domain.history import TickMessage
from services.market_data.domain.quotes import OrderBook, Quote
from services.market_data.domain.replays import Replay
from services.market_data.domain.sessions import FeedKind, FeedSession
from services.market_data.wire.messages import KIND, PACE_OF, QUALITY, STATE
from services.money.decimals import parse_decimal
from services.wire.ticks import tick_batch
from services.wire.times import nanoseconds, time_ns

_QUALITY_OF = {value: key for key, value in QUALITY.items()}
_KIND_OF = {value: key for key, value in KIND.items()}
_STATE_OF = {value: key for key, value in STATE.items()}


def market_clock(message: types_pb2.MarketClock) -> MarketClock:
    """A market clock."""
    return MarketClock(message.session_id, nanoseconds(message.time), message.speed, message.sequence)


def session(message: market_pb2.FeedSession) -> FeedSession:
    """A feed session. Clocks of one that runs come with its quotes and ticks, and its speed with them."""
    kind = _KIND_OF[message.kind]
    found = FeedSession(
        message.session_id,
        kind,
        tuple(message.symbols),
        nanoseconds(message.started_at),
        speed=1.0 if kind is FeedKind.SYNTHETIC else 0.0,
        always_open=message.always_open,
        ended_ns=None if message.active else nanoseconds(message.ended_at),
        ticks=message.ticks,
    )
    if not message.active:  # how far it came is all that is still asked
        found.advance(found.symbols[0], nanoseconds(message.market_time), 0, 0)
    return found


def quote(message: market_pb2.Quote) -> Quote:
    """A quote."""
    digits = instrument(message.symbol).digits
    return Quote(
        message.session_id,
        message.symbol,
        message.sequence,
        nanoseconds(message.time),
        parse_decimal(message.bid, digits),
        parse_decimal(message.ask, digits),
        int(message.bid_size) if message.bid_size else None,
        int(message.ask_size) if message.ask_size else None,
        _QUALITY_OF[message.quality],
        market_open=message.market_state == market_pb2.MARKET_STATE_OPEN,
    )


def order_book(message: market_pb2.OrderBook) -> OrderBook:
    """An order book."""
    digits = instrument(message.symbol).digits

    def levels(side: Iterable[market_pb2.BookLevel]) -> tuple[tuple[int, int], ...]:
        return tuple((parse_decimal(each.price, digits), int(each.size)) for each in side)

    return OrderBook(
        message.session_id,
        message.symbol,
        message.sequence,
        nanoseconds(message.time),
        levels(message.bids),
        levels(message.asks),
    )


def tick_message(message: service_pb2.TickBatch) -> TickMessage:
    """A batch of ticks, or the end of a symbol's."""
    batch = tick_batch(message.session_id, message.symbol, message.first_sequence, message.ticks)
    return TickMessage(batch, market_clock(message.clock), message.session_ended)


def stream_item(message: service_pb2.StreamTicksResponse) -> TickMessage | FeedSession | None:
    """A message of the tick stream; None for what an instance that follows has no use for."""
    match message.WhichOneof("content"):
        case "batch":
            return tick_message(message.batch)
        case "session_started":
            begun = session(message.session_started)
            begun.replay = replay(message.replay) if message.HasField("replay") else None
            return begun
        case _:
            return None


def replay(message: market_pb2.Replay) -> Replay:
    """A replay and its progress. How it was cut into batches, and how strictly read, is not told."""
    return Replay(
        message.replay_id,
        message.file_id,
        message.file_name,
        message.format,
        message.symbol,
        PACE_OF[message.pace],
        message.speed,
        batch_size=0,
        strict=False,
        started_ns=nanoseconds(message.started_at),
        state=_STATE_OF[message.state],
        ticks=message.ticks_published,
        lines=message.lines_read,
        bytes_read=message.bytes_read,
        bytes_total=message.bytes_total,
        crossed=message.crossed,
        market_ns=nanoseconds(message.market_time),
        ended_ns=time_ns(message, "ended_at"),
        waiting_for=message.waiting_for,
        damage=message.damage,
        failure=message.failure,
        failure_reason=message.failure_reason,
        rejects={
            each.reason: RejectTally(each.count, each.first_line, each.first_detail, each.warning)
            for each in message.rejects
        },
    )
