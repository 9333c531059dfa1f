"""Traces leave by OTLP where `FXMESH_OTLP_ENDPOINT` says so; otherwise nothing of OpenTelemetry is imported.

Spans are sent in batches by a thread of their own. A collector that does not answer costs nothing but the
spans: beyond a bounded queue they are dropped, and the log says so once, and once more when it is back.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter
from structlog.typing import FilteringBoundLogger

from services.runtime.settings import RuntimeSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    from services.runtime.spans import Spans

_EXPORT_S = 5.0  # for one batch, attempts included; it holds up nobody but the batches behind it
_EVERY_MS = 1000.0  # a person who looks for a trace has it within a second or two
FLUSH_S = 3.0
"""How long a process that goes down waits for its last spans to leave."""


class Telemetry:
    """The traces of one process. `spans` is None where they are not recorded."""

    def __init__(self, spans: Spans | None = None, provider: TracerProvider | None = None) -> None:
        self.spans = spans
        self._provider = provider

    async def close(self) -> None:
        """Send what is left, for at most FLUSH_S."""
        if self._provider is None:
            return
        loop, sent = asyncio.get_running_loop(), asyncio.Event()
        provider = self._provider

        def flush() -> None:
            provider.shutdown()
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(sent.set)

        # A daemon, not the loop's executor: the interpreter waits for that one however long it takes.
        threading.Thread(target=flush, name="traces-flush", daemon=True).start()
        with suppress(TimeoutError):  # the log has said that the collector does not answer
            async with asyncio.timeout(FLUSH_S):
                await sent.wait()


def begin(
    service: str,
    instance: str,
    settings: RuntimeSettings,
    metrics: CollectorRegistry,
    log: FilteringBoundLogger,
) -> Telemetry:
    """Set the traces of a process up. `service` is its folder name, `instance` its own id."""
    endpoint = settings.otlp_endpoint
    if endpoint is None:
        return Telemetry()
    # A process that is not traced must not pay for these imports.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON

    from services.runtime.spans import Spans

    # Its own lines come with every batch; ours come once (`_exporter`).
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    resource = Resource.create(
        {
            "service.name": service,
            "service.namespace": "fxmesh",
            "service.instance.id": instance,
            "service.version": version("fxmesh"),
        }
    )
    # What is sampled was decided before a span begins (`interceptors/tracing.py`).
    provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
    insecure = not endpoint.startswith("https://")
    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=insecure, timeout=_EXPORT_S)
    lost = Counter("fxmesh_trace_spans_lost", "Spans that no collector took.", registry=metrics)
    quiet = _exporter(exporter, endpoint, lost, log)
    provider.add_span_processor(BatchSpanProcessor(quiet, schedule_delay_millis=_EVERY_MS))
    log.info("traces.on", endpoint=endpoint, sample=settings.trace_sample)
    tracer = provider.get_tracer("fxmesh", version("fxmesh"))
    return Telemetry(Spans(tracer, settings.trace_sample), provider)


def _exporter(inner: SpanExporter, endpoint: str, lost: Counter, log: FilteringBoundLogger) -> SpanExporter:
    """`inner`, counting what it fails to send, and saying once that it fails and once that it works again."""
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Quiet(SpanExporter):
        failing = False

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            result = inner.export(spans)
            failed = result is not SpanExportResult.SUCCESS
            if failed:
                lost.inc(len(spans))
            if failed and not self.failing:
                log.warning("traces.not_sent", endpoint=endpoint, detail="the collector does not take them")
            elif self.failing and not failed:
                log.info("traces.sent_again", endpoint=endpoint)
            self.failing = failed
            return result

        def shutdown(self) -> None:
            inner.shutdown()

    return Quiet()
