"""The services that analysis calls."""

from __future__ import annotations

from fxmesh.inference.v1 import service_pb2 as inference_pb2
from fxmesh.inference.v1.service_pb2_grpc import InferenceServiceStub
from fxmesh.marketdata.v1 import service_pb2 as market_data_pb2
from fxmesh.marketdata.v1.service_pb2_grpc import MarketDataServiceStub
from fxmesh.pipeline.v1 import service_pb2 as pipeline_pb2
from fxmesh.pipeline.v1.service_pb2_grpc import PipelineServiceStub

from services.analysis_engine import wire
from services.analysis_engine.domain.signals import Prediction
from services.analysis_engine.ports import Importance, PredictionRequest
from services.quant.bars import Bar
from services.quant.timeframes import Timeframe
from services.runtime.ports import Channels
from services.wire.bars import bar_of
from services.wire.timeframes import TIMEFRAME
from services.wire.times import moment

CONSUMER = "analysis_engine"


class PipelineBars:
    """`ports.StoredBars` over PipelineService."""

    def __init__(self, channels: Channels) -> None:
        self._stub = PipelineServiceStub(channels.to("fxmesh.pipeline.v1.PipelineService"))

    async def last(
        self, symbol: str, timeframe: Timeframe, digits: int, before_ns: int, count: int, timeout_s: float
    ) -> list[Bar]:
        """The last `count` bars before a time."""
        request = pipeline_pb2.ListBarsRequest(
            symbol=symbol,
            timeframe=TIMEFRAME[timeframe],
            end=moment(before_ns),
            page_size=count,
            latest=True,
        )
        answer = await self._stub.ListBars(request, timeout=timeout_s)
        return [bar_of(each, digits) for each in answer.bars]


class InferenceModels:
    """`ports.Inference` over InferenceService."""

    def __init__(self, channels: Channels) -> None:
        self._stub = InferenceServiceStub(channels.to("fxmesh.inference.v1.InferenceService"))

    async def predict(self, request: PredictionRequest, timeout_s: float) -> Prediction:
        """One prediction with contributions."""
        answer = await self._stub.Predict(wire.predict_request(request), timeout=timeout_s)
        return wire.prediction(answer.prediction)

    async def importance(
        self, symbol: str, timeframe: Timeframe, endpoint: str, timeout_s: float
    ) -> Importance:
        """Of the model that the endpoint serves."""
        request = inference_pb2.GetFeatureImportanceRequest(
            symbol=symbol, timeframe=TIMEFRAME[timeframe], endpoint=endpoint
        )
        return wire.importance(await self._stub.GetFeatureImportance(request, timeout=timeout_s))


class LockstepReplays:
    """`ports.Replays` over MarketDataService."""

    def __init__(self, channels: Channels) -> None:
        self._stub = MarketDataServiceStub(channels.to("fxmesh.marketdata.v1.MarketDataService"))

    async def acknowledge(
        self, session_id: str, symbol: str, sequence: int, signals: int, *, ended: bool
    ) -> None:
        """All ticks up to `sequence` are handled."""
        await self._stub.AcknowledgeTicks(
            market_data_pb2.AcknowledgeTicksRequest(
                session_id=session_id,
                symbol=symbol,
                sequence=sequence,
                consumer=CONSUMER,
                signal_count=signals,
                session_ended=ended,
            )
        )
