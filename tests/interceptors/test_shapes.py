"""All four shapes of RPC, with handlers that yield and handlers that write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from services.errors import FxError
from tests.fakes.echo.service import REFUSAL, EchoServicer, Request
from tests.interceptors.conftest import Echo, Serve


async def _collect(stream: Any, into: list[int]) -> None:
    async for answer in stream:
        into.append(answer.number)  # noqa: PERF401 what came before a failure must be kept


async def test_each_shape_answers(echo: Echo) -> None:
    requests = [Request(text=""), Request(text="")]
    assert (await echo.stub.Unary(Request())).text
    assert (await echo.stub.Gather(iter(requests))).number == 2
    assert [each.number async for each in echo.stub.Spread(Request(count=3))] == [0, 1, 2]
    assert len([each async for each in echo.stub.Converse(iter(requests))]) == 2


async def test_a_conversation_alternates(echo: Echo) -> None:
    # Each request is sent only after the answer to the one before: nothing on the way may hold messages back.
    asked: asyncio.Queue[Any] = asyncio.Queue()

    async def requests() -> AsyncIterator[Any]:
        while (request := await asked.get()) is not None:
            yield request

    stream = echo.stub.Converse(requests())
    for _ in range(3):
        asked.put_nowait(Request())
        assert (await stream.read()).text
    asked.put_nowait(None)
    assert await stream.read() is grpc.aio.EOF
    assert await stream.read() is grpc.aio.EOF


async def test_a_refusal_reaches_the_caller_in_each_shape(echo: Echo) -> None:
    refuse = Request(text="refuse", count=2)
    with pytest.raises(FxError) as unary:
        await echo.stub.Unary(refuse)
    with pytest.raises(FxError) as gather:
        await echo.stub.Gather(iter([Request(), refuse]))
    seen: list[int] = []
    with pytest.raises(FxError) as spread:
        await _collect(echo.stub.Spread(refuse), seen)
    with pytest.raises(FxError) as converse:
        await _collect(echo.stub.Converse(iter([Request(), refuse])), [])
    assert {unary.value, gather.value, spread.value, converse.value} == {REFUSAL}
    assert seen == [0, 1]


async def test_what_the_request_iterator_raises_is_raised_to_its_owner(echo: Echo) -> None:
    def broken() -> Any:
        yield Request()
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await echo.stub.Gather(broken())
    with pytest.raises(KeyError, match="mine"):
        await _collect(echo.stub.Converse(broken()), [])
    assert await echo.servicer.until_finished(2) == ["CancelledError", "CancelledError"]


async def test_many_answers_wait_for_a_slow_reader(echo: Echo) -> None:
    stream = echo.stub.Spread(Request(count=1000))
    first = await stream.read()
    numbers = [first.number] + [each.number async for each in stream]
    assert numbers == list(range(1000))


async def test_a_generators_finally_has_run_when_its_call_ends(serve: Serve) -> None:
    class Wrong(EchoServicer):
        closed = False

        async def Spread(self, request: Any, _: Any) -> AsyncIterator[Any]:  # noqa: N802
            try:
                yield "no message"  # which cannot be sent: the generator is left suspended here
            finally:
                await asyncio.sleep(0)
                self.closed = True

    servicer = Wrong()
    async with serve(servicer=servicer) as echo:
        with pytest.raises(FxError, match="INTERNAL"):
            await echo.stub.Spread(Request(count=1)).read()
        assert servicer.closed
