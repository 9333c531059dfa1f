"""Envoy and the gate in front of a service that tells what reached it; nobody serves the other six."""

import asyncio
import base64
import re
import struct
import threading
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from fxmesh.marketdata.v1 import service_pb2, service_pb2_grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from interceptors.errors import to_fx_error
from services.errors import FxError, Kind
from services.runtime.policy import service_policies
from tests.edge.conftest import QUOTES, Front
from tests.kit.edge import Answer, ask

pytestmark = pytest.mark.integration

STREAM = "/api/v1/market-data/quotes:stream?symbol=EURUSD"
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


async def test_a_rest_call_arrives_with_the_deadline_of_its_policy_and_an_id(front: Front) -> None:
    answer = await front.get(f"{QUOTES}?symbol=EURUSD")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    quote = answer.json["quotes"][0]
    assert (quote["symbol"], quote["sequence"], quote["bid"]) == ("EURUSD", str(2**60), "")
    assert 1.0 < front.service.remaining <= 2.0
    assert UUID7.fullmatch(str(front.service.correlation_id))
    assert answer.headers["x-correlation-id"] == front.service.correlation_id


async def test_a_fit_correlation_id_is_kept_and_another_replaced(front: Front) -> None:
    for given, kept in (("order-77", True), ("a b", False), ("x" * 129, False)):
        answer = await front.get(QUOTES, x_correlation_id=given, x_request_id="mine")
        assert (answer.headers["x-correlation-id"] == given) is kept
        assert kept or UUID7.fullmatch(answer.headers["x-correlation-id"])
        assert front.service.correlation_id == answer.headers["x-correlation-id"]


async def test_a_caller_may_ask_for_less_time_and_not_for_more(front: Front) -> None:
    stub: Any = service_pb2_grpc.MarketDataServiceStub(front.channel)
    await stub.ListQuotes(service_pb2.ListQuotesRequest(), timeout=1.2)
    assert front.service.remaining <= 1.2 + 0.01  # gRPC rounds up
    for slow in (
        stub.ListQuotes(service_pb2.ListQuotesRequest(symbol=["GBPUSD"]), timeout=0.3),
        stub.ListQuotes(service_pb2.ListQuotesRequest(symbol=["GBPUSD"]), timeout=30.0),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await asyncio.wait_for(slow, 10)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_an_error_is_the_same_by_rest_and_by_grpc(front: Front) -> None:
    rest = await front.get(f"{QUOTES}?symbol=AUDUSD", x_correlation_id="one")
    assert (rest.status, rest.json["code"], rest.json["message"]) == (400, 9, "no quote yet")
    assert rest.json["details"] == [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "NO_QUOTE",
            "domain": "fxmesh",
            "metadata": {"correlation_id": "one"},
        },
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retry_delay": "1.500s"},
    ]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await front.channel.unary_unary("/fxmesh.marketdata.v1.MarketDataService/ListQuotes")(
            service_pb2.ListQuotesRequest(symbol=["AUDUSD"]).SerializeToString(), timeout=20
        )
    error = to_fx_error(refused.value, "")
    assert error == FxError(Kind.FAILED_PRECONDITION, "NO_QUOTE", "no quote yet", retry_after_s=1.5)


async def test_a_page_of_another_site_reads_the_details_by_grpc_web_too(front: Front) -> None:
    answer = await front.edge.ask(
        "POST",
        "/fxmesh.marketdata.v1.MarketDataService/ListQuotes",
        b"\0\0\0\0\0",
        {"Origin": "http://evil.example", "Content-Type": "application/grpc-web+proto"},
    )
    details = base64.b64decode(answer.headers["grpc-status-details-bin"] + "==")
    status = status_pb2.Status.FromString(details)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (answer.headers["grpc-status"], status.code, info.reason) == ("7", 7, "PERMISSION_DENIED")
    assert front.service.calls == 0


async def test_without_the_gate_nothing_passes(front: Front) -> None:
    front.edge.door.close()
    refused = await front.get(QUOTES)
    assert (refused.status, refused.json["code"]) == (503, 14)
    assert front.service.calls == 0


