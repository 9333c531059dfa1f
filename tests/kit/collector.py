"""A small OTLP collector: takes spans on a free port and keeps them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

from tests.kit.ports import free_port


@dataclass(frozen=True, slots=True)
class Span:
    """One span as it arrived, ids in hex; `parent` empty for the first of a trace."""

    trace: str
    id: str
    parent: str
    name: str
    kind: str
    service: str
    facts: dict[str, Any]
    links: tuple[tuple[str, str], ...]
    failed: bool
    resource: dict[str, Any] = field(repr=False)


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Runs from `start` to `stop`; started again it listens on the same port."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._port = free_port()
        self._server: grpc.Server | None = None
        self._lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        self._server = grpc.server(futures.ThreadPoolExecutor(4), options=(("grpc.so_reuseport", 0),))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(  # type: ignore[no-untyped-call]
            self, self._server
        )
        self._server.add_insecure_port(self.endpoint)
        self._server.start()

    def stop(self) -> None:
        assert self._server is not None
        self._server.stop(None).wait()

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 the contract's name
        with self._lock:
            self.spans += _spans(request)
        return trace_service_pb2.ExportTraceServiceResponse()

    def of(self, name: str, service: str = "", kind: str = "") -> list[Span]:
        """Spans of a name."""
        return [
            each
            for each in self.spans
            if each.name == name and service in ("", each.service) and kind in ("", each.kind)
        ]

    def ancestors(self, span: Span) -> list[Span]:
        """From the parent to the first of the trace, as far as they arrived."""
        known = {each.id: each for each in self.spans}
        found = []
        while (parent := known.get(span.parent)) is not None:
            found.append(parent)
            span = parent
        return found


def _spans(request: Any) -> Iterator[Span]:
    for group in request.resource_spans:
        resource = _facts(group.resource.attributes)
        for scope in group.scope_spans:
            for each in scope.spans:
                yield Span(
                    trace=each.trace_id.hex(),
                    id=each.span_id.hex(),
                    parent=each.parent_span_id.hex(),
                    name=each.name,
                    kind=trace_pb2.Span.SpanKind.Name(each.kind).removeprefix("SPAN_KIND_").lower(),
                    service=resource["service.name"],
                    facts=_facts(each.attributes),
                    links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in each.links),
                    failed=each.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
                    resource=resource,
                )


def _facts(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in attributes}
