"""Reads that one instance could not take are put to another; what mutates is sent once, whatever is asked."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from fxmesh.trading.v1 import service_pb2 as trading
from fxmesh.trading.v1.service_pb2_grpc import (
    TradingServiceServicer,
    TradingServiceStub,
    add_TradingServiceServicer_to_server,
)
from fxmesh.trading.v1.trading_pb2 import Order
from prometheus_client import CollectorRegistry

from edge.retries import retry_policy
from edge.settings import Address
from interceptors.standard import server_concerns
from services.errors import FxError, Kind
from services.runtime.health import Health
from services.runtime.ids import CountedIds
from services.runtime.policy import Shape, all_methods
from services.runtime.serve import MeshServer
from tests.kit.edge import Edge
from tests.kit.proxy import Proxy, proxy

ACCOUNTS = "/api/v1/trading/accounts"
CANCEL = "/api/v1/trading/orders/o-1:cancel"
CALLERS, AT_LEAST = 40, 60
PERSISTENT = {
    "x-envoy-retry-on": "5xx,reset",
    "x-envoy-retry-grpc-on": "unavailable",
    "x-envoy-max-retries": "5",
}


class Counting(TradingServiceServicer):
    """Counts its calls, and refuses them once it is `down`."""

    def __init__(self) -> None:
        self.listed = self.cancelled = 0
        self.down = False

    async def ListAccounts(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.listed += 1
        self._look()
        return trading.ListAccountsResponse()

    async def CancelOrder(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.cancelled += 1
        self._look()
        return trading.CancelOrderResponse(order=Order(order_id=request.order_id))

    def _look(self) -> None:
        if self.down:
            raise FxError(Kind.UNAVAILABLE, "STORE_UNAVAILABLE", "not now")


class Fleet:
    """The edge in front of some instances of one service."""

    def __init__(self, edge: Edge, instances: list[Counting], ways: list[Proxy]) -> None:
        self.edge, self.instances, self.ways = edge, instances, ways

    async def list(self, **headers: str) -> int:
        return (await self.edge.ask("GET", ACCOUNTS, None, headers)).status

    async def cancel(self, request_id: str, headers: dict[str, str]) -> int:
        body = json.dumps({"request_id": request_id}).encode()
        answer = await self.edge.ask("POST", CANCEL, body, {"content-type": "application/json"} | headers)
        return answer.status


@asynccontextmanager
async def fleet(folder: Path, count: int) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        instances, ways = [], []
        for _ in range(count):
            concerns = server_concerns(CountedIds("s"), CollectorRegistry())
            health = Health()
            server = MeshServer("127.0.0.1", 0, concerns, health)
            instances.append(Counting())  # type: ignore[abstract]  # only what is called
            server.add(add_TradingServiceServicer_to_server, instances[-1])
            await server.start()
            health.started()
            stack.push_async_callback(server.close)
            ways.append(await stack.enter_async_context(proxy(server.port)))
        edge = Edge(folder, {"trading_gateway": tuple(way.port for way in ways)})
        stack.push_async_callback(edge.close)
        await edge.start()
        yield Fleet(edge, instances, ways)


def test_unary_reads_of_several_instances_are_repeated_and_nothing_else() -> None:
    three = tuple(Address("127.0.0.1", port) for port in (1, 2, 3))
    name = (Address("trading-gateway", 1),)
    repeated = {each.path for each in all_methods() if retry_policy(each, three)}
    assert repeated == {each.path for each in all_methods() if not each.mutates and each.shape is Shape.UNARY}
    assert repeated == {each.path for each in all_methods() if retry_policy(each, name)}
    assert not [each for each in all_methods() if retry_policy(each, three[:1])]
    assert len(repeated) > 30


@pytest.mark.integration
async def test_nobody_who_reads_feels_that_one_of_three_is_killed(tmp_path: Path) -> None:
    async with fleet(tmp_path, 3) as many:
        channel = grpc.aio.insecure_channel(f"localhost:{many.edge.port}")
        stub, answered, killed = TradingServiceStub(channel), 0, False

        async def read_on() -> None:
            nonlocal answered, killed
            for _ in range(AT_LEAST):
                await stub.ListAccounts(trading.ListAccountsRequest(), timeout=20)
                answered += 1
                if answered == AT_LEAST and not killed:
                    killed = True
                    many.ways[0].refuse()
                    many.ways[0].reset()

        await asyncio.gather(*(read_on() for _ in range(CALLERS)))  # raises what any call failed with
        await channel.close()
        assert answered == AT_LEAST * CALLERS
        assert all(each.listed for each in many.instances)
        assert await many.edge.stat("cluster.trading_gateway.upstream_rq_retry_success") > 0
        assert await many.edge.stat("cluster.trading_gateway.upstream_rq_retry_overflow") == 0
        assert await many.edge.stat("cluster.trading_gateway.outlier_detection.ejections_enforced_total") > 0


@pytest.mark.integration
async def test_a_read_goes_to_each_of_three_once_and_what_mutates_to_one(tmp_path: Path) -> None:
    async with fleet(tmp_path, 3) as many:
        assert await many.list() == 200
        for each in many.instances:
            each.down, each.listed = True, 0
        assert await many.list() == 503
        assert [each.listed for each in many.instances] == [1, 1, 1]
        for number, headers in enumerate(({}, PERSISTENT)):
            assert await many.cancel(f"r{number}", headers) == 503
            assert sum(each.cancelled for each in many.instances) == number + 1
        many.instances[1].down = False
        assert await many.list() == 200


@pytest.mark.integration
async def test_one_instance_alone_is_asked_once(tmp_path: Path) -> None:
    async with fleet(tmp_path, 1) as alone:
        assert await alone.list() == 200
        (only,) = alone.instances
        only.down, only.listed = True, 0
        assert await alone.list(**PERSISTENT) == 503
        assert only.listed == 1
