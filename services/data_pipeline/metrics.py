"""What the pipeline counts."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from services.data_pipeline.handlers import Ingest
from services.data_pipeline.ports import History


class _Counts(Collector):
    def __init__(self, ingest: Ingest, history: History) -> None:
        self._ingest = ingest
        self._history = history

    @override
    def collect(self) -> Iterable[Metric]:
        """Rows stored since the start, and the size of the database."""
        yield CounterMetricFamily("fxmesh_pipeline_ticks_stored", "Ticks stored.", value=self._ingest.ticks)
        yield CounterMetricFamily(
            "fxmesh_pipeline_events_stored", "Other events stored.", value=self._ingest.events
        )
        size = self._history.size_bytes()
        yield GaugeMetricFamily("fxmesh_pipeline_database_bytes", "Size of the database on disk.", value=size)


def register_metrics(registry: CollectorRegistry, ingest: Ingest, history: History) -> None:
    """Show the counts on `/metrics`."""
    registry.register(_Counts(ingest, history))
