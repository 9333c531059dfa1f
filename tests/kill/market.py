"""Market data and analysis as trading sees them, of the test's own: what was sent once is there for ever, and
a stream that is opened again goes on where it is asked to.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from fxmesh.analysis.v1 import analysis_pb2
from fxmesh.analysis.v1 import service_pb2 as analysis_service_pb2
from fxmesh.analysis.v1.service_pb2_grpc import AnalysisServiceServicer
from fxmesh.marketdata.v1 import market_pb2, service_pb2
from fxmesh.marketdata.v1.service_pb2_grpc import MarketDataServiceServicer
from fxmesh.types.v1 import market_pb2 as types_pb2

from services.market.instruments import instrument
from services.market.ticks import TickBatch
from services.wire.ticks import tick_columns
from services.wire.times import timestamp
from tests.trading_gateway.kit import SECOND, START

LIVE, REPLAY = "syn-1", "r1"
SYMBOLS = ("EURUSD", "USDJPY", "GBPUSD")
PRICES = {"EURUSD": 110_000, "USDJPY": 110_000, "GBPUSD": 165_000}
SIZED = ("EURUSD", "GBPUSD")
"""Symbols whose quotes have sizes, so that orders fill in parts."""
SPREAD = 10
HEARTBEAT_S = 0.5


@dataclass
class Feed:
    """Every tick there ever was, drawn from a seed."""

    random: Random
    batches: list[tuple[TickBatch, bool]] = field(default_factory=list)
    """In the order of sending; whether the session ended with them."""
    middles: dict[str, int] = field(default_factory=lambda: dict(PRICES))
    now_ns: int = START
    sequences: dict[tuple[str, str], int] = field(default_factory=dict)
    ended: bool = False

    def tick(self, symbol: str, session: str = LIVE, *, jump: int = 0, pause_s: int = 1) -> None:
        """One to four ticks. `jump`: the price moves so far at once, and stays there for two."""
        start_ns = self.now_ns + pause_s * SECOND
        bids, count = [], self.random.randint(2 if jump else 1, 4)
        self.middles[symbol] += jump
        for _ in range(count):
            bids.append(self.middles[symbol])
            self.middles[symbol] += self.random.randint(-15, 15)
        first = self.sequences.get((session, symbol), 0) + 1
        sizes = [self.random.choice((1_000, 100_000))] * count if symbol in SIZED else []
        times = [start_ns + SECOND * each for each in range(count)]
        asks = [bid + SPREAD for bid in bids]
        digits = instrument(symbol).digits
        self._send(TickBatch(session, symbol, first, digits, times, bids, asks, sizes, list(sizes)))

    def end(self, session: str, symbol: str) -> None:
        """No tick follows in the session."""
        first = self.sequences.get((session, symbol), 0) + 1
        self.batches.append((TickBatch(session, symbol, first, instrument(symbol).digits, [], [], []), True))
        self.ended = True

    def _send(self, batch: TickBatch) -> None:
        self.sequences[batch.session_id, batch.symbol] = batch.last_sequence
        self.now_ns = batch.times_ns[-1]
        self.batches.append((batch, False))


class Market(MarketDataServiceServicer):
    """The feed as a service. `stop` ends its streams, as when it goes down."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed

    async def StreamTicks(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        read = {(each.session_id, each.symbol): each.after_sequence for each in request.resume_from}
        for session, kind in ((LIVE, market_pb2.FEED_KIND_SYNTHETIC), (REPLAY, market_pb2.FEED_KIND_REPLAY)):
            yield service_pb2.StreamTicksResponse(
                session_started=market_pb2.FeedSession(
                    session_id=session,
                    kind=kind,
                    symbols=SYMBOLS if session == LIVE else ["EURUSD"],
                    active=True,
                    always_open=session == LIVE,
                )
            )
        sent = 0
        while True:
            if sent == len(self.feed.batches):
                yield service_pb2.StreamTicksResponse()
                await asyncio.sleep(HEARTBEAT_S / 10)
                continue
            batch, ended = self.feed.batches[sent]
            sent += 1
            rest = batch.trimmed_after(read.get((batch.session_id, batch.symbol), 0))
            if len(rest) or ended:
                yield service_pb2.StreamTicksResponse(batch=_message(rest, ended=ended))

    async def ListQuotes(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ListQuotesResponse()

    async def ListOrderBooks(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ListOrderBooksResponse()

    async def AcknowledgeTicks(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.AcknowledgeTicksResponse()


def _message(batch: TickBatch, *, ended: bool) -> service_pb2.TickBatch:
    return service_pb2.TickBatch(
        session_id=batch.session_id,
        symbol=batch.symbol,
        first_sequence=batch.first_sequence,
        ticks=tick_columns(batch),
        clock=types_pb2.MarketClock(
            session_id=batch.session_id,
            time=timestamp(batch.times_ns[-1] if len(batch) else 0),
            speed=1.0,
            sequence=batch.last_sequence,
        ),
        session_ended=ended,
    )


class Analysis(AnalysisServiceServicer):
    """An average true range of ten pips at any bar."""

    async def ListIndicators(self, request: Any, context: Any) -> Any:  # noqa: N802
        value = analysis_pb2.IndicatorValue(indicator="atr(14)", values={"atr": 0.001})
        snapshot = analysis_pb2.IndicatorSnapshot(
            symbol=request.symbol,
            timeframe=request.timeframe,
            bar_open_time=timestamp(START - 60 * SECOND),
            indicators=[value],
        )
        return analysis_service_pb2.ListIndicatorsResponse(snapshots=[snapshot])

    async def ListSignals(self, request: Any, context: Any) -> Any:  # noqa: N802
        return analysis_service_pb2.ListSignalsResponse()
