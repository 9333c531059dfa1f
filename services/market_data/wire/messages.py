"""Messages of market data from domain values, and requests as domain values."""

from __future__ import annotations

from collections.abc import Iterable

from fxmesh.marketdata.v1 import events_pb2, market_pb2, service_pb2
from fxmesh.types.v1 import market_pb2 as types_pb2

from services.market.clock import MarketClock
from services.market.instruments import instrument
from services.market_data.domain.history import TickMessage
from services.market_data.domain.quotes import OrderBook, Quality, Quote
from services.market_data.domain.replays import Pace, Replay, ReplayState
from services.market_data.domain.sessions import FeedKind, FeedSession
from services.market_data.handlers import Barrier, StartReplay, StreamItem
from services.market_data.handlers.prices import InstrumentState
from services.money.decimals import format_decimal
from services.uploads import Announced
from services.wire.ticks import tick_columns
from services.wire.times import moment, timestamp

QUALITY = {
    Quality.GOOD: market_pb2.QUOTE_QUALITY_GOOD,
    Quality.CROSSED: market_pb2.QUOTE_QUALITY_CROSSED,
    Quality.STALE: market_pb2.QUOTE_QUALITY_STALE,
    Quality.GAPPED: market_pb2.QUOTE_QUALITY_GAPPED,
    Quality.CLOSED: market_pb2.QUOTE_QUALITY_CLOSED,
}
KIND = {FeedKind.SYNTHETIC: market_pb2.FEED_KIND_SYNTHETIC, FeedKind.REPLAY: market_pb2.FEED_KIND_REPLAY}
PACE = {
    Pace.PACED: market_pb2.REPLAY_PACE_PACED,
    Pace.UNPACED: market_pb2.REPLAY_PACE_UNPACED,
    Pace.LOCKSTEP: market_pb2.REPLAY_PACE_LOCKSTEP,
}
PACE_OF = {value: key for key, value in PACE.items()}
STATE = {
    ReplayState.RUNNING: market_pb2.REPLAY_STATE_RUNNING,
    ReplayState.PAUSED: market_pb2.REPLAY_STATE_PAUSED,
    ReplayState.COMPLETED: market_pb2.REPLAY_STATE_COMPLETED,
    ReplayState.STOPPED: market_pb2.REPLAY_STATE_STOPPED,
    ReplayState.FAILED: market_pb2.REPLAY_STATE_FAILED,
}


def market_state(*, is_open: bool) -> market_pb2.MarketState.ValueType:
    """Open or closed."""
    return market_pb2.MARKET_STATE_OPEN if is_open else market_pb2.MARKET_STATE_CLOSED


def clock(value: MarketClock) -> types_pb2.MarketClock:
    """A market clock."""
    return types_pb2.MarketClock(
        session_id=value.session_id, time=timestamp(value.time_ns), speed=value.speed, sequence=value.sequence
    )


def tick_event(message: TickMessage) -> events_pb2.PriceTickReceived:
    """A batch as event."""
    batch = message.batch
    return events_pb2.PriceTickReceived(
        session_id=batch.session_id,
        symbol=batch.symbol,
        first_sequence=batch.first_sequence,
        last_sequence=batch.last_sequence,
        ticks=tick_columns(batch),
        clock=clock(message.clock),
        session_ended=message.ended,
    )


def update_event(revision: int, value: Quote, at: MarketClock) -> events_pb2.MarketDataUpdated:
    """A conflated quote as event."""
    return events_pb2.MarketDataUpdated(
        session_id=value.session_id,
        symbol=value.symbol,
        revision=revision,
        quote=quote(value),
        market_state=market_state(is_open=value.market_open),
        clock=clock(at),
    )


def book_event(revision: int, value: OrderBook) -> events_pb2.OrderBookUpdated:
    """A book as event."""
    return events_pb2.OrderBookUpdated(
        session_id=value.session_id, symbol=value.symbol, revision=revision, book=order_book(value)
    )


def quote(value: Quote) -> market_pb2.Quote:
    """A quote; unknown sizes stay empty."""
    digits = instrument(value.symbol).digits
    return market_pb2.Quote(
        session_id=value.session_id,
        symbol=value.symbol,
        sequence=value.sequence,
        time=timestamp(value.time_ns),
        bid=format_decimal(value.bid, digits),
        ask=format_decimal(value.ask, digits),
        bid_size="" if value.bid_size is None else str(value.bid_size),
        ask_size="" if value.ask_size is None else str(value.ask_size),
        quality=QUALITY[value.quality],
        market_state=market_state(is_open=value.market_open),
    )


