"""What happens to processes while they are called: killed, frozen, blocked, told to stop under load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from services.errors import FxError, Kind
from tests.fakes.echo import SERVICE, service_pb2_grpc
from tests.fakes.echo.service import Request
from tests.kit.fleet import Fleet, fleet_of
from tests.kit.nats import NatsServer, nats_server, shared_nats
from tests.kit.service_process import ServiceProcess, calling, service_process

__all__ = ["nats_server", "shared_nats"]
pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest_asyncio.fixture
async def fleet(tmp_path: Path, nats_server: NatsServer) -> AsyncIterator[Fleet]:
    async with fleet_of(2, tmp_path, nats_server) as made:
        yield made


@asynccontextmanager
async def one(
    folder: Path, nats: NatsServer, **environment: str
) -> AsyncIterator[tuple[ServiceProcess, Any]]:
    async with (
        service_process(folder / "echo", nats, **environment) as process,
        calling(process.address) as channels,
    ):
        stub: Any = service_pb2_grpc.EchoServiceStub(channels.to(SERVICE))
        await stub.Unary(Request(), timeout=10)  # connected
        yield process, stub


async def in_flight(stub: Any, text: str) -> tuple[asyncio.Future[Any], Any]:
    """A call at work on what `text` says, and a stream of which one answer has come."""
    waiting = asyncio.ensure_future(stub.Unary(Request(text=text), timeout=60))
    stream = stub.Spread(Request(text="hang", count=1), timeout=60)
    assert (await stream.read()).number == 0
    return waiting, stream


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
        waiting, stream = await in_flight(stub, "hang")
        process.kill()
        assert await failed(waiting, Kind.UNAVAILABLE) < 5
        await failed(stream.read(), Kind.UNAVAILABLE)


async def test_a_process_that_dies_between_effect_and_reply_leaves_the_outcome_unknown(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    at = {"FXMESH_CRASH_AT": "call.before_reply/Unary:2"}
    async with one(tmp_path, nats_server, **at) as (process, stub):
        assert await failed(stub.Unary(Request(), timeout=10), Kind.UNAVAILABLE) < 5
        assert await process.ended() == -9


async def test_told_to_stop_a_process_finishes_what_it_has_begun(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    async with one(tmp_path, nats_server) as (process, stub):
        waiting, stream = await in_flight(stub, "slow")
        process.terminate()
        with pytest.raises(FxError, match="this instance is going down"):
            await stream.read()
        assert (await waiting).text
        assert await process.ended() == 0


async def test_a_killed_instance_leaves_rotation_and_a_new_one_comes_in(
    fleet: Fleet, tmp_path: Path, nats_server: NatsServer
) -> None:
    (killed, _), beginning = fleet.instances, time.monotonic()
    killed.kill()
    await fleet.leaves(killed)
    assert time.monotonic() - beginning < 5 + 2  # on a busy machine a beat may be read late
    await fleet.answers()
    async with service_process(tmp_path / "new", nats_server) as new:
        await fleet.comes(new)


async def test_a_frozen_instance_leaves_rotation_and_returns(fleet: Fleet) -> None:
    frozen, _ = fleet.instances
    frozen.freeze()
    await fleet.leaves(frozen)
    await fleet.answers()
    frozen.thaw()
    await fleet.comes(frozen)
    await fleet.answers()


async def test_a_call_to_a_frozen_process_ends_at_its_deadline(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    async with one(tmp_path, nats_server) as (process, stub):
        process.freeze()
        assert await failed(stub.Unary(Request(), timeout=1), Kind.DEADLINE_EXCEEDED) < 5
        process.thaw()
        assert (await stub.Unary(Request(), timeout=10)).text


async def test_a_blocked_event_loop_costs_deadlines_and_nothing_else(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    async with one(tmp_path, nats_server) as (process, stub):
        blocking = asyncio.ensure_future(stub.Unary(Request(text="block"), timeout=30))
        await asyncio.sleep(0)  # sent before the next
        assert await failed(stub.Unary(Request(), timeout=0.5), Kind.DEADLINE_EXCEEDED) < 5
        assert (await blocking).text  # the connection lives
        assert (await stub.Unary(Request(), timeout=10)).text
        process.terminate()
        assert await process.ended() == 0
