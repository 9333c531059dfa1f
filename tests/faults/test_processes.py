"""What happens to processes while they are called: killed, frozen, blocked, told to stop under load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from services.errors import FxError, Kind
from services.runtime.registry import NatsRegistry
from tests.fakes.echo import SERVICE, service_pb2_grpc
from tests.fakes.echo.service import Request
from tests.kit.nats import NatsServer, nats_server, shared_nats, until
from tests.kit.service_process import ServiceProcess, calling, calling_by_registry, service_process

__all__ = ["nats_server", "shared_nats"]
pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@dataclass
class Fleet:
    """Two instances of one service, and a caller that finds them through the registry."""

    first: ServiceProcess
    second: ServiceProcess
    stub: Any
    registry: NatsRegistry

    def known(self, process: ServiceProcess) -> bool:
        return process.address in self.registry.endpoints(SERVICE)


@pytest_asyncio.fixture
async def fleet(tmp_path: Path, nats_server: NatsServer) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        starting = [service_process(tmp_path / name, nats_server) for name in ("first", "second")]
        first, second = await asyncio.gather(*(stack.enter_async_context(each) for each in starting))
        channels, registry = await stack.enter_async_context(calling_by_registry(nats_server))
        made = Fleet(first, second, service_pb2_grpc.EchoServiceStub(channels.to(SERVICE)), registry)
        await until(lambda: made.known(first) and made.known(second))
        yield made


@asynccontextmanager
async def one(
    folder: Path, nats: NatsServer, **environment: str
) -> AsyncIterator[tuple[ServiceProcess, Any]]:
    async with (
        service_process(folder / "echo", nats, **environment) as process,
        calling(process.address) as channels,
    ):
        yield process, service_pb2_grpc.EchoServiceStub(channels.to(SERVICE))


async def failed(call: Any, kind: Kind) -> float:
    """Seconds until the call failed as it should."""
    began = time.monotonic()
    with pytest.raises(FxError) as caught:
        await call
    assert caught.value.kind is kind, caught.value
    return time.monotonic() - began


async def test_a_caller_of_a_killed_process_learns_it_at_once(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    async with one(tmp_path, nats_server) as (process, stub):
        await stub.Unary(Request(), timeout=10)
        waiting = asyncio.ensure_future(stub.Unary(Request(text="hang"), timeout=60))
        stream = stub.Spread(Request(text="hang", count=1), timeout=60)
        assert (await stream.read()).number == 0
        process.kill()
        assert await failed(waiting, Kind.UNAVAILABLE) < 5
        await failed(stream.read(), Kind.UNAVAILABLE)


async def test_a_process_that_dies_between_effect_and_reply_leaves_the_outcome_unknown(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    at = {"FXMESH_CRASH_AT": "call.before_reply/Unary:2"}
    async with one(tmp_path, nats_server, **at) as (process, stub):
        await stub.Unary(Request(), timeout=10)
        assert await failed(stub.Unary(Request(), timeout=10), Kind.UNAVAILABLE) < 5
        assert await process.ended() == -9


async def test_told_to_stop_a_process_finishes_what_it_has_begun(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    async with one(tmp_path, nats_server) as (process, stub):
        await stub.Unary(Request(), timeout=10)
        waiting = asyncio.ensure_future(stub.Unary(Request(text="slow"), timeout=30))
        stream = stub.Spread(Request(text="hang", count=1), timeout=60)
        assert (await stream.read()).number == 0
        process.terminate()
        with pytest.raises(FxError, match="this instance is going down"):
            await stream.read()
        assert (await waiting).text
        assert await process.ended() == 0


async def test_a_killed_instance_leaves_rotation_and_a_new_one_comes_in(
    fleet: Fleet, tmp_path: Path, nats_server: NatsServer
) -> None:
    fleet.first.kill()
    killed = time.monotonic()
    await until(lambda: not fleet.known(fleet.first))
    assert time.monotonic() - killed < 5 + 2  # on a busy machine a beat may be read late
    for _ in range(10):
        await fleet.stub.Unary(Request(), timeout=5)
    async with service_process(tmp_path / "third", nats_server) as third:
        await until(lambda: fleet.known(third))


async def test_a_frozen_instance_leaves_rotation_and_returns(fleet: Fleet) -> None:
    fleet.first.freeze()
    await until(lambda: not fleet.known(fleet.first))
    for _ in range(10):
        await fleet.stub.Unary(Request(), timeout=5)
    fleet.first.thaw()
    await until(lambda: fleet.known(fleet.first))
    for _ in range(10):
        await fleet.stub.Unary(Request(), timeout=5)


async def test_a_call_to_a_frozen_process_ends_at_its_deadline(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    async with one(tmp_path, nats_server) as (process, stub):
        await stub.Unary(Request(), timeout=10)
        process.freeze()
        assert await failed(stub.Unary(Request(), timeout=1), Kind.DEADLINE_EXCEEDED) < 5
        process.thaw()
        assert (await stub.Unary(Request(), timeout=10)).text


async def test_a_blocked_event_loop_costs_deadlines_and_nothing_else(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    async with one(tmp_path, nats_server) as (process, stub):
        await stub.Unary(Request(), timeout=10)
        blocking = asyncio.ensure_future(stub.Unary(Request(text="block"), timeout=30))
        await asyncio.sleep(0)  # sent before the next
        assert await failed(stub.Unary(Request(), timeout=0.5), Kind.DEADLINE_EXCEEDED) < 5
        assert (await blocking).text  # the connection lives
        assert (await stub.Unary(Request(), timeout=10)).text
        process.terminate()
        assert await process.ended() == 0
