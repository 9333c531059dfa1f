"""Market data, analysis and other gateways over the mesh. Failures arrive as FxError; all have a deadline."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from fxmesh.analysis.v1 import analysis_pb2 as analysis_messages
from fxmesh.analysis.v1 import service_pb2 as analysis_pb2
from fxmesh.analysis.v1.service_pb2_grpc import AnalysisServiceStub
from fxmesh.marketdata.v1 import service_pb2 as market_pb2
from fxmesh.marketdata.v1.service_pb2_grpc import MarketDataServiceStub
from fxmesh.trading.v1.service_pb2_grpc import TradingServiceStub

from services.errors import FxError, Kind
from services.runtime.leaders import Leaders
from services.runtime.mesh import Mesh
from services.runtime.ports import Channels, Leadership
from services.trading_gateway.domain.feeds import Quote
from services.trading_gateway.domain.inputs import Opinion, Signal
from services.trading_gateway.ports import Depth, FeedItem
from services.trading_gateway.wire import analysis as analysis_wire
from services.trading_gateway.wire import market as market_wire

CONSUMER = "trading_gateway"
ORDER_WAITS_S = 0.5
"""An order waits for these answers, and its own caller waits two seconds for it."""
BOOK_LEVELS = 10
SIGNALS_LOOKED_AT = 50
BARS_LOOKED_AT = 5
"""Among these is the signal's bar, unless analysis has run ahead."""
MOST_BARS = 1_000


class MarketDataPeer:
    """The MarketData port."""

    def __init__(self, channels: Channels) -> None:
        self._stub = MarketDataServiceStub(channels.to("fxmesh.marketdata.v1.MarketDataService"))

    async def ticks(self, positions: Sequence[tuple[str, str, int]]) -> AsyncIterator[FeedItem]:
        """Every tick after the positions. Raises FxError UNAVAILABLE when the stream ends."""
        request = market_pb2.StreamTicksRequest(resume_from=market_wire.positions(positions))
        async for message in self._stub.StreamTicks(request):
            yield market_wire.feed_item(message)
        raise FxError(Kind.UNAVAILABLE, "PEER_UNAVAILABLE", "market data ended the tick stream")

    async def quotes(self) -> list[Quote]:
        """The last quote of every symbol that has one."""
        answer = await self._stub.ListQuotes(market_pb2.ListQuotesRequest(), timeout=ORDER_WAITS_S)
        return [market_wire.quote(each) for each in answer.quotes]

    async def depth(self, symbol: str) -> Depth | None:
        """The order book; None when there is none."""
        request = market_pb2.ListOrderBooksRequest(symbol=[symbol], depth=BOOK_LEVELS)
        try:
            answer = await self._stub.ListOrderBooks(request, timeout=ORDER_WAITS_S)
        except FxError as failure:
            if failure.kind is Kind.NOT_FOUND:
                return None
            raise
        return market_wire.depth(answer.order_books[0]) if answer.order_books else None

    async def acknowledge(self, session_id: str, symbol: str, sequence: int, *, ended: bool) -> None:
        """Lockstep: all ticks up to `sequence` (and the end) are handled."""
        await self._stub.AcknowledgeTicks(
            market_pb2.AcknowledgeTicksRequest(
                session_id=session_id,
                symbol=symbol,
                sequence=sequence,
                consumer=CONSUMER,
                session_ended=ended,
            )
        )


class AnalysisPeer:
    """The Analysis port."""

    def __init__(self, channels: Channels) -> None:
        self._stub = AnalysisServiceStub(channels.to("fxmesh.analysis.v1.AnalysisService"))

    async def average_range(self, signal: Signal) -> int | None:
        """Average true range at a signal's bar, raw price; None while it warms up."""
        snapshots = await self._ranges(signal, BARS_LOOKED_AT)
        ahead = analysis_wire.bars_ahead(snapshots, signal)
        if ahead >= BARS_LOOKED_AT:  # analysis has gone on meanwhile
            snapshots = await self._ranges(signal, min(ahead + 1, MOST_BARS))
        return analysis_wire.average_range(snapshots, signal)

    async def _ranges(self, signal: Signal, bars: int) -> list[analysis_messages.IndicatorSnapshot]:
        request = analysis_pb2.ListIndicatorsRequest(
            symbol=signal.symbol,
            timeframe=analysis_wire.timeframe(signal),
            indicator=[analysis_wire.RANGE_INDICATOR],
            limit=bars,
            session_id=signal.session_id,
        )
        try:
            answer = await self._stub.ListIndicators(request)
        except FxError as failure:
            if failure.reason == "NOT_ENOUGH_BARS":
                return []
            raise
        return list(answer.snapshots)

    async def progress(self, session_id: str, symbol: str) -> tuple[int, int]:
        """Sequence up to which it is done with a feed, and signals it published of the session."""
        try:
            answer = await self._stub.GetSessionProgress(
                analysis_pb2.GetSessionProgressRequest(session_id=session_id)
            )
        except FxError as failure:
            if failure.reason == "UNKNOWN_SESSION":
                return 0, 0
            raise
        feeds = {each.symbol: each.sequence for each in answer.feeds}
        return feeds.get(symbol, 0), answer.signal_count

    async def opinions(self, signal: Signal) -> tuple[Opinion, ...]:
        """Earlier signals of other strategies on the same bar."""
        request = analysis_pb2.ListSignalsRequest(
            symbol=[signal.symbol],
            timeframe=[analysis_wire.timeframe(signal)],
            session_id=signal.session_id,
            limit=SIGNALS_LOOKED_AT,
        )
        answer = await self._stub.ListSignals(request)
        return analysis_wire.opinions(list(answer.signals), signal)


def gateways(mesh: Mesh, lease: Leadership) -> Leaders[TradingServiceStub]:
    """The instances of this service, of which one holds the lease of the books."""
    return Leaders(mesh.service, mesh.channels, lease, TradingServiceStub)
