"""What market data counts, read from its state when `/metrics` is asked for."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from services.market_data.handlers import Feed


class _FeedCollector(Collector):
    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    @override
    def collect(self) -> Iterable[Metric]:
        """Ticks by kind of session, active sessions, stream readers."""
        ticks = CounterMetricFamily("fxmesh_marketdata_ticks", "Ticks taken in.", labels=["kind"])
        counts: dict[str, int] = {"synthetic": 0, "replay": 0}
        for session in self._feed.sessions.all():
            counts[session.kind.value] += session.ticks
        for kind, count in counts.items():
            ticks.add_metric([kind], count)
        yield ticks
        yield GaugeMetricFamily(
            "fxmesh_marketdata_quiet_seconds",
            "Seconds since the last tick while a feed session runs, 0 while none does.",
            value=self._feed.quiet_s(),
        )
        active = len(self._feed.sessions.all(active_only=True))
        yield GaugeMetricFamily(
            "fxmesh_marketdata_active_sessions", "Feed sessions that run now.", value=active
        )
        readers = GaugeMetricFamily("fxmesh_marketdata_stream_readers", "Open streams.", labels=["stream"])
        readers.add_metric(["ticks"], len(self._feed.ticks))
        readers.add_metric(["quotes"], len(self._feed.quotes))
        readers.add_metric(["books"], len(self._feed.books))
        yield readers
        yield GaugeMetricFamily(
            "fxmesh_marketdata_stream_backlog",
            "Messages the slowest tick stream lags behind.",
            value=self._feed.ticks.backlog,
        )


def register_metrics(registry: CollectorRegistry, feed: Feed) -> None:
    """Show the feed on `/metrics`."""
    registry.register(_FeedCollector(feed))
