"""What callers of the edge see of a service that is late, down, frozen, or asks them to come back."""

import asyncio
import json
import threading
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from fxmesh.analysis.v1 import service_pb2 as analysis
from fxmesh.analysis.v1.service_pb2_grpc import AnalysisServiceStub
from fxmesh.trading.v1 import service_pb2 as trading
from fxmesh.trading.v1.service_pb2_grpc import (
    TradingServiceServicer,
    TradingServiceStub,
    add_TradingServiceServicer_to_server,
)
from fxmesh.trading.v1.trading_pb2 import Order
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry

from edge.gate import Gate, Request
from edge.rest import RestForms
from interceptors.errors import to_fx_error
from interceptors.standard import server_concerns
from services.runtime.health import Health
from services.runtime.ids import CountedIds
from services.runtime.policy import service_policies
from services.runtime.serve import MeshServer
from tests.edge.conftest import QUOTES, Front
from tests.kit.edge import Edge
from tests.kit.nats import until, until_async
from tests.kit.proxy import proxy

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("symbol", "status", "reason", "seconds"),
    [
        ("NZDUSD", 429, "RATE_LIMITED", "2"),
        ("USDCAD", 503, "STORE_UNAVAILABLE", "1"),
        ("AUDUSD", 400, "NO_QUOTE", None),  # waiting is not what it asks for
    ],
)
async def test_who_shall_come_back_later_is_told_when(
    front: Front, symbol: str, status: int, reason: str, seconds: str | None
) -> None:
    answer = await front.get(f"{QUOTES}?symbol={symbol}")
    assert (answer.status, answer.reason, answer.headers.get("retry-after")) == (status, reason, seconds)


async def test_a_service_that_is_down_is_unavailable_in_the_same_form(front: Front) -> None:
    rest = await front.get("/api/v1/trading/accounts")
    assert (rest.status, rest.json["code"], rest.reason) == (503, 14, "PEER_UNAVAILABLE")
    assert rest.correlation_id == rest.headers["x-correlation-id"]
    with pytest.raises(grpc.aio.AioRpcError) as down:
        await TradingServiceStub(front.channel).ListAccounts(trading.ListAccountsRequest(), timeout=20)
    said = to_fx_error(down.value, "")
    assert (said.reason, said.detail) == ("PEER_UNAVAILABLE", "the service cannot be reached at the moment")
    assert rest.json["message"] == said.detail  # no address, no cause


async def test_a_frozen_service_costs_no_call_its_deadline(front: Front, tmp_path: Path) -> None:
    """Connections to it are still made, as the kernel does for a stopped process, and never answered."""
    (tmp_path / "frozen").mkdir()
    async with proxy(front.server.port) as way:
        edge = Edge(tmp_path / "frozen", {"market_data": way.port})
        await edge.start()

        async def asked() -> tuple[int, str]:
            answer = await edge.ask("GET", QUOTES)
            return (answer.status, "" if answer.status == 200 else answer.reason)

        try:
            assert await asked() == (200, "")
            way.to_server.stall()

            async def thrice() -> list[tuple[int, str]]:  # a reset connection gives one of them, too
                return [await asked() for _ in range(3)]

            await until_async(thrice, [(503, "PEER_UNAVAILABLE")] * 3, 60)
            calls = front.service.calls
            way.to_server.resume()
            await until_async(asked, (200, ""), 60)
            assert front.service.calls > calls
        finally:
            await edge.close()


async def test_what_a_service_lacks_does_not_keep_calls_from_it(front: Front) -> None:
    """It says of itself that it is not ready, as without NATS; there is no other to answer."""
    stub: Any = health_pb2_grpc.HealthStub(front.channel)
    market = health_pb2.HealthCheckRequest(service="fxmesh.marketdata.v1.MarketDataService")
    assert (await stub.Check(market, timeout=5)).status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert (await front.get(QUOTES)).status == 200


