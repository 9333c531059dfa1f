"""What is particular to calls inside one process; the promises of all are in tests/interceptors."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from interceptors.plan import Place
from interceptors.standard import client_concerns, server_concerns
from services.errors import FxError
from services.runtime import context
from services.runtime.ids import CountedIds
from services.runtime.memory_channels import MemoryChannels
from services.runtime.memory_context import MemoryContext
from tests.fakes.echo import SERVICE, service_pb2_grpc
from tests.fakes.echo.service import EchoServicer, Request


def _channels(*, without: Place | None = None) -> MemoryChannels:
    server = dict(server_concerns(CountedIds("s"), CollectorRegistry()))
    client = dict(client_concerns(CountedIds("c"), CollectorRegistry()))
    if without is not None:
        del server[without], client[without]
    return MemoryChannels(server, client)


def _stub(channels: MemoryChannels) -> Any:
    return service_pb2_grpc.EchoServiceStub(channels.to(SERVICE))


async def test_a_service_may_be_served_after_its_channel_was_taken() -> None:
    channels = _channels()
    stub = _stub(channels)
    with pytest.raises(FxError, match="PEER_UNAVAILABLE"):
        await stub.Unary(Request())
    channels.serve(service_pb2_grpc.add_EchoServiceServicer_to_server, EchoServicer())
    assert (await stub.Unary(Request())).text
    channels.withdraw(SERVICE)
    with pytest.raises(FxError, match="PEER_UNAVAILABLE"):
        await stub.Unary(Request())


async def test_without_deadlines_no_wall_time_enters() -> None:
    channels, servicer = _channels(without=Place.DEADLINE), EchoServicer()
    channels.serve(service_pb2_grpc.add_EchoServiceServicer_to_server, servicer)
    await _stub(channels).Unary(Request())
    assert servicer.deadline_left_s is None
    assert (await _stub(channels).Gather(iter([Request()]))).number == 1


async def test_nothing_of_the_callers_context_leaks_but_the_metadata() -> None:
    channels = _channels()
    channels.serve(service_pb2_grpc.add_EchoServiceServicer_to_server, EchoServicer())
    context.correlation_id.set("outer")
    context.causation_id.set("event-1")
    context.traceparent.set("not a trace")
    assert (await _stub(channels).Unary(Request(text="traceparent"))).text == "none"
    assert (await _stub(channels).Unary(Request(text="causation"))).text == "none"


async def test_messages_are_copies() -> None:
    class Greedy(EchoServicer):
        async def Unary(self, request: Any, context_: Any) -> Any:  # noqa: N802
            request.text = "changed"
            return await super().Unary(Request(), context_)

    channels = _channels()
    channels.serve(service_pb2_grpc.add_EchoServiceServicer_to_server, Greedy())
    request = Request(text="mine")
    await _stub(channels).Unary(request)
    assert request.text == "mine"


async def test_a_writer_waits_for_its_reader() -> None:
    written = 0

    async def write(memory: MemoryContext) -> None:
        nonlocal written
        for _ in range(100):
            await memory.write(b"x")
            written += 1

    memory = MemoryContext(None, (), lambda data: data)
    writer = asyncio.ensure_future(write(memory))
    assert await memory.next_answer() == b"x"
    for _ in range(200):
        await asyncio.sleep(0)
    assert written < 50
    writer.cancel()
    await asyncio.wait((writer,))
