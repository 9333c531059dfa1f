"""Spans of calls, with OpenTelemetry's current RPC conventions. Imported only by a process that is traced.

The instrumentation package's asyncio interceptors lose spans on cancel and break `context.write` streams, so
the plan's own tracing place makes the spans.
"""

from __future__ import annotations

from collections.abc import Iterable

import grpc
from opentelemetry.trace import Span, SpanKind

from services.runtime.policy import MethodPolicy
from services.runtime.spans import Spans

# Codes that say the server failed; the others are answers. A client's call failed with anything but OK.
_SERVER_FAULTS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)


class CallSpans:
    """Starts and ends the spans of calls."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans
        self.begins_trace = spans.begins_trace
        self.traceparent = spans.traceparent

    def server(
        self, method: MethodPolicy, correlation_id: str, parent: str | None, links: Iterable[str] = ()
    ) -> Span:
        """The span of serving a call."""
        return self._start(SpanKind.SERVER, method, correlation_id, parent, links)

    def client(self, method: MethodPolicy, correlation_id: str, parent: str | None) -> Span:
        """The span of making a call."""
        return self._start(SpanKind.CLIENT, method, correlation_id, parent)

    def served(self, span: Span, code: grpc.StatusCode) -> None:
        """End the span of serving with the status that was answered."""
        self._end(span, code, failed=code in _SERVER_FAULTS)

    def called(self, span: Span, code: grpc.StatusCode, attempts: int) -> None:
        """End the span of calling with the status that came after so many `attempts` (0: none was sent)."""
        span.set_attribute("fxmesh.attempts", attempts)
        self._end(span, code, failed=code is not grpc.StatusCode.OK)

    def _start(
        self,
        kind: SpanKind,
        method: MethodPolicy,
        correlation_id: str,
        parent: str | None,
        links: Iterable[str] = (),
    ) -> Span:
        name = method.path[1:]
        facts = {"rpc.system.name": "grpc", "rpc.method": name, "fxmesh.correlation_id": correlation_id}
        return self._spans.start(kind, name, parent, facts, links)

    def _end(self, span: Span, code: grpc.StatusCode, *, failed: bool) -> None:
        span.set_attribute("rpc.response.status_code", code.name)
        self._spans.end(span, code.name if failed else "")
