"""How a call finds a live instance."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from fxmesh.trading.v1.service_pb2 import GetOrderRequest
from fxmesh.trading.v1.service_pb2_grpc import TradingServiceStub
from prometheus_client import CollectorRegistry

from interceptors.standard import client_concerns, server_concerns
from services.errors import FxError, Kind
from services.runtime import channels
from services.runtime.health import Health
from services.runtime.ids import CountedIds
from services.runtime.memory_registry import MemoryRegistry
from services.runtime.ports import Channels, Instance
from services.runtime.serve import MeshServer
from tests.fakes.echo import SERVICE, service_pb2_grpc
from tests.fakes.echo.service import EchoServicer, Request
from tests.kit.nats import until


@asynccontextmanager
async def _instance(registry: MemoryRegistry, name: str) -> AsyncIterator[EchoServicer]:
    """A served and registered instance; withdrawn, then stopped."""
    servicer = EchoServicer()
    server = MeshServer("127.0.0.1", 0, server_concerns(CountedIds(name), CollectorRegistry()), Health())
    server.add(service_pb2_grpc.add_EchoServiceServicer_to_server, servicer)
    await server.start()
    await registry.register(Instance(name, SERVICE, "echo", f"127.0.0.1:{server.port}", "", 0))
    try:
        yield servicer
    finally:
        await server.close()


@pytest.fixture
def registry() -> MemoryRegistry:
    return MemoryRegistry()


@pytest.fixture
async def found(registry: MemoryRegistry) -> AsyncIterator[channels.MeshChannels]:
    made = channels.registry_channels(registry, client_concerns(CountedIds("c"), CollectorRegistry()))
    yield made
    await made.close()


def _stub(found: Channels) -> Any:
    return service_pb2_grpc.EchoServiceStub(found.to(SERVICE))


async def test_calls_go_round_the_instances(registry: MemoryRegistry, found: Channels) -> None:
    stub = _stub(found)
    async with _instance(registry, "a") as first, _instance(registry, "b") as second:
        for _ in range(6):
            await stub.Unary(Request())
        assert (len(first.finished), len(second.finished)) == (3, 3)


async def test_a_call_waits_for_an_instance_to_appear(registry: MemoryRegistry, found: Channels) -> None:
    waiting = asyncio.ensure_future(_stub(found).Unary(Request()))
    await asyncio.sleep(0)
    assert not waiting.done()
    async with _instance(registry, "a"):
        assert (await waiting).text


async def test_a_call_without_an_instance_fails_at_its_deadline(found: Channels) -> None:
    began = time.monotonic()
    with pytest.raises(FxError) as caught:
        await _stub(found).Unary(Request(), timeout=0.2)
    assert 0.15 < time.monotonic() - began < 2
    assert (caught.value.kind, caught.value.reason) == (Kind.UNAVAILABLE, "PEER_UNAVAILABLE")
    assert SERVICE in caught.value.detail


async def test_a_peer_that_is_gone_costs_no_call_its_deadline(
    registry: MemoryRegistry, found: Channels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "GAP_S", 0.1)
    stub = _stub(found)
    async with _instance(registry, "a"):
        await stub.Unary(Request())
    await registry.deregister()
    for _ in range(3):
        with pytest.raises(FxError, match=f"no instance of {SERVICE} is running") as caught:
            await asyncio.wait_for(stub.Unary(Request(), timeout=600), 60)
        assert (caught.value.kind, caught.value.reason) == (Kind.UNAVAILABLE, "PEER_UNAVAILABLE")
    async with _instance(registry, "b"):
        assert (await stub.Unary(Request())).text


async def test_a_peer_whose_beat_was_late_is_waited_for(
    registry: MemoryRegistry, found: Channels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "GAP_S", 60.0)
    stub = _stub(found)
    async with _instance(registry, "a"):
        await stub.Unary(Request())
    await registry.deregister()
    waiting = asyncio.ensure_future(stub.Unary(Request()))
    await asyncio.sleep(0)
    assert not waiting.done()
    async with _instance(registry, "b"):
        assert (await waiting).text


async def test_a_stream_without_an_instance_fails_when_read(found: Channels) -> None:
    stream = _stub(found).Spread(Request(count=1), timeout=0.1)
    with pytest.raises(FxError, match="PEER_UNAVAILABLE"):
        await stream.read()
    assert await stream.read() is grpc.aio.EOF


async def test_withdrawn_instances_get_no_new_calls_and_finish_the_old(
    registry: MemoryRegistry, found: channels.MeshChannels
) -> None:
    stub = _stub(found)
    async with _instance(registry, "a") as first:
        stream = stub.Spread(Request(count=1, text="hang"))
        await stream.read()
        (address,) = registry.endpoints(SERVICE)
        await registry.deregister()
        async with _instance(registry, "b") as second:
            for _ in range(3):
                await stub.Unary(Request())
            assert (len(first.finished), len(second.finished)) == (0, 3)
            assert first.running == 1
            assert address not in found._connections.addresses()
            stream.cancel()
            await first.until_finished(1)


async def test_the_channel_of_a_service_is_the_same_each_time(found: Channels) -> None:
    assert found.to(SERVICE) is found.to(SERVICE)


async def test_a_channel_knows_whether_somebody_is_there(registry: MemoryRegistry, found: Channels) -> None:
    channel = found.to(SERVICE)
    assert channel.get_state() is grpc.ChannelConnectivity.IDLE
    ready = asyncio.ensure_future(channel.channel_ready())
    await asyncio.sleep(0)
    await registry.register(Instance("a", SERVICE, "echo", "127.0.0.1:1", "", 0))
    await ready
    assert channel.get_state() is grpc.ChannelConnectivity.READY


async def test_a_table_of_addresses_is_enough_for_a_tool(registry: MemoryRegistry) -> None:
    async with _instance(registry, "a"):
        (address,) = registry.endpoints(SERVICE)
        made = channels.static_channels(
            {SERVICE: address}, client_concerns(CountedIds("c"), CollectorRegistry())
        )
        assert (await _stub(made).Unary(Request())).text == "c-00000001"
        with pytest.raises(FxError, match=r"no address is known for other\.v1\.Other"):
            made.to("other.v1.Other")
        await made.close()


async def test_names_come_from_dns_where_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[str, bool]] = []
    really = channels.open_channel

    def open_nowhere(target: str, *, dns: bool, **_: object) -> grpc.aio.Channel:
        opened.append((target, dns))
        return really("127.0.0.1:1")

    monkeypatch.setattr(channels, "open_channel", open_nowhere)
    made = channels.dns_channels(client_concerns(CountedIds("c"), CollectorRegistry()))
    with pytest.raises(FxError, match="PEER_UNAVAILABLE"):
        await TradingServiceStub(made.to("fxmesh.trading.v1.TradingService")).GetOrder(GetOrderRequest())
    await made.close()
    assert opened == [("dns:///trading-gateway:50051", True)]


async def test_a_frozen_connection_is_pinged() -> None:
    # What finds a black hole in 15 s; the fault itself is tested with a proxy elsewhere.
    options = dict(channels.OPTIONS)
    assert int(options["grpc.keepalive_time_ms"]) + int(options["grpc.http2.ping_timeout_ms"]) <= 15_000


@asynccontextmanager
async def _program(registry: MemoryRegistry, name: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """An instance in a process of its own, which stays registered when it is killed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.fakes.echo.program",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        await registry.register(Instance(name, SERVICE, "echo", f"127.0.0.1:{port}", "", 0))
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.integration
async def test_no_repeatable_call_fails_when_an_instance_is_killed(
    registry: MemoryRegistry, found: Channels
) -> None:
    stub = _stub(found)
    answered = 0
    ending = asyncio.Event()

    async def call() -> None:
        nonlocal answered
        while not ending.is_set():
            await stub.Unary(Request())
            answered += 1

    async with (
        _program(registry, "a") as victim,
        _program(registry, "b"),
        _program(registry, "c"),
    ):
        callers = [asyncio.ensure_future(call()) for _ in range(24)]
        await until(lambda: answered > 500)
        victim.kill()  # the registry goes on naming it
        killed_at = answered
        await until(lambda: answered > killed_at + 1000, seconds=60)
        ending.set()
        await asyncio.gather(*callers)
