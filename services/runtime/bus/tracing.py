"""Spans of events, with OpenTelemetry's messaging conventions, for sampled work of a traced process only.

Publishing: one producer span an event; its context travels with the event. Handling: one consumer span a
batch, linked to the publisher's span of each sampled event in it. A batch whose sampled events are of one
trace goes on in that trace, below the first of them; one of several traces is a trace of its own.

Market data is not recorded: thousands of ticks a second would bury what followed from them. Their events
carry the trace they come from unsampled (`envelope.py`), so that a signal can still be linked to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from services.errors import FxError
from services.runtime import context
from services.runtime.bus.envelope import CE_TYPE, CORRELATION, TRACEPARENT, Envelope, look
from services.runtime.ports import Delivery

if TYPE_CHECKING:
    from services.runtime.spans import Spans

End = Callable[[BaseException | None], None]
"""Tells a span that its work is over, and what went wrong."""


def publishing(spans: Spans | None, envelopes: Sequence[Envelope]) -> tuple[list[Envelope], End]:
    """The envelopes to send, each with the context of its own span, and what ends those spans."""
    started: list[Any] = []
    if spans is None:
        return list(envelopes), lambda _: None
    ready = [_published(spans, each, started) for each in envelopes]
    return ready, lambda failure: _end(spans, started, failure)


def _published(spans: Spans, envelope: Envelope, started: list[Any]) -> Envelope:
    parent = envelope.headers.get(TRACEPARENT)
    if parent is None or not context.sampled(parent):
        return envelope
    from opentelemetry.trace import SpanKind

    facts = _facts("publish", "send", envelope.headers[CE_TYPE]) | {
        "messaging.destination.name": envelope.subject,
        "messaging.message.id": envelope.id,
        "fxmesh.correlation_id": envelope.headers[CORRELATION],
    }
    span = spans.start(SpanKind.PRODUCER, f"publish {envelope.headers[CE_TYPE]}", parent, facts)
    started.append(span)
    return replace(envelope, headers={**envelope.headers, TRACEPARENT: spans.traceparent(span)})


def handling(spans: Spans | None, consumer: str, deliveries: Sequence[Delivery]) -> End | None:
    """Begin the span of handling a batch and make it the work in hand; None where nothing is recorded."""
    if spans is None:
        return None
    links = [trace for each in deliveries if (trace := _sampled(each)) is not None]
    if not links:
        return None
    from opentelemetry.trace import SpanKind

    kinds = sorted({each.event.DESCRIPTOR.full_name for each in deliveries})
    name = kinds[0] if len(kinds) == 1 else "events"
    facts = _facts("process", "process", name) | {
        "messaging.consumer.group.name": consumer,
        "messaging.batch.message_count": len(deliveries),
    }
    if correlation := context.correlation_id.get():  # a batch of several stories has none
        facts["fxmesh.correlation_id"] = correlation
    if len(deliveries) == 1:
        facts["messaging.message.id"] = deliveries[0].id
    one_trace = len({each.split("-")[1] for each in links}) == 1
    parent = links[0] if one_trace else None
    span = spans.start(SpanKind.CONSUMER, f"process {name}", parent, facts, links)
    context.traceparent.set(spans.traceparent(span))
    return lambda failure: _end(spans, [span], failure)


def _sampled(delivery: Delivery) -> str | None:
    trace = look(delivery.headers, TRACEPARENT)
    return trace if trace is not None and context.sampled(trace) else None


def _facts(name: str, kind: str, event: str) -> dict[str, str | int | float | bool]:
    return {
        "messaging.system": "nats",
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
        "messaging.destination.template": event,
    }


def _end(spans: Spans, started: Sequence[Any], failure: BaseException | None) -> None:
    code = failure.reason if isinstance(failure, FxError) else type(failure).__name__
    for span in started:
        spans.end(span, "" if failure is None else code)
