"""Trading as composed, on bus and channels in memory, between scripted market data and analysis services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fxmesh.analysis.v1 import analysis_pb2
from fxmesh.analysis.v1 import events_pb2 as analysis_events_pb2
from fxmesh.analysis.v1 import service_pb2 as analysis_service_pb2
from fxmesh.analysis.v1.service_pb2_grpc import AnalysisServiceServicer, add_AnalysisServiceServicer_to_server
from fxmesh.inference.v1 import events_pb2 as inference_events_pb2
from fxmesh.marketdata.v1 import market_pb2
from fxmesh.marketdata.v1 import service_pb2 as market_service_pb2
from fxmesh.marketdata.v1.service_pb2_grpc import (
    MarketDataServiceServicer,
    add_MarketDataServiceServicer_to_server,
)
from fxmesh.trading.v1 import events_pb2
from fxmesh.trading.v1.service_pb2_grpc import TradingServiceStub
from fxmesh.types.v1 import market_pb2 as types_pb2
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry, generate_latest
from pydantic import SecretStr

from interceptors.standard import client_concerns, server_concerns
from services.errors import FxError, Kind
from services.market.ticks import TickBatch
from services.runtime.clock import WallClock
from services.runtime.health import Health
from services.runtime.ids import CountedIds
from services.runtime.memory_bus import MemoryBroker
from services.runtime.memory_channels import MemoryChannels
from services.runtime.memory_registry import MemoryRegistry
from services.runtime.mesh import Mesh
from services.runtime.policy import service_policy
from services.runtime.ports import Bus, Delivery, Subscription
from services.trading_gateway.compose import compose
from services.trading_gateway.config import Settings
from services.wire.ticks import tick_columns
from services.wire.times import timestamp
from tests.kit.databases import chosen
from tests.kit.events import quiet_log
from tests.trading_gateway.world import until

TRADING = "fxmesh.trading.v1.TradingService"
EVENTS = (
    events_pb2.OrderPlaced,
    events_pb2.OrderAccepted,
    events_pb2.OrderRejected,
    events_pb2.OrderAmended,
    events_pb2.OrderCancelled,
    events_pb2.OrderExpired,
    events_pb2.TradeExecuted,
    events_pb2.PositionChanged,
    events_pb2.AccountChanged,
    events_pb2.TradingStateChanged,
    events_pb2.MarginCallChanged,
    events_pb2.PositionStoppedOut,
    events_pb2.OrdersRefused,
    events_pb2.RiskLimitChanged,
)


class MarketData(MarketDataServiceServicer):
    """Streams what a test sends, and answers from what it was given."""

    def __init__(self) -> None:
        self.streams: list[asyncio.Queue[market_service_pb2.StreamTicksResponse]] = []
        self.resumed: list[list[tuple[str, str, int]]] = []
        self.quotes: list[market_pb2.Quote] = []
        self.books: dict[str, market_pb2.OrderBook] = {}
        self.acknowledged: list[market_service_pb2.AcknowledgeTicksRequest] = []

    async def StreamTicks(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        self.resumed.append(
            [(each.session_id, each.symbol, each.after_sequence) for each in request.resume_from]
        )
        queue: asyncio.Queue[market_service_pb2.StreamTicksResponse] = asyncio.Queue()
        self.streams.append(queue)
        while True:
            yield await queue.get()

    async def ListQuotes(self, request: Any, context: Any) -> Any:  # noqa: N802
        return market_service_pb2.ListQuotesResponse(quotes=self.quotes)

    async def ListOrderBooks(self, request: Any, context: Any) -> Any:  # noqa: N802
        found = [self.books[symbol] for symbol in request.symbol if symbol in self.books]
        if not found:
            raise FxError(Kind.NOT_FOUND, "NO_BOOK", "no book")
        return market_service_pb2.ListOrderBooksResponse(order_books=found)

    async def AcknowledgeTicks(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.acknowledged.append(request)
        return market_service_pb2.AcknowledgeTicksResponse()

    def send(self, **content: Any) -> None:
        self.streams[-1].put_nowait(market_service_pb2.StreamTicksResponse(**content))


class Analysis(AnalysisServiceServicer):
    """An average true range of ten pips at every bar asked for."""

    def __init__(self) -> None:
        self.bar_ns = 0
        self.signals: list[analysis_pb2.Signal] = []

    async def ListIndicators(self, request: Any, context: Any) -> Any:  # noqa: N802
        value = analysis_pb2.IndicatorValue(indicator="atr(14)", values={"atr": 0.001})
        snapshot = analysis_pb2.IndicatorSnapshot(
            symbol=request.symbol,
            timeframe=request.timeframe,
            bar_open_time=timestamp(self.bar_ns),
            indicators=[value],
        )
        return analysis_service_pb2.ListIndicatorsResponse(snapshots=[snapshot])

    async def ListSignals(self, request: Any, context: Any) -> Any:  # noqa: N802
        return analysis_service_pb2.ListSignalsResponse(signals=self.signals)


class Platform:
    """The composed service and its surroundings."""

    def __init__(self, folder: Path, settings: Settings, bus: Bus | None = None) -> None:
        clock, log, ids = WallClock(), quiet_log(), CountedIds("id")
        self.registry = CollectorRegistry()
        self.broker = MemoryBroker(clock, log)
        self.channels = MemoryChannels(
            server_concerns(ids, self.registry), client_concerns(ids, self.registry)
        )
        self.market = MarketData()  # type: ignore[abstract]  # only what trading calls
        self.analysis = Analysis()  # type: ignore[abstract]  # the same
        self.channels.serve(add_MarketDataServiceServicer_to_server, self.market)
        self.channels.serve(add_AnalysisServiceServicer_to_server, self.analysis)
        policy = service_policy(TRADING)
        self.bus = bus or self.broker.bus(policy)
        self.service = compose(
            settings,
            Mesh(
                service=policy,
                bus=self.bus,
                channels=self.channels,
                registry=MemoryRegistry(),
                clock=clock,
                ids=ids,
                health=Health(),
                data_dir=folder,
                metrics=self.registry,
                log=log,
            ),
        )
        self.channels.serve(self.service.add_to_server, self.service.servicer)
        self.stub: Any = TradingServiceStub(self.channels.to(TRADING))
        self.reader = self.broker.bus(service_policy("fxmesh.pipeline.v1.PipelineService"))
        self.signal_bus = self.broker.bus(service_policy("fxmesh.analysis.v1.AnalysisService"))
        self.drift_bus = self.broker.bus(service_policy("fxmesh.inference.v1.InferenceService"))
        self.published: list[Message] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        for dependency in self.service.dependencies:
            await dependency.check()
        await self.service.start()

        async def body(action: Any) -> None:
            await action()

        self._tasks = [asyncio.create_task(body(action)) for action in self.service.background]
        if self.service.subscriptions:
            await self.bus.subscribe(*self.service.subscriptions)
        await self.reader.subscribe(Subscription(EVENTS, self._read))
        await until(lambda: bool(self.market.streams))

    async def stop(self) -> None:
        await self.bus.drain()
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.service.close()
        await self.reader.close()
        assert all(isinstance(each, asyncio.CancelledError) for each in results), results

    async def _read(self, deliveries: Sequence[Delivery]) -> None:
        self.published += [each.event for each in deliveries]

    def of(self, kind: type[Message]) -> list[Any]:
        return [each for each in self.published if isinstance(each, kind)]

    def ticks_read(self) -> int:
        value = self.registry.get_sample_value("fxmesh_trading_ticks_total")
        return int(value or 0)

    def calls_made(self, method: str) -> int:
        """Calls of a peer's method that this process finished."""
        lines = generate_latest(self.registry).decode().splitlines()
        found = [
            float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith("grpc_client_handled_total") and f'grpc_method="{method}"' in line
        ]
        return int(sum(found))

    async def announce(self, session: str = "syn-1", *, replay: bool = False) -> None:
        kind = market_pb2.FEED_KIND_REPLAY if replay else market_pb2.FEED_KIND_SYNTHETIC
        self.market.send(
            session_started=market_pb2.FeedSession(
                session_id=session, kind=kind, symbols=["EURUSD"], active=True, always_open=not replay
            )
        )

    async def tick(self, ticks: TickBatch, *, speed: float = 1.0, ended: bool = False) -> None:
        """Send a batch and, unless it may be held back, wait until it was read."""
        before = self.ticks_read()
        self.market.send(
            batch=market_service_pb2.TickBatch(
                session_id=ticks.session_id,
                symbol=ticks.symbol,
                first_sequence=ticks.first_sequence,
                ticks=tick_columns(ticks),
                clock=types_pb2.MarketClock(
                    session_id=ticks.session_id,
                    time=timestamp(ticks.times_ns[-1] if len(ticks) else 0),
                    speed=speed,
                    sequence=ticks.last_sequence,
                ),
                session_ended=ended,
            )
        )
        if speed:
            await until(lambda: self.ticks_read() == before + len(ticks))

    async def signal(self, signal: analysis_pb2.Signal) -> None:
        await self.signal_bus.publish(
            analysis_events_pb2.SignalGenerated(
                signal_id=signal.signal_id, session_id=signal.session_id, symbol=signal.symbol, signal=signal
            )
        )

    async def drift(self, event: inference_events_pb2.ModelDriftDetected) -> None:
        await self.drift_bus.publish(event)
        await self.broker.drain()


@asynccontextmanager
async def platform(
    folder: Path, settings: Settings | None = None, bus: Bus | None = None
) -> AsyncIterator[Platform]:
    # A test ticks once and may then take its time, and on a machine that has much else to do even its loop
    # stands still for seconds: a silent feed and a lease not renewed are not what it is about.
    address = SecretStr(chosen().address(folder))
    changes = {"feed_stale_seconds": 60.0, "lease_seconds": 300.0, "database_url": address}
    patient = (settings or Settings()).model_copy(update=changes)
    running = Platform(folder, patient, bus)
    await running.start()
    try:
        yield running
    finally:
        await running.stop()
