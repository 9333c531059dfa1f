"""Analysis as composed for a process, between a broker and peers in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from fxmesh.analysis.v1 import events_pb2
from fxmesh.analysis.v1.service_pb2_grpc import AnalysisServiceStub
from fxmesh.inference.v1 import inference_pb2
from fxmesh.inference.v1 import service_pb2 as inference_service_pb2
from fxmesh.inference.v1.service_pb2_grpc import (
    InferenceServiceServicer,
    add_InferenceServiceServicer_to_server,
)
from fxmesh.marketdata.v1 import events_pb2 as market_events_pb2
from fxmesh.marketdata.v1 import service_pb2 as market_service_pb2
from fxmesh.marketdata.v1.service_pb2_grpc import (
    MarketDataServiceServicer,
    add_MarketDataServiceServicer_to_server,
)
from fxmesh.pipeline.v1 import service_pb2 as pipeline_service_pb2
from fxmesh.pipeline.v1.service_pb2_grpc import (
    PipelineServiceServicer,
    add_PipelineServiceServicer_to_server,
)
from fxmesh.types.v1 import market_pb2 as types_pb2
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry

from interceptors.standard import client_concerns, server_concerns
from services.analysis_engine.compose import compose
from services.analysis_engine.config import Settings
from services.market.ticks import TickBatch
from services.quant.bars import BAR_PRICES
from services.quant.timeframes import Timeframe
from services.runtime.clock import WallClock
from services.runtime.health import Health
from services.runtime.ids import CountedIds
from services.runtime.memory_bus import MemoryBroker
from services.runtime.memory_channels import MemoryChannels
from services.runtime.memory_registry import MemoryRegistry
from services.runtime.mesh import Mesh, Service
from services.runtime.policy import service_policy
from services.runtime.ports import Subscription
from services.wire.ticks import tick_columns
from services.wire.timeframes import TIMEFRAME_OF
from services.wire.times import timestamp

ANALYSIS = "fxmesh.analysis.v1.AnalysisService"


class Pipeline(PipelineServiceServicer):
    """Answers with bars of a market that rises by a point a bar."""

    def __init__(self) -> None:
        self.requests: list[pipeline_service_pb2.ListBarsRequest] = []

    async def ListBars(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.requests.append(request)
        frame = TIMEFRAME_OF[request.timeframe]
        if frame is not Timeframe.M1:
            return pipeline_service_pb2.ListBarsResponse()
        end = request.end.seconds
        bars = []
        for index in range(120):
            price = f"{1.38 + index / 1e5:.5f}"
            sides: Any = dict.fromkeys(BAR_PRICES, price)
            open_time = timestamp((end - 60 * (120 - index)) * 10**9)
            bars.append(
                types_pb2.Bar(symbol="EURUSD", timeframe=request.timeframe, open_time=open_time, **sides)
            )
        return pipeline_service_pb2.ListBarsResponse(bars=bars)


class Inference(InferenceServiceServicer):
    """Certain that the price rises."""

    def __init__(self) -> None:
        self.requests: list[inference_service_pb2.PredictRequest] = []
        self.importance_requests = 0

    async def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.requests.append(request)
        answer = inference_pb2.Prediction(
            prediction_id=request.prediction_id, endpoint="e", model_name="m", model_version=3
        )
        answer.probability_up = 0.7
        answer.contributions.add(feature="macd", value=1.5, contribution=0.4)
        return inference_service_pb2.PredictResponse(prediction=answer)

    async def GetFeatureImportance(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.importance_requests += 1
        answer = inference_service_pb2.GetFeatureImportanceResponse(model_name="m", model_version=3)
        answer.importance.add(feature="macd", gain=0.6, splits=9)
        return answer


class MarketData(MarketDataServiceServicer):
    """A lockstep replay."""

    def __init__(self) -> None:
        self.acknowledged: list[market_service_pb2.AcknowledgeTicksRequest] = []

    async def AcknowledgeTicks(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.acknowledged.append(request)
        return market_service_pb2.AcknowledgeTicksResponse()


@dataclass
class Platform:
    """Analysis between a broker and peers in memory."""

    folder: Path
    pipeline: Pipeline = field(default_factory=Pipeline)
    inference: Inference = field(default_factory=Inference)
    market_data: MarketData = field(default_factory=MarketData)
    published: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.registry, self.clock = CollectorRegistry(), WallClock()
        log = structlog.get_logger()
        self.broker = MemoryBroker(self.clock, log)
        self.channels = MemoryChannels(
            server_concerns(CountedIds("s"), CollectorRegistry()),
            client_concerns(CountedIds("c"), CollectorRegistry()),
        )
        self.channels.serve(add_PipelineServiceServicer_to_server, self.pipeline)
        self.channels.serve(add_InferenceServiceServicer_to_server, self.inference)
        self.channels.serve(add_MarketDataServiceServicer_to_server, self.market_data)
        policy = service_policy(ANALYSIS)
        self.bus = self.broker.bus(policy)
        mesh = Mesh(
            service=policy,
            bus=self.bus,
            channels=self.channels,
            registry=MemoryRegistry(),
            clock=self.clock,
            ids=CountedIds("i"),
            health=Health(),
            data_dir=self.folder,
            metrics=self.registry,
            log=log,
        )
        self.service: Service = compose(Settings(), mesh)
        self.channels.serve(self.service.add_to_server, self.service.servicer)
        self.stub = AnalysisServiceStub(self.channels.to(ANALYSIS))
        self.market_bus = self.broker.bus(service_policy("fxmesh.marketdata.v1.MarketDataService"))
        self.reader = self.broker.bus(service_policy("fxmesh.pipeline.v1.PipelineService"))

    async def start(self) -> None:
        for dependency in self.service.dependencies:
            await dependency.check()
        await self.service.start()
        await self.bus.subscribe(*self.service.subscriptions)
        events = (
            events_pb2.BarClosed,
            events_pb2.IndicatorCalculated,
            events_pb2.PatternDetected,
            events_pb2.SignalGenerated,
        )
        await self.reader.subscribe(Subscription(events, self._read))

    async def _read(self, deliveries: Any) -> None:
        self.published += [each.event for each in deliveries]

    async def feed(self, batch: TickBatch, *, speed: float = 0.0, ended: bool = False) -> None:
        await self.market_bus.publish(tick_event(batch, speed=speed, ended=ended))
        await self.broker.drain()

    def of(self, kind: type[Message]) -> list[Any]:
        return [each for each in self.published if isinstance(each, kind)]


def tick_event(batch: TickBatch, *, speed: float, ended: bool) -> market_events_pb2.PriceTickReceived:
    last = batch.times_ns[-1] if len(batch) else 0
    return market_events_pb2.PriceTickReceived(
        session_id=batch.session_id,
        symbol=batch.symbol,
        first_sequence=batch.first_sequence,
        last_sequence=batch.last_sequence,
        ticks=tick_columns(batch),
        clock=types_pb2.MarketClock(
            session_id=batch.session_id,
            time=timestamp(last),
            speed=speed,
            sequence=batch.last_sequence,
        ),
        session_ended=ended,
    )


@asynccontextmanager
async def platform(folder: Path) -> AsyncIterator[Platform]:
    running = Platform(folder)
    await running.start()
    try:
        yield running
    finally:
        for bus in (running.bus, running.reader):
            await bus.close()
        await running.service.close()
