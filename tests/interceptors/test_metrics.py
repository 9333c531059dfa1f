"""Every call is counted once at its start and once at its end, however it ends, on both sides."""

from __future__ import annotations

import asyncio
import time

import pytest
from prometheus_client import CollectorRegistry

from services.errors import FxError
from services.runtime import context
from tests.fakes.echo.service import Request
from tests.interceptors.conftest import Echo
from tests.interceptors.test_cancel import CALLS

METHODS = {"unary": "Unary", "client_stream": "Gather", "server_stream": "Spread", "bidi_stream": "Converse"}


def _value(registry: CollectorRegistry, name: str, shape: str, code: str | None = None) -> float | None:
    labels = {"grpc_type": shape, "grpc_service": "echo.v1.EchoService", "grpc_method": METHODS[shape]}
    return registry.get_sample_value(name, labels if code is None else {**labels, "grpc_code": code})


def _ended(registry: CollectorRegistry, side: str, shape: str, code: str) -> tuple[float | None, ...]:
    return (
        _value(registry, f"grpc_{side}_started_total", shape),
        _value(registry, f"grpc_{side}_handled_total", shape, code),
        _value(registry, f"grpc_{side}_handling_seconds_count", shape),
    )


async def _server_counted(echo: Echo, shape: str, code: str) -> None:
    # The server may count a little after the caller has its answer.
    async with asyncio.timeout(5):
        while _ended(echo.server_metrics, "server", shape, code) != (1, 1, 1):  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_series_exist_before_the_first_call(echo: Echo) -> None:
    assert _ended(echo.server_metrics, "server", "unary", "OK") == (0, 0, 0)
    assert _ended(echo.client_metrics, "client", "unary", "OK") == (0, 0, 0)


async def test_good_calls(echo: Echo) -> None:
    await echo.stub.Unary(Request())
    await echo.stub.Gather(iter([Request()]))
    async for _ in echo.stub.Spread(Request(count=1)):
        pass
    async for _ in echo.stub.Converse(iter([Request()])):
        pass
    for shape in METHODS:
        await _server_counted(echo, shape, "OK")
        assert _ended(echo.client_metrics, "client", shape, "OK") == (1, 1, 1)


@pytest.mark.parametrize("shape", CALLS)
async def test_cancelled_calls(echo: Echo, shape: str) -> None:
    caller = asyncio.ensure_future(CALLS[shape](echo.stub))
    await echo.servicer.until_running(1)
    caller.cancel()
    await asyncio.wait((caller,))
    await _server_counted(echo, shape, "CANCELLED")
    assert _ended(echo.client_metrics, "client", shape, "CANCELLED") == (1, 1, 1)


@pytest.mark.parametrize("shape", CALLS)
async def test_expired_calls(echo: Echo, shape: str) -> None:
    context.deadline.set(context.Deadline(time.monotonic() + 1.0))
    with pytest.raises(FxError):
        await CALLS[shape](echo.stub)
    await _server_counted(echo, shape, "DEADLINE_EXCEEDED")
    assert _ended(echo.client_metrics, "client", shape, "DEADLINE_EXCEEDED") == (1, 1, 1)


@pytest.mark.parametrize(
    ("text", "code"), [("refuse", "NOT_FOUND"), ("crash", "INTERNAL"), ("stray cancel", "INTERNAL")]
)
async def test_failed_calls(echo: Echo, text: str, code: str) -> None:
    with pytest.raises(FxError):
        await echo.stub.Unary(Request(text=text))
    await _server_counted(echo, "unary", code)
    assert _ended(echo.client_metrics, "client", "unary", code) == (1, 1, 1)


async def test_a_refused_request_is_counted_too(echo: Echo) -> None:
    with pytest.raises(FxError):
        await echo.stub.Unary(Request(count=-1))
    await _server_counted(echo, "unary", "INVALID_ARGUMENT")


async def test_a_stream_closed_half_read_is_cancelled_once(echo: Echo) -> None:
    stream = echo.stub.Spread(Request(text="hang", count=1))
    await stream.read()
    stream.cancel()
    stream.cancel()
    del stream
    await _server_counted(echo, "server_stream", "CANCELLED")
    assert _ended(echo.client_metrics, "client", "server_stream", "CANCELLED") == (1, 1, 1)
