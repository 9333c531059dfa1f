"""OpenTelemetry spans by trace context as text. Imported only by a process that is traced.

Parents are given, never taken from OpenTelemetry's own context: what travels with the work is
`services/runtime/context.py`, through calls, events and stored stories alike.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags, Tracer

from services.tracing import Fact


class Spans:
    """Starts and ends spans. `root_ratio` of the calls that come without a trace begin one, decided here and
    not by the provider's sampler, because asking that costs more than an unsampled call may.
    """

    def __init__(self, tracer: Tracer, root_ratio: float = 0.0) -> None:
        self._tracer = tracer
        self._root_ratio = root_ratio

    def begins_trace(self) -> bool:
        """Whether this call, which has no trace, shall begin one."""
        return self._root_ratio > 0 and random.random() < self._root_ratio

    def start(
        self,
        kind: SpanKind,
        name: str,
        parent: str | None,
        facts: Mapping[str, Fact],
        links: Iterable[str] = (),
    ) -> Span:
        """A span below `parent`, or the first of a trace where that is None. `links`: trace contexts."""
        # An empty context where there is no parent: whatever span happens to be current is not the cause.
        around = otel_context.Context()
        if parent is not None:
            around = trace.set_span_in_context(trace.NonRecordingSpan(_context(parent)), around)
        return self._tracer.start_span(name, around, kind, facts, [Link(_context(each)) for each in links])

    def end(self, span: Span, failure: str = "") -> None:
        """End `span`. `failure`: a code for what went wrong."""
        if failure:
            span.set_attribute("error.type", failure)
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    def traceparent(self, span: Span) -> str:
        """The W3C form of `span`'s context."""
        made = span.get_span_context()
        return f"00-{made.trace_id:032x}-{made.span_id:016x}-{made.trace_flags:02x}"


def _context(traceparent: str) -> SpanContext:
    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16))
    )
