"""Bytes that are no message, and messages that are too large."""

from __future__ import annotations

import grpc
import pytest

from interceptors import errors
from services.errors import FxError, Kind
from services.runtime.policy import BATCH_REQUEST_BYTES, STANDARD_REQUEST_BYTES
from tests.fakes.echo.service import Request
from tests.interceptors.conftest import Echo, outside

NOT_PROTOBUF = b"\xff\xff\xff\xff"
BAD_UTF8 = b"\x0a\x02\xc3\x28"
# Groups (an old wire type any parser must skip) a hundred and fifty levels deep.
DEEP = b"\x2b" * 150 + b"\x2c" * 150
METHODS = {
    "Unary": "unary_unary",
    "Gather": "stream_unary",
    "Spread": "unary_stream",
    "Converse": "stream_stream",
}


async def _send(address: str, method: str, data: bytes) -> grpc.aio.AioRpcError:
    async with outside(address) as channel:
        multi = getattr(channel, METHODS[method])(f"/echo.v1.EchoService/{method}")
        call = multi(iter([data]) if METHODS[method].startswith("stream") else data, timeout=5)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await (call.read() if METHODS[method].endswith("stream") else call)
    failure: grpc.aio.AioRpcError = caught.value
    return failure


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("data", [NOT_PROTOBUF, BAD_UTF8], ids=["not protobuf", "bad utf-8"])
async def test_bytes_that_do_not_parse(network_echo: Echo, method: str, data: bytes) -> None:
    failure = await _send(network_echo.address, method, data)
    assert failure.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert errors.to_fx_error(failure, method).reason == "MALFORMED_REQUEST"


async def test_a_depth_bomb_is_malformed_and_the_server_lives_on(network_echo: Echo) -> None:
    failure = await _send(network_echo.address, "Unary", DEEP)
    assert errors.to_fx_error(failure, "Unary").reason == "MALFORMED_REQUEST"
    assert (await network_echo.stub.Unary(Request())).text


async def test_a_request_above_its_class_is_refused_by_the_server(network_echo: Echo) -> None:
    data = Request(text="x" * STANDARD_REQUEST_BYTES).SerializeToString()
    failure = await _send(network_echo.address, "Unary", data)
    assert failure.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert errors.to_fx_error(failure, "Unary").reason == "REQUEST_TOO_LARGE"


async def test_the_batch_class_takes_more(echo: Echo) -> None:
    assert (await echo.stub.Gather(iter([Request(text="x" * STANDARD_REQUEST_BYTES)]))).number == 1


async def test_beyond_every_class_the_connection_itself_refuses(network_echo: Echo) -> None:
    failure = await _send(network_echo.address, "Gather", b"\x0a" + bytes(BATCH_REQUEST_BYTES + 100_000))
    assert failure.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert errors.to_fx_error(failure, "Gather").reason == "REQUEST_TOO_LARGE"


async def test_a_caller_of_the_mesh_does_not_even_send_it(echo: Echo) -> None:
    with pytest.raises(FxError) as caught:
        await echo.stub.Unary(Request(text="x" * STANDARD_REQUEST_BYTES))
    assert (caught.value.kind, caught.value.reason) == (Kind.INVALID_ARGUMENT, "REQUEST_TOO_LARGE")
    with pytest.raises(FxError) as streamed:
        async for _ in echo.stub.Converse(iter([Request(text="x" * STANDARD_REQUEST_BYTES)])):
            pass
    assert streamed.value.reason == "REQUEST_TOO_LARGE"
    assert "done" not in echo.servicer.finished


async def test_metadata_above_eight_kilobytes_is_refused(network_echo: Echo) -> None:
    async with outside(network_echo.address) as channel:
        call = channel.unary_unary("/echo.v1.EchoService/Unary")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"", metadata=(("x-large", "v" * 9000),), timeout=5)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
