"""The priority port: cancels and the kill switch come in there, whatever waits at the port for all calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from fxmesh.trading.v1 import service_pb2 as pb
from fxmesh.trading.v1.service_pb2_grpc import (
    TradingServiceServicer,
    TradingServiceStub,
    add_TradingServiceServicer_to_server,
)
from fxmesh.trading.v1.trading_pb2 import TRADING_STATE_HALTED
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import CollectorRegistry

from interceptors.errors import to_fx_error
from interceptors.standard import client_concerns, server_concerns
from services.errors import FxError
from services.runtime.certificates import Certificates
from services.runtime.channels import MeshChannels, open_channel, registry_channels
from services.runtime.fatal import FatalError
from services.runtime.health import Health
from services.runtime.ids import CountedIds
from services.runtime.limits import CANCELS, PROTECTED
from services.runtime.memory_registry import MemoryRegistry
from services.runtime.policy import all_methods, service_policies
from services.runtime.ports import Instance
from services.runtime.serve import MeshServer
from tests.kit.certificates import authority, shown, written
from tests.kit.nats import until
from tests.kit.ports import free_port
from tests.kit.proxy import proxy

SERVICE = "fxmesh.trading.v1.TradingService"
CANCEL = pb.CancelOrderRequest(request_id="r1", order_id="o-1")
HALT = pb.SetTradingStateRequest(request_id="r2", trading_state=TRADING_STATE_HALTED)
LIST = pb.ListAccountsRequest()
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Trading(TradingServiceServicer):
    """Counts what comes in; a cancel waits while `held` is cleared."""

    def __init__(self) -> None:
        self.came: list[str] = []
        self.peers: list[str] = []
        self.held = asyncio.Event()
        self.held.set()

    async def ListAccounts(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.came.append("list")
        return pb.ListAccountsResponse()

    async def CancelOrder(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.came.append("cancel")
        await self.held.wait()
        return pb.CancelOrderResponse()

    async def SetTradingState(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.came.append("halt")
        return pb.SetTradingStateResponse()


class Served:
    """A server with both ports."""

    def __init__(self, tls: Certificates | None = None) -> None:
        self.health, self.metrics = Health(), CollectorRegistry()
        self.trading = Trading()  # type: ignore[abstract]  # only what is called here
        concerns = server_concerns(CountedIds("s"), self.metrics)
        self.server = MeshServer("127.0.0.1", 0, concerns, self.health, tls, 0)
        self.server.add(add_TradingServiceServicer_to_server, self.trading)

    @property
    def ports(self) -> tuple[int, int]:
        assert self.server.priority_port is not None
        return self.server.port, self.server.priority_port


@asynccontextmanager
async def served(tls: Certificates | None = None) -> AsyncIterator[Served]:
    made = Served(tls)
    await made.server.start()
    try:
        yield made
    finally:
        await made.server.close()


@asynccontextmanager
async def calling(address: int, priority: int | None) -> AsyncIterator[Any]:
    """A peer that knows these ports from the registry."""
    registry = MemoryRegistry()
    second = "" if priority is None else f"127.0.0.1:{priority}"
    await registry.register(
        Instance("i", SERVICE, "trading_gateway", f"127.0.0.1:{address}", "", 0, priority_address=second)
    )
    channels: MeshChannels = registry_channels(
        registry, client_concerns(CountedIds("c"), CollectorRegistry())
    )
    try:
        yield TradingServiceStub(channels.to(SERVICE))
    finally:
        await channels.close()


def test_a_service_has_a_priority_port_if_and_only_if_it_has_such_methods() -> None:
    with_methods = {each.service for each in all_methods() if each.bulkhead == CANCELS}
    assert {each.full_name for each in service_policies() if each.priority_port} == with_methods
    ports = [
        port
        for each in service_policies()
        for port in (each.grpc_port, each.http_port, each.priority_port)
        if port
    ]
    assert len(set(ports)) == len(ports)


async def test_a_cancel_and_a_halt_pass_while_the_first_port_lets_nothing_in() -> None:
    async with served() as made, proxy(made.server.port) as way, calling(way.port, made.ports[1]) as stub:
        await stub.ListAccounts(LIST, timeout=20)
        way.to_server.stall()
        waiting = [asyncio.create_task(stub.ListAccounts(LIST, timeout=60)) for _ in range(50)]
        await stub.CancelOrder(CANCEL, timeout=20)
        await stub.SetTradingState(HALT, timeout=20)
        assert made.trading.came == ["list", "cancel", "halt"]
        assert not any(each.done() for each in waiting)
        way.to_server.resume()
        await asyncio.gather(*waiting)
        assert made.trading.came.count("list") == 51


async def test_who_knows_the_first_port_alone_cancels_there() -> None:
    async with served() as made, calling(made.server.port, None) as stub:
        await stub.CancelOrder(CANCEL, timeout=20)
        await stub.SetTradingState(HALT, timeout=20)
        assert made.trading.came == ["cancel", "halt"]


async def test_a_priority_port_that_nobody_answers_at_stops_no_cancel() -> None:
    async with served() as made, calling(made.server.port, free_port()) as stub:
        for _ in range(3):
            await stub.CancelOrder(CANCEL, timeout=20)
        assert made.trading.came == ["cancel"] * 3


async def test_an_instance_that_appears_is_cancelled_at_by_who_waited_for_it() -> None:
    registry = MemoryRegistry()
    channels = registry_channels(registry, client_concerns(CountedIds("c"), CollectorRegistry()))
    stub: Any = TradingServiceStub(channels.to(SERVICE))
    async with served() as made, proxy(made.server.port) as way:
        way.to_server.stall()
        cancel = asyncio.create_task(stub.CancelOrder(CANCEL, timeout=20))
        await asyncio.sleep(0)
        first, second = (f"127.0.0.1:{port}" for port in (way.port, made.ports[1]))
        await registry.register(
            Instance("i", SERVICE, "trading_gateway", first, "", 0, priority_address=second)
        )
        await cancel
        assert made.trading.came == ["cancel"]
        await channels.close()


async def test_the_priority_port_serves_what_is_protected_and_nothing_else() -> None:
    async with served() as made, open_channel(f"127.0.0.1:{made.ports[1]}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await TradingServiceStub(channel).ListAccounts(LIST, timeout=20)
        assert unknown.value.code() is grpc.StatusCode.UNIMPLEMENTED
        protected = {each.method for each in all_methods() if each.bulkhead in PROTECTED}
        assert {"CancelOrder", "SetTradingState", "Check", "ServerReflectionInfo"} <= protected
        await TradingServiceStub(channel).CancelOrder(CANCEL, timeout=20)


async def test_both_ports_count_in_one_pool_and_one_metric() -> None:
    async with served() as made:
        made.trading.held.clear()
        async with (
            open_channel(f"127.0.0.1:{made.ports[0]}") as first,
            open_channel(f"127.0.0.1:{made.ports[1]}") as second,
        ):
            calls = [
                asyncio.ensure_future(TradingServiceStub(each).CancelOrder(CANCEL, timeout=60))
                for each in (first, second)
            ]
            await until(lambda: len(made.trading.came) == 2)
            labels = {"grpc_service": SERVICE, "bulkhead": CANCELS}
            assert made.metrics.get_sample_value("fxmesh_server_bulkhead_in_use", labels) == 2
            made.trading.held.set()
            await asyncio.gather(*calls)


async def test_health_and_drain_are_the_same_at_both() -> None:
    async with served() as made:
        made.health.started()
        made.trading.held.clear()
        channels = [open_channel(f"127.0.0.1:{port}") for port in made.ports]
        checks: list[Any] = [health_pb2_grpc.HealthStub(each) for each in channels]
        for check in checks:
            asked = health_pb2.HealthCheckRequest(service=SERVICE)
            assert (await check.Check(asked, timeout=20)).status == SERVING
        watches = [check.Watch(health_pb2.HealthCheckRequest(), timeout=60) for check in checks]
        assert [(await watch.read()).status for watch in watches] == [SERVING, SERVING]
        begun = asyncio.ensure_future(TradingServiceStub(channels[1]).CancelOrder(CANCEL, timeout=60))
        await until(lambda: made.trading.came == ["cancel"])

        draining = asyncio.create_task(made.server.drain())
        assert [(await watch.read()).status for watch in watches] == [NOT_SERVING, NOT_SERVING]
        for channel in channels:
            refused = await _refusal_at(channel)
            assert refused.reason == "SHUTTING_DOWN"
        assert not draining.done()  # the call in hand is waited for, at whichever port it came in
        made.trading.held.set()
        await begun
        await draining
        for channel in channels:
            await channel.close()


async def _refusal_at(channel: grpc.aio.Channel) -> FxError:
    """What a cancel is told there once the server has begun to refuse."""
    async with asyncio.timeout(20):
        while True:
            try:
                await TradingServiceStub(channel).SetTradingState(HALT, timeout=20)
            except grpc.aio.AioRpcError as failure:
                return to_fx_error(failure, "")


async def test_reflection_answers_at_both() -> None:
    async with served() as made:
        for port in made.ports:
            async with open_channel(f"127.0.0.1:{port}") as channel:
                stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[arg-type]  # of either kind
                asked = reflection_pb2.ServerReflectionRequest(list_services="")
                stream = stub.ServerReflectionInfo(iter([asked]), timeout=20)
                (answer,) = [each async for each in stream]
                found = {each.name for each in answer.list_services_response.service}
                assert SERVICE in found


async def test_the_priority_port_asks_for_a_certificate_too(tmp_path: Path) -> None:
    trusted = authority()
    async with served(shown(written(tmp_path / "s", "trading_gateway", trusted))) as made:
        address = f"127.0.0.1:{made.ports[1]}"
        async with open_channel(address) as plain:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await TradingServiceStub(plain).CancelOrder(CANCEL, timeout=20)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        caller = shown(written(tmp_path / "c", "market_data", trusted))
        async with open_channel(address, tls=caller, name="trading-gateway") as known:
            await TradingServiceStub(known).CancelOrder(CANCEL, timeout=20)
    assert made.trading.came == ["cancel"]


async def test_a_taken_priority_port_is_said_by_its_setting() -> None:
    async with served() as made:
        taken = made.ports[1]
        concerns = server_concerns(CountedIds("s"), CollectorRegistry())
        with pytest.raises(FatalError, match=f"priority port {taken} .* FXMESH_PRIORITY_PORT"):
            MeshServer("127.0.0.1", 0, concerns, Health(), None, taken)


async def test_a_cancel_comes_past_calls_that_wait_at_the_same_port() -> None:
    """They were sent before it over the same connection: by one queue it would come in last."""
    async with served() as made, grpc.aio.insecure_channel(f"127.0.0.1:{made.ports[0]}") as plain:
        stub = TradingServiceStub(plain)
        await stub.ListAccounts(LIST, timeout=30)  # what waits for a connection is sent in any order
        lists = [stub.ListAccounts(LIST, timeout=30) for _ in range(300)]
        await stub.CancelOrder(CANCEL, timeout=30)
        await asyncio.gather(*lists)
    assert made.trading.came.count("list") == 301
    assert made.trading.came.index("cancel") < 301, "the cancel stood behind all of them"