@pytest.mark.alone  # all within the two seconds that a quote may take
async def test_a_burst_of_calls_is_answered_by_a_bounded_number_of_threads(front: Front) -> None:
    callers = [await asyncio.open_connection("127.0.0.1", front.edge.port) for _ in range(500)]
    for _, writer in callers:
        writer.write(f"GET {QUOTES} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    said = await asyncio.gather(*(read_until(reader, b"\r\n") for reader, _ in callers))
    for _, writer in callers:
        writer.close()
    assert set(said) == {b"HTTP/1.1 200 OK\r\n"}
    assert sum("process_request" in thread.name for thread in threading.enumerate()) <= 64


async def test_what_was_mistyped_never_reaches_the_service(front: Front) -> None:
    refused = await front.get(f"{QUOTES}?symbl=EURUSD", x_correlation_id="one")
    assert (refused.status, refused.json["code"], refused.reason) == (400, 3, "VALIDATION_FAILED")
    assert refused.correlation_id == "one"
    (violation,) = refused.json["details"][1]["field_violations"]
    assert violation["field"] == "symbl"
    assert front.service.calls == 0


HOSTILE: list[tuple[str, str, bytes | None, dict[str, str], int, int, str]] = [
    ("GET", "/nothing", None, {}, 404, 5, "UNKNOWN_PATH"),
    ("DELETE", QUOTES, None, {}, 404, 5, "UNKNOWN_PATH"),
    ("GET", QUOTES, None, {"Host": "evil.example"}, 404, 5, "UNKNOWN_PATH"),
    ("GET", QUOTES, None, {"Origin": "http://evil.example"}, 403, 7, "PERMISSION_DENIED"),
    ("GET", QUOTES, None, {"Origin": "null"}, 403, 7, "PERMISSION_DENIED"),
    ("GET", QUOTES, None, {"Connection": "Upgrade", "Upgrade": "websocket"}, 400, 3, "MALFORMED_REQUEST"),
    ("GET", QUOTES, None, {"foo-bin": "!!!"}, 400, 3, "MALFORMED_REQUEST"),
    ("GET", QUOTES, None, {"foo-bin": "AB=="}, 400, 3, "MALFORMED_REQUEST"),
    ("POST", "/api/v1/predict", b"{" * 50_000, {}, 400, 3, "MALFORMED_REQUEST"),
    ("POST", "/api/v1/predict", b" " * 300_000, {}, 413, 3, "REQUEST_TOO_LARGE"),
    ("POST", "/api/v1/batch-predict", b" " * 5_000_000, {}, 413, 3, "REQUEST_TOO_LARGE"),
    ("GET", QUOTES, None, {"x-long": "a" * 9000}, 431, 3, "REQUEST_TOO_LARGE"),
    ("GET", f"{QUOTES}/%00", None, {}, 400, 3, "MALFORMED_REQUEST"),
    ("ODD", QUOTES, None, {}, 400, 3, "MALFORMED_REQUEST"),
    ("POST", "/fxmesh.marketdata.v1.MarketDataService/ListQuotes", b"{}", {}, 404, 5, "UNKNOWN_PATH"),
]


async def test_hostile_requests_get_clear_answers_in_one_form(front: Front) -> None:
    for verb, target, content, headers, status, code, reason in HOSTILE:
        answer = await front.edge.ask(verb, target, content, headers)
        assert (answer.status, answer.json["code"], answer.reason) == (status, code, reason), target
        assert answer.headers["content-type"] == "application/json"
        assert set(answer.json) == {"code", "message", "details"}
    assert front.service.calls == 0


async def test_what_the_edge_lets_in_may_carry_an_origin_of_its_own_and_binary_headers(front: Front) -> None:
    own = f"http://127.0.0.1:{front.edge.port}"
    for headers in ({"origin": own}, {"foo_bin": "AAE="}, {"foo_bin": "AA"}, {"foo_bin": ""}):
        assert (await front.get(f"{QUOTES}?symbol=EURUSD", **headers)).status == 200, headers
    other = f"http://localhost:{front.edge.port + 1}"
    assert (await front.get(QUOTES, origin=other)).status == 403


async def test_an_older_http_is_refused_as_what_it_is(front: Front) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", front.edge.port)
    writer.write(f"GET {QUOTES} HTTP/1.0\r\n\r\n".encode())
    said = (await read_until(reader, b"}\n")).decode()
    writer.close()
    assert said.startswith("HTTP/1.1 400 ")
    assert '"code":3' in said
    assert "the edge speaks HTTP/1.1 and HTTP/2, not older" in said


async def read_until(reader: asyncio.StreamReader, wanted: bytes) -> bytes:
    async with asyncio.timeout(10):
        return await reader.readuntil(wanted)


async def opened(front: Front, target: str, accept: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", front.edge.port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n".encode())
    return reader, writer


@pytest.mark.parametrize(
    ("accept", "kind", "first"),
    [
        ("text/event-stream", b"text/event-stream", b'data: {"stream_sequence":"1"}\n\n'),
        ("*/*", b"application/json", b'{"stream_sequence":"1"}\n'),
    ],
)
async def test_a_stream_comes_as_events_or_lines_and_ends_with_its_reader(
    front: Front, accept: str, kind: bytes, first: bytes
) -> None:
    reader, writer = await opened(front, STREAM, accept)
    assert b"content-type: " + kind in await read_until(reader, b"\r\n\r\n")
    assert first in await read_until(reader, first)
    assert 86_000 < front.service.remaining <= 86_400
    writer.close()
    async with asyncio.timeout(10):
        await front.service.cancelled.wait()


async def test_a_stream_that_fails_half_way_says_so_behind_its_last_message(front: Front) -> None:
    reader, writer = await opened(front, STREAM.replace("EURUSD", "USDJPY"), "text/event-stream")
    whole = await read_until(reader, b"\r\n0\r\n")
    assert whole.count(b"data: ") == 3
    assert b"grpc-status: 11" in await read_until(reader, b"\r\n\r\n")
    writer.close()


async def test_reflection_lists_all_seven_services(front: Front) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(front.channel)
    asking = stub.ServerReflectionInfo(
        iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=5
    )
    listed = {each.name for each in (await asking.read()).list_services_response.service}
    assert {service.full_name for service in service_policies()} < listed


async def test_health_is_that_of_the_service_asked_for(front: Front) -> None:
    stub: Any = health_pb2_grpc.HealthStub(front.channel)
    states = health_pb2.HealthCheckResponse

    async def status(service: str) -> int:
        return int((await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)).status)

    assert await status("") == states.SERVING
    assert await status("fxmesh.trading.v1.TradingService") == states.NOT_SERVING
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await status("fxmesh.nothing")
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


