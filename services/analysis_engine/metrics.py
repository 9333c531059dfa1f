"""What analysis counts, read from its state when `/metrics` is asked for."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.analysis_engine.handlers import Feeds, Record, Ticks


class _AnalysisCollector(Collector):
    def __init__(self, ticks: Ticks, feeds: Feeds, record: Record) -> None:
        self._ticks = ticks
        self._feeds = feeds
        self._record = record

    def collect(self) -> Iterable[Metric]:
        """Ticks by fate, bars, signals, feeds."""
        ticks = CounterMetricFamily("fxmesh_analysis_ticks", "Ticks by what became of them.", labels=["fate"])
        late = sum(desk.feed.late_ticks for desk in self._feeds.awake())
        for fate, count in (
            ("taken", self._ticks.ticks),
            ("duplicate", self._ticks.duplicates),
            ("missing", self._ticks.missing),
            ("late", late),
        ):
            ticks.add_metric([fate], count)
        yield ticks
        bars = CounterMetricFamily("fxmesh_analysis_bars", "Bars published.", labels=["timeframe"])
        for timeframe, count in sorted(self._record.bars_by_timeframe.items()):
            bars.add_metric([timeframe], count)
        yield bars
        signals = CounterMetricFamily(
            "fxmesh_analysis_signals", "Signals published.", labels=["strategy", "prediction"]
        )
        for labels, count in sorted(self._record.signals_by_kind.items()):
            signals.add_metric(labels, count)
        yield signals
        yield GaugeMetricFamily("fxmesh_analysis_feeds", "Feeds held.", value=len(self._feeds))


def register_metrics(registry: CollectorRegistry, ticks: Ticks, feeds: Feeds, record: Record) -> None:
    """Show analysis on `/metrics`."""
    registry.register(_AnalysisCollector(ticks, feeds, record))
