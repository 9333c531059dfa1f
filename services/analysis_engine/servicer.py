"""AnalysisService: decode, call the handler, encode."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from fxmesh.analysis.v1 import service_pb2 as pb
from fxmesh.analysis.v1 import service_pb2_grpc

from services.analysis_engine import wire
from services.analysis_engine.handlers import Queries
from services.quant.timeframes import Timeframe
from services.wire.bars import bar
from services.wire.timeframes import timeframe_of, timeframes_of

Context = grpc.aio.ServicerContext[Any, Any]


class AnalysisServicer(service_pb2_grpc.AnalysisServiceServicer):
    """The gRPC face of the handlers."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def ListBars(self, request: pb.ListBarsRequest, context: Context) -> pb.ListBarsResponse:
        timeframe = timeframe_of(request.timeframe, Timeframe.M1)
        session_id, bars = await self._queries.bars(
            request.symbol, timeframe, request.limit, request.session_id, include_open=request.include_open
        )
        return pb.ListBarsResponse(bars=[bar(each) for each in bars], session_id=session_id)

    async def StreamBars(
        self, request: pb.StreamBarsRequest, context: Context
    ) -> AsyncIterator[pb.StreamBarsResponse]:
        number, timeframes = 0, timeframes_of(request.timeframe)
        async for closed in self._queries.stream_bars(frozenset(request.symbol), timeframes):
            number += 1
            if closed is None:
                yield pb.StreamBarsResponse(stream_sequence=number)
            else:
                session_id, each = closed
                yield pb.StreamBarsResponse(stream_sequence=number, session_id=session_id, bar=bar(each))

    async def ListIndicators(
        self, request: pb.ListIndicatorsRequest, context: Context
    ) -> pb.ListIndicatorsResponse:
        snapshots = await self._queries.indicators(
            request.symbol,
            timeframe_of(request.timeframe, Timeframe.M1),
            request.indicator,
            request.limit,
            request.session_id,
        )
        return pb.ListIndicatorsResponse(snapshots=[wire.snapshot(each) for each in snapshots])

    async def ListIndicatorDefinitions(
        self, request: pb.ListIndicatorDefinitionsRequest, context: Context
    ) -> pb.ListIndicatorDefinitionsResponse:
        definitions = await self._queries.definitions()
        return pb.ListIndicatorDefinitionsResponse(
            definitions=[wire.definition(each) for each in definitions]
        )

    async def StreamIndicators(
        self, request: pb.StreamIndicatorsRequest, context: Context
    ) -> AsyncIterator[pb.StreamIndicatorsResponse]:
        number, timeframes = 0, timeframes_of(request.timeframe)
        async for found in self._queries.stream_indicators(frozenset(request.symbol), timeframes):
            number += 1
            snapshot = None if found is None else wire.snapshot(found)
            yield pb.StreamIndicatorsResponse(stream_sequence=number, snapshot=snapshot)

    async def ListPatterns(
        self, request: pb.ListPatternsRequest, context: Context
    ) -> pb.ListPatternsResponse:
        timeframes = timeframes_of(request.timeframe)
        patterns = await self._queries.patterns(frozenset(request.symbol), timeframes, request.limit)
        return pb.ListPatternsResponse(patterns=[wire.pattern(each) for each in patterns])

    async def StreamPatterns(
        self, request: pb.StreamPatternsRequest, context: Context
    ) -> AsyncIterator[pb.StreamPatternsResponse]:
        number = 0
        async for found in self._queries.stream_patterns(frozenset(request.symbol)):
            number += 1
            pattern = None if found is None else wire.pattern(found)
            yield pb.StreamPatternsResponse(stream_sequence=number, pattern=pattern)

    async def ListSignals(self, request: pb.ListSignalsRequest, context: Context) -> pb.ListSignalsResponse:
        signals = await self._queries.signals(
            frozenset(request.symbol),
            timeframes_of(request.timeframe),
            request.strategy,
            request.session_id,
            request.limit,
        )
        return pb.ListSignalsResponse(signals=[wire.signal(each) for each in signals])

    async def GetSignal(self, request: pb.GetSignalRequest, context: Context) -> pb.GetSignalResponse:
        return pb.GetSignalResponse(signal=wire.signal(await self._queries.signal(request.signal_id)))

    async def StreamSignals(
        self, request: pb.StreamSignalsRequest, context: Context
    ) -> AsyncIterator[pb.StreamSignalsResponse]:
        number = 0
        async for found in self._queries.stream_signals(frozenset(request.symbol)):
            number += 1
            signal = None if found is None else wire.signal(found)
            yield pb.StreamSignalsResponse(stream_sequence=number, signal=signal)

    async def GetSessionProgress(
        self, request: pb.GetSessionProgressRequest, context: Context
    ) -> pb.GetSessionProgressResponse:
        return wire.session_progress(*await self._queries.progress(request.session_id))

    async def ListStrategies(
        self, request: pb.ListStrategiesRequest, context: Context
    ) -> pb.ListStrategiesResponse:
        strategies, timeframes = await self._queries.strategies()
        return pb.ListStrategiesResponse(strategies=[wire.strategy(each, timeframes) for each in strategies])
