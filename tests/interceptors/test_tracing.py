"""Trace context is always handed on; spans are made for sampled calls of a traced process only."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from services.errors import FxError
from services.runtime import context
from services.runtime.spans import Spans
from tests.fakes.echo.service import Request
from tests.interceptors.conftest import Serve
from tests.interceptors.test_cancel import CALLS
from tests.kit.spans import recorded

TRACE = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = f"00-{TRACE}-b7ad6b7169203331-01"
UNSAMPLED = f"00-{TRACE}-b7ad6b7169203331-00"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Spans:
    return recorded(exporter)


def _of_kind(finished: Sequence[ReadableSpan], kind: SpanKind) -> ReadableSpan:
    (span,) = (each for each in finished if each.kind is kind)
    return span


async def test_a_sampled_call_has_a_span_on_each_side(
    serve: Serve, spans: Spans, exporter: InMemorySpanExporter
) -> None:
    context.traceparent.set(SAMPLED)
    async with serve(spans=spans) as echo:
        await echo.stub.Unary(Request())
        await echo.servicer.until_finished(1)
    finished = exporter.get_finished_spans()
    client, server = _of_kind(finished, SpanKind.CLIENT), _of_kind(finished, SpanKind.SERVER)
    assert client.parent is not None
    assert server.parent is not None
    assert client.context is not None
    assert f"{client.context.trace_id:032x}" == TRACE
    assert f"{client.parent.span_id:016x}" == "b7ad6b7169203331"
    assert server.parent.span_id == client.context.span_id
    assert server.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": "echo.v1.EchoService/Unary",
        "rpc.response.status_code": "OK",
        "fxmesh.correlation_id": "client-00000001",
    }


@pytest.mark.parametrize("shape", CALLS)
async def test_spans_end_when_calls_expire(
    serve: Serve, spans: Spans, exporter: InMemorySpanExporter, shape: str
) -> None:
    context.traceparent.set(SAMPLED)
    context.deadline.set(context.Deadline(time.monotonic() + 1.0))
    async with serve(spans=spans) as echo:
        with pytest.raises(FxError):
            await CALLS[shape](echo.stub)
        await echo.servicer.until_finished(1)
    for kind in (SpanKind.CLIENT, SpanKind.SERVER):
        span = _of_kind(exporter.get_finished_spans(), kind)
        assert span.attributes is not None
        assert span.attributes["rpc.response.status_code"] == "DEADLINE_EXCEEDED"
        assert span.status.status_code is StatusCode.ERROR


async def test_an_unsampled_call_has_none_and_hands_the_trace_on(
    serve: Serve, spans: Spans, exporter: InMemorySpanExporter
) -> None:
    context.traceparent.set(UNSAMPLED)
    async with serve(spans=spans) as echo:
        assert (await echo.stub.Unary(Request(text="traceparent"))).text == UNSAMPLED
    assert exporter.get_finished_spans() == ()


async def test_an_untraced_process_hands_the_trace_on_over_two_hops(serve: Serve) -> None:
    context.traceparent.set(SAMPLED)
    async with serve() as last, serve(onward=last.stub) as first:
        assert (await first.stub.Unary(Request(text="onward traceparent"))).text == SAMPLED


async def test_calls_outside_any_trace_begin_one_at_the_asked_ratio(
    serve: Serve, exporter: InMemorySpanExporter
) -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with serve(spans=Spans(provider.get_tracer("test"), root_ratio=1.0)) as echo:
        await echo.stub.Unary(Request())
        await echo.servicer.until_finished(1)
    finished = exporter.get_finished_spans()
    assert _of_kind(finished, SpanKind.CLIENT).parent is None
    assert _of_kind(finished, SpanKind.SERVER).parent is not None


@pytest.mark.parametrize(
    "malformed",
    ["", "junk", f"01-{TRACE}-b7ad6b7169203331-01", f"00-{'0' * 32}-b7ad6b7169203331-01", SAMPLED.upper()],
)
async def test_a_malformed_trace_context_is_dropped(serve: Serve, spans: Spans, malformed: str) -> None:
    context.traceparent.set(malformed)
    async with serve() as echo:
        assert (await echo.stub.Unary(Request(text="traceparent"))).text == "none"


@pytest.mark.parametrize(
    ("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("03", True), ("ff", True)]
)
def test_the_sampled_flag_is_the_lowest_bit(flags: str, sampled: bool) -> None:
    assert context.sampled(f"00-{TRACE}-b7ad6b7169203331-{flags}") is sampled