async def test_an_unknown_method_is_unimplemented_at_once(front: Front) -> None:
    # As a client of another version of reflection asks, who keeps its stream open for the answer.
    async def held_open() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    method = "/grpc.reflection.v2.ServerReflection/ServerReflectionInfo"
    asking = front.channel.stream_stream(method)(held_open())
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await asyncio.wait_for(asking.read(), 5)
    assert unknown.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert to_fx_error(unknown.value, "").detail


async def test_the_gate_counts_what_it_lets_pass_and_what_it_refuses(front: Front) -> None:
    await front.get(f"{QUOTES}?symbol=EURUSD")
    await front.get(f"{QUOTES}?symbl=EURUSD")
    answer = await asyncio.to_thread(ask, front.edge.door.port, "GET", "/metrics")
    said = answer.content.decode()
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'fxmesh_edge_checks_total{outcome="PASSED"} 1.0' in said
    assert 'fxmesh_edge_checks_total{outcome="VALIDATION_FAILED"} 1.0' in said


LIST = "/fxmesh.marketdata.v1.MarketDataService/ListQuotes"


async def by_grpc_web(front: Front, method: str, kind: str = "+proto", **headers: str) -> Answer:
    request = service_pb2.ListQuotesRequest(symbol=["EURUSD"]).SerializeToString()
    content = b"\x00" + struct.pack(">I", len(request)) + request
    content = base64.b64encode(content) if kind == "-text" else content
    return await front.edge.ask(
        "POST", method, content, {"content-type": f"application/grpc-web{kind}", **headers}
    )


async def test_grpc_web_is_understood(front: Front) -> None:
    answer = await by_grpc_web(front, LIST)
    flag, size = struct.unpack(">BI", answer.content[:5])
    message = service_pb2.ListQuotesResponse.FromString(answer.content[5 : 5 + size])
    assert (flag, message.quotes[0].symbol) == (0, "EURUSD")
    trailers = answer.content[5 + size :]
    assert trailers[0] == 0x80
    assert b"grpc-status:0" in trailers
    assert 1.0 < front.service.remaining <= 2.0


@pytest.mark.parametrize("kind", ["+proto", "-text"])
async def test_grpc_web_obeys_the_rule_about_other_sites_and_knows_its_methods(
    front: Front, kind: str
) -> None:
    foreign = await by_grpc_web(front, LIST, kind, origin="http://evil.example")
    assert (foreign.status, foreign.headers["grpc-status"]) == (403, "7")
    unknown = await by_grpc_web(front, f"{LIST}s", kind)
    assert (unknown.headers["grpc-status"], unknown.headers["grpc-message"]) == (
        "12",
        "no service has this method",
    )
    assert front.service.calls == 0


async def test_grpc_obeys_the_same_rule(front: Front) -> None:
    stub: Any = service_pb2_grpc.MarketDataServiceStub(front.channel)
    with pytest.raises(grpc.aio.AioRpcError) as foreign:
        await stub.ListQuotes(
            service_pb2.ListQuotesRequest(), metadata=(("origin", "http://evil.example"),), timeout=20
        )
    assert to_fx_error(foreign.value, "").reason == "PERMISSION_DENIED"
    assert front.service.calls == 0
