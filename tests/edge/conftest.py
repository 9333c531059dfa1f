"""Behind the edge: a service that tells what reached it, one that never answers, nobody for the others."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from fxmesh.marketdata.v1 import market_pb2, service_pb2, service_pb2_grpc
from prometheus_client import CollectorRegistry

from interceptors.standard import server_concerns
from services.errors import FxError, Kind
from services.runtime import context
from services.runtime.health import Health
from services.runtime.ids import CountedIds
from services.runtime.serve import MeshServer
from tests.kit.edge import Alive, Answer, Edge

QUOTES = "/api/v1/market-data/quotes"


class Listener(service_pb2_grpc.MarketDataServiceServicer):
    """Notes what a call brought with it. GBPUSD never answers; a stream of USDJPY fails half-way."""

    def __init__(self) -> None:
        self.remaining = 0.0
        self.correlation_id: str | None = None
        self.calls = 0
        self.cancelled = asyncio.Event()

    async def ListQuotes(self, request: Any, context: Any) -> service_pb2.ListQuotesResponse:  # noqa: N802
        self._note(context)
        if "GBPUSD" in request.symbol:
            await asyncio.Event().wait()
        if "AUDUSD" in request.symbol:
            raise FxError(Kind.FAILED_PRECONDITION, "NO_QUOTE", "no quote yet", retry_after_s=1.5)
        if "NZDUSD" in request.symbol:
            raise FxError(Kind.RESOURCE_EXHAUSTED, "RATE_LIMITED", "too fast", retry_after_s=1.5)
        if "USDCAD" in request.symbol:
            raise FxError(Kind.UNAVAILABLE, "STORE_UNAVAILABLE", "at once", retry_after_s=0.0)
        return service_pb2.ListQuotesResponse(
            quotes=[market_pb2.Quote(symbol=symbol, sequence=2**60) for symbol in request.symbol]
        )

    async def StreamQuotes(  # noqa: N802
        self, request: Any, context: Any
    ) -> AsyncIterator[service_pb2.StreamQuotesResponse]:
        self._note(context)
        try:
            for number in range(1, 10**9):
                yield service_pb2.StreamQuotesResponse(stream_sequence=number)
                if "USDJPY" in request.symbol and number == 3:
                    raise FxError(Kind.OUT_OF_RANGE, "SEQUENCE_GONE", "gone")
                await asyncio.sleep(0.01)
        finally:
            self.cancelled.set()

    def _note(self, call: Any) -> None:
        self.calls += 1
        self.remaining = call.time_remaining()
        self.correlation_id = context.correlation_id.get()


class Mute(grpc.GenericRpcHandler):
    """Lives, and answers no call."""

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        async def never(_: bytes, __: Any) -> bytes:
            await asyncio.Event().wait()
            return b""

        return grpc.unary_unary_rpc_method_handler(never)


class Front:
    def __init__(self, folder: Path) -> None:
        self.service = Listener()  # type: ignore[abstract]  # the rest stays unimplemented
        self.server = MeshServer(
            "127.0.0.1", 0, server_concerns(CountedIds("s"), CollectorRegistry()), Health()
        )
        self.server.add(service_pb2_grpc.add_MarketDataServiceServicer_to_server, self.service)
        self.mute = grpc.aio.server(handlers=(Alive(), Mute()))
        mute_port = self.mute.add_insecure_port("127.0.0.1:0")
        self.edge = Edge(folder, {"market_data": self.server.port, "analysis_engine": mute_port})
        self.channel: Any = grpc.aio.insecure_channel(f"localhost:{self.edge.port}")

    async def get(self, target: str, **headers: str) -> Answer:
        return await self.edge.ask(
            "GET", target, headers={name.replace("_", "-"): v for name, v in headers.items()}
        )


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    made = Front(tmp_path)
    await made.server.start()
    await made.mute.start()
    await made.edge.start()
    yield made
    await made.channel.close()
    await made.edge.close()
    await made.mute.stop(None)
    await made.server.close()
