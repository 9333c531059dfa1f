"""Spans of events: one an event published, one a batch handled, linked; market data only names its trace."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from google.protobuf.message import Message
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from services.errors import FxError, Kind
from services.runtime import context
from services.runtime.bus.envelope import Envelope, Envelopes, unwrap
from services.runtime.bus.handling import Handling
from services.runtime.bus.tracing import publishing
from services.runtime.clock import WallClock
from services.runtime.ports import Delivery
from services.runtime.spans import Spans
from tests.kit.events import order, service, signal, ticks
from tests.kit.spans import recorded

ONE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TWO = "00-1bf7651916cd43dd8448eb211c80319c-c8ad6b7169203331-01"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Spans:
    return recorded(exporter)


def wrapped(event: Message, trace: str | None) -> Envelope:
    context.traceparent.set(trace)
    return Envelopes(service(), WallClock()).wrap(event)


def delivered(event: Message, trace: str | None) -> Delivery:
    envelope = wrapped(event, trace)
    return unwrap(type(event), envelope.subject, envelope.headers, envelope.payload, 1, redelivered=False)


def traceparent(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01"


def links(span: ReadableSpan) -> list[str]:
    return [f"{each.context.span_id:016x}" for each in span.links]


class Consumer:
    """Handles batches once, and remembers in which trace."""

    def __init__(self, spans: Spans, failure: Exception | None = None) -> None:
        self.traces: list[str | None] = []
        self._failure = failure
        self.handling = Handling(self._handle, consumer="beta", spans=spans)

    async def _handle(self, deliveries: Sequence[Delivery]) -> None:
        self.traces.append(context.traceparent.get())
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure


async def test_an_event_carries_the_context_of_its_own_span(
    spans: Spans, exporter: InMemorySpanExporter
) -> None:
    envelopes = [wrapped(order(1), ONE), wrapped(order(2), None)]
    (traced, plain), ended = publishing(spans, envelopes)
    assert exporter.get_finished_spans() == ()
    ended(None)
    (span,) = exporter.get_finished_spans()
    assert (span.kind, span.name) == (SpanKind.PRODUCER, "publish fxmesh.trading.v1.OrderPlaced")
    assert traced.headers["traceparent"] == traceparent(span)
    assert "traceparent" not in plain.headers
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == ONE.split("-")[2]
    assert span.attributes is not None
    assert span.attributes["messaging.message.id"] == "fxmesh.trading.v1.OrderPlaced/demo-1/1"
    assert span.attributes["fxmesh.correlation_id"]


async def test_a_refused_event_fails_its_span(spans: Spans, exporter: InMemorySpanExporter) -> None:
    _, ended = publishing(spans, [wrapped(order(1), ONE)])
    ended(FxError(Kind.RESOURCE_EXHAUSTED, "STREAM_FULL", "full"))
    (span,) = exporter.get_finished_spans()
    assert span.attributes is not None
    assert (span.status.status_code, span.attributes["error.type"]) == (StatusCode.ERROR, "STREAM_FULL")


async def test_market_data_names_its_trace_and_is_not_recorded(
    spans: Spans, exporter: InMemorySpanExporter
) -> None:
    (sent,), ended = publishing(spans, [wrapped(ticks(1), ONE)])
    ended(None)
    assert sent.headers["traceparent"] == f"{ONE[:-2]}00"
    consumer = Consumer(spans)
    await consumer.handling.attempt([delivered(ticks(1), ONE)])
    assert consumer.traces == [f"{ONE[:-2]}00"]
    assert exporter.get_finished_spans() == ()


async def test_events_of_one_trace_are_handled_in_it_and_linked(
    spans: Spans, exporter: InMemorySpanExporter
) -> None:
    consumer = Consumer(spans)
    later = f"{ONE[:36]}c9ad6b7169203331-01"
    await consumer.handling.attempt(
        [delivered(order(1), None), delivered(order(2), ONE), delivered(order(3), later)]
    )
    (span,) = exporter.get_finished_spans()
    assert (span.kind, span.name) == (SpanKind.CONSUMER, "process fxmesh.trading.v1.OrderPlaced")
    assert consumer.traces == [traceparent(span)]
    assert traceparent(span).split("-")[1] == ONE.split("-")[1]
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == ONE.split("-")[2]
    assert links(span) == [ONE.split("-")[2], later.split("-")[2]]


async def test_events_of_several_traces_are_handled_in_a_trace_of_its_own_linked_to_each(
    spans: Spans, exporter: InMemorySpanExporter
) -> None:
    consumer = Consumer(spans)
    await consumer.handling.attempt([delivered(order(1), ONE), delivered(signal(1), TWO)])
    (span,) = exporter.get_finished_spans()
    assert span.attributes is not None
    assert "fxmesh.correlation_id" not in span.attributes
    assert span.name == "process events"
    assert span.parent is None
    assert links(span) == [ONE.split("-")[2], TWO.split("-")[2]]


async def test_a_batch_of_one_story_names_it(spans: Spans, exporter: InMemorySpanExporter) -> None:
    context.correlation_id.set("mine")
    story = [delivered(order(1), ONE), delivered(order(2), ONE)]
    context.correlation_id.set(None)
    await Consumer(spans).handling.attempt(story)
    (span,) = exporter.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["fxmesh.correlation_id"] == "mine"


async def test_each_attempt_is_a_span_and_the_failed_one_says_so(
    spans: Spans, exporter: InMemorySpanExporter
) -> None:
    consumer = Consumer(spans, failure=ValueError("once"))
    for _ in range(2):
        await consumer.handling.attempt([delivered(order(1), ONE)])
    first, second = exporter.get_finished_spans()
    assert first.attributes is not None
    assert first.attributes["error.type"] == "ValueError"
    assert second.status.status_code is not StatusCode.ERROR
