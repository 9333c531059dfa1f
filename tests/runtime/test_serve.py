"""The server of a process: health, reflection, limits and a drain that ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from prometheus_client import CollectorRegistry

from interceptors.standard import client_concerns, server_concerns
from services.errors import FxError
from services.runtime.channels import MeshChannels, static_channels
from services.runtime.fatal import FatalError
from services.runtime.health import Health
from services.runtime.ids import CountedIds
from services.runtime.serve import MeshServer
from tests.fakes.echo import SERVICE, service_pb2_grpc
from tests.fakes.echo.service import EchoServicer, Request
from tests.kit.nats import until

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Served:
    """A running server with a stub of the mesh and a plain channel to it."""

    def __init__(self) -> None:
        self.health = Health()
        self.metrics = CollectorRegistry()
        self.servicer = EchoServicer()
        self.server = MeshServer("127.0.0.1", 0, server_concerns(CountedIds("s"), self.metrics), self.health)
        self.server.add(service_pb2_grpc.add_EchoServiceServicer_to_server, self.servicer)
        self.address = f"127.0.0.1:{self.server.port}"
        self.channels: MeshChannels = static_channels(
            {SERVICE: self.address}, client_concerns(CountedIds("c"), CollectorRegistry())
        )
        self.stub = service_pb2_grpc.EchoServiceStub(self.channels.to(SERVICE))
        self.plain: Any = grpc.aio.insecure_channel(self.address)

    async def close(self) -> None:
        await self.plain.close()
        await self.channels.close()
        await self.server.close()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    made = Served()
    await made.server.start()
    yield made
    await made.close()


def _health(served: Served) -> Any:
    return health_pb2_grpc.HealthStub(served.plain)  # the stubs of types-grpcio know no methods


async def _status(served: Served, service: str) -> int:
    answer = await _health(served).Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
    return int(answer.status)


@pytest.mark.parametrize("service", ["", SERVICE])
async def test_health_is_told_overall_and_by_service(served: Served, service: str) -> None:
    watch = _health(served).Watch(health_pb2.HealthCheckRequest(service=service))
    assert (await watch.read()).status == NOT_SERVING
    served.health.started()
    assert (await watch.read()).status == SERVING
    assert await _status(served, service) == SERVING
    served.health.down("store", "locked")
    assert (await watch.read()).status == NOT_SERVING
    served.health.up("store")
    assert (await watch.read()).status == SERVING
    watch.cancel()


async def test_health_of_a_service_that_is_not_here(served: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _status(served, "fxmesh.trading.v1.TradingService")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    counted = served.metrics.get_sample_value(
        "grpc_server_handled_total",
        {
            "grpc_type": "unary",
            "grpc_service": "grpc.health.v1.Health",
            "grpc_method": "Check",
            "grpc_code": "NOT_FOUND",
        },
    )
    assert counted == 1


async def _reflected(served: Served, version: str, *asked: str) -> list[Any]:
    """Answers of one version: the services for "", else the files that hold a symbol."""
    call = served.plain.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    requests = [
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=each)
        if each
        else reflection_pb2.ServerReflectionRequest(list_services="")
        for each in asked
    ]
    return [answer async for answer in call(iter(requests), timeout=5)]


@pytest.mark.parametrize("version", ["v1alpha", "v1"])
async def test_reflection_lists_and_describes_what_it_lists_and_each_method(
    served: Served, version: str
) -> None:
    (listed,) = await _reflected(served, version, "")
    names = [each.name for each in listed.list_services_response.service]
    assert names == [
        SERVICE,
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ]
    asked = (*names, f"{SERVICE}.Unary", "grpc.reflection.v1.ServerReflection.ServerReflectionInfo")
    for symbol, answer in zip(asked, await _reflected(served, version, *asked), strict=True):
        files = answer.file_descriptor_response.file_descriptor_proto
        assert files, symbol
        package = descriptor_pb2.FileDescriptorProto.FromString(files[0]).package
        assert symbol.startswith(f"{package}.")


@pytest.mark.parametrize("symbol", [f"{SERVICE}.Nope", "no.such.Service.Method", "Unary", "."])
async def test_reflection_of_what_is_not_there_is_not_found(served: Served, symbol: str) -> None:
    (answer,) = await _reflected(served, "v1", symbol)
    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_a_taken_port_is_one_sentence(served: Served) -> None:
    with pytest.raises(
        FatalError, match=f"gRPC port {served.server.port} on 127.0.0.1 is in use.*FXMESH_GRPC_PORT"
    ):
        MeshServer("127.0.0.1", served.server.port, {}, Health())


async def test_a_burst_of_two_thousand_calls_is_answered(served: Served) -> None:
    answers = await asyncio.gather(*(served.stub.Unary(Request(), timeout=60) for _ in range(2000)))
    assert len(answers) == 2000


async def test_a_drain_lets_calls_in_flight_finish_and_ends_streams(served: Served) -> None:
    served.health.started()
    watch = _health(served).Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == SERVING
    gate: asyncio.Queue[Any] = asyncio.Queue()

    async def requests() -> AsyncIterator[Any]:
        while (request := await gate.get()) is not None:
            yield request

    gathering = asyncio.ensure_future(served.stub.Gather(requests()))
    stream = served.stub.Spread(Request(text="hang", count=1))
    assert (await stream.read()).number == 0
    await served.servicer.until_running(2)

    draining = asyncio.ensure_future(served.server.drain())
    assert (await watch.read()).status == NOT_SERVING
    with pytest.raises(FxError, match="SHUTTING_DOWN"):
        await stream.read()
    with pytest.raises(grpc.aio.AioRpcError, match="UNAVAILABLE"):
        await watch.read()
    assert not draining.done()
    gate.put_nowait(Request())
    gate.put_nowait(None)
    assert (await gathering).number == 1
    await draining
    with pytest.raises(FxError, match="PEER_UNAVAILABLE"):
        await served.stub.Unary(Request(), timeout=5)


async def test_a_drain_does_not_wait_for_ever(served: Served) -> None:
    hanging = asyncio.ensure_future(served.stub.Unary(Request(text="hang")))
    await served.servicer.until_running(1)
    await served.server.drain(grace_s=0.1)
    with pytest.raises(FxError, match="PEER_UNAVAILABLE"):
        await hanging
    assert await served.servicer.until_finished(1) == ["CancelledError"]


async def test_callers_without_pause_never_read_that_they_cancelled(served: Served) -> None:
    """Each call is finished, refused in words, or unavailable: also those that gRPC had read and not handed
    over when the server stopped.
    """
    stub = service_pb2_grpc.EchoServiceStub(served.plain)
    codes: Counter[grpc.StatusCode] = Counter()

    async def call() -> None:
        while not drained:
            try:
                await stub.Unary(Request(), timeout=60)
                codes[grpc.StatusCode.OK] += 1
            except grpc.aio.AioRpcError as failure:
                codes[failure.code()] += 1

    drained = False
    callers = [asyncio.ensure_future(call()) for _ in range(64)]
    await until(lambda: codes[grpc.StatusCode.OK] > 200, seconds=60)
    await served.server.drain()
    drained = True
    await asyncio.gather(*callers)
    assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}


async def test_what_is_not_finished_in_time_is_told_so(served: Served) -> None:
    stub = service_pb2_grpc.EchoServiceStub(served.plain)
    hanging = asyncio.ensure_future(stub.Unary(Request(text="hang"), timeout=60))
    await served.servicer.until_running(1)
    await served.server.drain(grace_s=0.1)
    with pytest.raises(grpc.aio.AioRpcError, match="this instance is going down") as refused:
        await hanging
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_server_never_started_can_be_closed() -> None:
    made = Served()
    await made.close()
    again = MeshServer("127.0.0.1", made.server.port, {}, Health())
    await again.close()
