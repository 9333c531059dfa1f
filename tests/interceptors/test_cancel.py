"""A caller that gives up: the handler learns of it, in every shape and however the caller does it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import grpc
import pytest

from tests.fakes.echo.service import Request
from tests.interceptors.conftest import Echo


async def _consume(stream: Any) -> None:
    async for _ in stream:
        pass


HANG = Request(text="hang", count=1)
CALLS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "unary": lambda stub: stub.Unary(HANG),
    "client_stream": lambda stub: stub.Gather(iter([HANG])),
    "server_stream": lambda stub: _consume(stub.Spread(HANG)),
    "bidi_stream": lambda stub: _consume(stub.Converse(iter([HANG]))),
}


@pytest.mark.parametrize("shape", CALLS)
async def test_cancelling_the_caller_cancels_the_handler(echo: Echo, shape: str) -> None:
    caller = asyncio.ensure_future(CALLS[shape](echo.stub))
    await echo.servicer.until_running(1)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert await echo.servicer.until_finished(1) == ["CancelledError"]


async def test_closing_a_stream_half_read_ends_its_handler(echo: Echo) -> None:
    async with aclosing(echo.stub.Spread(HANG)) as stream:
        assert (await stream.read()).number == 0
    assert await echo.servicer.until_finished(1) == ["CancelledError"]


async def test_a_reader_of_a_cancelled_stream_sees_its_end(echo: Echo) -> None:
    stream = echo.stub.Spread(HANG)
    await stream.read()
    reader = asyncio.ensure_future(stream.read())
    await asyncio.sleep(0)
    assert stream.cancel()
    assert not stream.cancel()
    assert await reader is grpc.aio.EOF
    # While the stream is still held: nothing but `cancel()` can have told the server.
    assert await echo.servicer.until_finished(1) == ["CancelledError"]
    assert stream is not None


async def test_a_forgotten_stream_is_cancelled(echo: Echo) -> None:
    stream = echo.stub.Spread(HANG)
    await stream.read()
    del stream
    assert await echo.servicer.until_finished(1) == ["CancelledError"]


async def test_a_handler_cancelled_while_its_answer_is_written_sees_that_at_its_yield(echo: Echo) -> None:
    long_id = (("x-correlation-id", "x" * 128),)  # every answer repeats it: more than a window holds
    stream = echo.stub.Spread(Request(count=1000), metadata=long_id)
    assert (await stream.read()).number == 0
    assert stream.cancel()
    assert await echo.servicer.until_finished(1) == ["CancelledError"]


async def test_a_stream_given_up_half_way_never_looks_complete(network_echo: Echo) -> None:
    # Were its end not doubted, one in six such handlers would see a complete stream and act on a part.
    async def endless(sent: asyncio.Event) -> AsyncIterator[Any]:
        yield Request()
        sent.set()
        await asyncio.Event().wait()

    async def give_up(turns: int) -> None:
        sent = asyncio.Event()
        caller = asyncio.ensure_future(network_echo.stub.Gather(endless(sent)))
        await sent.wait()
        for _ in range(turns):
            await asyncio.sleep(0)
        caller.cancel()
        await asyncio.wait((caller,))

    for burst in range(10):
        await asyncio.gather(*(give_up(turns) for turns in range(20)))
        await network_echo.servicer.until_finished(burst)
    assert "done" not in network_echo.servicer.finished
    assert network_echo.servicer.finished