async def test_a_late_answer_is_a_504_whether_the_service_says_so_or_not(front: Front) -> None:
    slow, mute = await asyncio.gather(
        front.get(f"{QUOTES}?symbol=GBPUSD"), front.get("/api/v1/analysis/signals")
    )
    for late in (slow, mute):
        assert (late.status, late.json["code"], late.reason) == (504, 4, "DEADLINE_EXCEEDED")
        assert late.correlation_id == late.headers["x-correlation-id"]
    stub = AnalysisServiceStub(front.channel)
    for timeout in (None, 0.3, 30.0):
        call = stub.ListSignals(analysis.ListSignalsRequest(), timeout=timeout)
        with pytest.raises(grpc.aio.AioRpcError) as silent:
            await asyncio.wait_for(call, 5)
        assert silent.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


class Cancelling(TradingServiceServicer):
    """Lists nothing, cancels all."""

    async def ListAccounts(self, request: Any, context: Any) -> Any:  # noqa: N802
        return trading.ListAccountsResponse()

    async def CancelOrder(self, request: Any, context: Any) -> Any:  # noqa: N802
        return trading.CancelOrderResponse(order=Order(order_id=request.order_id))


async def test_a_cancel_takes_the_priority_port_past_a_port_that_takes_in_nothing(tmp_path: Path) -> None:
    concerns = server_concerns(CountedIds("s"), CollectorRegistry())
    server = MeshServer("127.0.0.1", 0, concerns, Health(), priority_port=0)
    server.add(add_TradingServiceServicer_to_server, Cancelling())  # type: ignore[abstract]  # only what is called
    await server.start()
    assert server.priority_port is not None
    async with proxy(server.port) as way:
        edge = Edge(tmp_path, {"trading_gateway": way.port}, {"trading_gateway": server.priority_port})
        await edge.start()
        channel = grpc.aio.insecure_channel(f"localhost:{edge.port}")
        try:
            assert (await edge.ask("GET", "/api/v1/trading/accounts")).status == 200
            way.to_server.stall()
            listing = asyncio.ensure_future(edge.ask("GET", "/api/v1/trading/accounts"))
            cancel = trading.CancelOrderRequest(request_id="r1", order_id="o-1")
            answered = await TradingServiceStub(channel).CancelOrder(cancel, timeout=20)
            assert answered.order.order_id == "o-1"
            body = json.dumps({"request_id": "r2"}).encode()
            kind = {"content-type": "application/json"}
            rest = await edge.ask("POST", "/api/v1/trading/orders/o-1:cancel", body, kind)
            assert (rest.status, rest.json["order"]["order_id"]) == (200, "o-1")
            way.to_server.resume()
            await listing
        finally:
            await channel.close()
            await edge.close()
            await server.close()


class Slow(Gate):
    """Takes its time over every question but those about cancels."""

    def __init__(self) -> None:
        super().__init__(RestForms(service_policies()))
        self.asked = 0
        self.free = threading.Event()

    def check(self, request: Request) -> None:
        if ":cancel" not in request.target:
            self.asked += 1
            self.free.wait()
        super().check(request)


async def test_the_gate_decides_about_a_cancel_while_four_hundred_others_wait_for_it(tmp_path: Path) -> None:
    server = MeshServer("127.0.0.1", 0, server_concerns(CountedIds("s"), CollectorRegistry()), Health())
    server.add(add_TradingServiceServicer_to_server, Cancelling())  # type: ignore[abstract]  # only what is called
    await server.start()
    gate = Slow()
    edge = Edge(tmp_path, {"trading_gateway": server.port}, gate=gate)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.close)
        stack.push_async_callback(edge.close)
        stack.callback(gate.free.set)
        await edge.start()
        channel = grpc.aio.insecure_channel(f"localhost:{edge.port}")
        stack.push_async_callback(channel.close)
        for _ in range(400):
            _, writer = await asyncio.open_connection("127.0.0.1", edge.port)
            writer.write(b"GET /api/v1/trading/accounts HTTP/1.1\r\nhost: localhost\r\n\r\n")
            stack.callback(writer.close)
        await until(lambda: gate.asked >= 64)
        body = json.dumps({"request_id": "r1"}).encode()
        kind = {"content-type": "application/json"}
        rest = await edge.ask("POST", "/api/v1/trading/orders/o-1:cancel", body, kind)
        assert (rest.status, rest.json["order"]["order_id"]) == (200, "o-1")
        cancel = trading.CancelOrderRequest(request_id="r2", order_id="o-2")
        answered = await TradingServiceStub(channel).CancelOrder(cancel, timeout=20)
        assert answered.order.order_id == "o-2"
        assert not gate.free.is_set()