def order_book(value: OrderBook, depth: int = 0) -> market_pb2.OrderBook:
    """A book, at most `depth` levels a side; 0 all."""
    digits = instrument(value.symbol).digits

    def levels(side: Iterable[tuple[int, int]]) -> list[market_pb2.BookLevel]:
        return [
            market_pb2.BookLevel(price=format_decimal(price, digits), size=str(size)) for price, size in side
        ]

    return market_pb2.OrderBook(
        session_id=value.session_id,
        symbol=value.symbol,
        sequence=value.sequence,
        time=timestamp(value.time_ns),
        bids=levels(value.bids[: depth or None]),
        asks=levels(value.asks[: depth or None]),
    )


def instrument_state(value: InstrumentState) -> market_pb2.Instrument:
    """An instrument with its market."""
    terms = value.instrument
    return market_pb2.Instrument(
        symbol=terms.symbol,
        base_currency=terms.base,
        quote_currency=terms.quote,
        pip_size=format_decimal(terms.pip, terms.digits).rstrip("0"),
        tick_size=format_decimal(terms.tick, terms.digits),
        price_digits=terms.digits,
        size_step=terms.size_text(terms.size_step),
        minimum_size=terms.size_text(terms.size_min),
        maximum_size=terms.size_text(terms.size_max),
        lot_size=str(terms.lot_units),
        margin_rate=str(terms.margin_rate),
        calendar=terms.calendar,
        market_state=market_state(is_open=value.market_open),
        next_change=timestamp(value.next_change_ns),
    )


def feed_session(value: FeedSession) -> market_pb2.FeedSession:
    """A feed session."""
    return market_pb2.FeedSession(
        session_id=value.session_id,
        kind=KIND[value.kind],
        symbols=value.symbols,
        started_at=timestamp(value.started_ns),
        ended_at=timestamp(value.ended_ns),
        market_time=timestamp(value.time_ns),
        ticks=value.ticks,
        active=value.active,
        always_open=value.always_open,
    )


def stream_item(sequence: int, item: StreamItem | None, now_ns: int) -> service_pb2.StreamTicksResponse:
    """A message of the tick stream; None is a heartbeat."""
    answer = service_pb2.StreamTicksResponse(stream_sequence=sequence)
    match item:
        case None:
            answer.heartbeat.time.CopyFrom(moment(now_ns))
        case TickMessage():
            batch = item.batch
            answer.batch.session_id = batch.session_id
            answer.batch.symbol = batch.symbol
            answer.batch.first_sequence = batch.first_sequence
            answer.batch.ticks.CopyFrom(tick_columns(batch))
            answer.batch.clock.CopyFrom(clock(item.clock))
            answer.batch.session_ended = item.ended
        case FeedSession():
            answer.session_started.CopyFrom(feed_session(item))
            if item.replay is not None:
                answer.replay.CopyFrom(replay(item.replay))
        case Barrier():
            answer.barrier.session_id = item.session_id
            answer.barrier.symbol = item.symbol
            answer.barrier.sequence = item.sequence
            answer.barrier.signal_count = item.signals
    return answer


def replay(value: Replay) -> market_pb2.Replay:
    """A replay and its progress."""
    return market_pb2.Replay(
        replay_id=value.replay_id,
        file_id=value.file_id,
        file_name=value.file_name,
        format=value.format,
        symbol=value.symbol,
        pace=PACE[value.pace],
        speed=value.speed,
        state=STATE[value.state],
        ticks_published=value.ticks,
        lines_read=value.lines,
        bytes_read=value.bytes_read,
        bytes_total=value.bytes_total,
        rejects=[
            market_pb2.RejectCount(
                reason=reason,
                count=tally.count,
                first_line=tally.first_line,
                first_detail=tally.first_detail,
                warning=tally.warning,
            )
            for reason, tally in sorted(value.rejects.items())
        ],
        crossed=value.crossed,
        market_time=timestamp(value.market_ns),
        started_at=timestamp(value.started_ns),
        ended_at=timestamp(value.ended_ns),
        failure=value.failure,
        failure_reason=value.failure_reason,
        waiting_for=value.waiting_for,
        damage=value.damage,
    )


def upload_part(request: service_pb2.UploadTickFileRequest) -> Announced | bytes:
    """A message of an upload: what is to come, or content."""
    if not request.HasField("header"):
        return request.content
    return Announced(request.header.size_bytes, request.header.sha256)


def start_replay(request: service_pb2.StartReplayRequest) -> StartReplay:
    """A replay request."""
    return StartReplay(
        request_id=request.request_id,
        file_id=request.file_id,
        symbol=request.symbol,
        format=request.format,
        pace=PACE_OF[request.pace],
        speed=request.speed,
        strict=request.strict,
        batch_size=request.batch_size,
        session_id=request.session_id,
        file_name=request.file_name,
    )
