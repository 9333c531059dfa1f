"""Spans that a test reads: made by the real SDK, kept in memory, none left out."""

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.runtime.spans import Spans


def recorded(exporter: InMemorySpanExporter) -> Spans:
    """A maker of spans that end in `exporter`."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Spans(provider.get_tracer("test"))
