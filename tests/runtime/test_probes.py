"""The port of Kubernetes' probes, asked as a kubelet asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.runtime.health import Health
from services.runtime.probes import ProbePort
from services.runtime.statuses import LIVENESS
from tests.fakes.echo import SERVICE, service_pb2_grpc
from tests.fakes.echo.service import Request

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Probed:
    """An open port and a plain channel to it."""

    def __init__(self) -> None:
        self.health = Health()
        self.port = ProbePort("127.0.0.1", 0, self.health)
        self.channel: Any = grpc.aio.insecure_channel(f"127.0.0.1:{self.port.port}")
        self.stub: Any = health_pb2_grpc.HealthStub(self.channel)

    async def status(self, service: str = "") -> int:
        request = health_pb2.HealthCheckRequest(service=service)
        return int((await self.stub.Check(request, timeout=5)).status)

    async def until(self, wanted: int) -> None:
        """Watch the readiness until it is as wanted."""
        async with asyncio.timeout(5):
            async for answer in self.stub.Watch(health_pb2.HealthCheckRequest()):
                if answer.status == wanted:
                    return


@pytest.fixture
async def probed() -> AsyncIterator[Probed]:
    made = Probed()
    await made.port.start(SERVICE)
    yield made
    await made.channel.close()
    await made.port.close()


async def test_readiness_follows_health_and_liveness_does_not(probed: Probed) -> None:
    assert await probed.status() == await probed.status(SERVICE) == NOT_SERVING
    assert await probed.status(LIVENESS) == SERVING
    probed.health.starting("bus")
    probed.health.started()
    probed.health.up("bus")
    await probed.until(SERVING)
    assert await probed.status(SERVICE) == SERVING
    probed.health.down("bus", "gone")
    await probed.until(NOT_SERVING)
    probed.health.up("bus")
    await probed.until(SERVING)
    probed.health.stopping()
    await probed.until(NOT_SERVING)
    assert await probed.status(LIVENESS) == SERVING


async def test_a_blocked_loop_is_not_alive(probed: Probed) -> None:
    assert await probed.status(LIVENESS) == SERVING
    with ThreadPoolExecutor(max_workers=1) as outside:
        asking = outside.submit(_ask_from_outside, probed.port.port)
        assert asking.result(timeout=10) is grpc.StatusCode.DEADLINE_EXCEEDED  # this blocks the loop


def _ask_from_outside(port: int) -> grpc.StatusCode:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            stub.Check(health_pb2.HealthCheckRequest(service=LIVENESS), timeout=1)
        except grpc.RpcError as refused:
            code: grpc.StatusCode = refused.code()
            return code
        return grpc.StatusCode.OK


async def test_nothing_else_is_served_there(probed: Probed) -> None:
    reflection: Any = reflection_pb2_grpc.ServerReflectionStub(probed.channel)
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    for call in (
        service_pb2_grpc.EchoServiceStub(probed.channel).Unary(Request(), timeout=5),
        reflection.ServerReflectionInfo(asked, timeout=5).read(),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
