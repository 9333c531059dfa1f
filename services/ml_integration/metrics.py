"""What inference counts and measures."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from services.ml_integration.handlers import Models, News, Outgoing

_SECONDS = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.2, 1.0)


class PrometheusMeter:
    """`ports.Meter`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._rows = Counter(
            "fxmesh_inference_predictions", "Rows predicted.", ["endpoint"], registry=registry
        )
        self._seconds = Histogram(
            "fxmesh_inference_model_seconds",
            "Time a model took for one call, contributions included.",
            ["endpoint"],
            buckets=_SECONDS,
            registry=registry,
        )

    def answered(self, endpoint: str, seconds: float, rows: int) -> None:
        """A model answered."""
        self._rows.labels(endpoint).inc(rows)
        self._seconds.labels(endpoint).observe(seconds)


class _State(Collector):
    def __init__(self, models: Models, news: News, outgoing: Outgoing) -> None:
        self._models = models
        self._news = news
        self._outgoing = outgoing

    @override
    def collect(self) -> Iterable[Metric]:
        """Models, their drift and skew, trainings heard of, events that wait."""
        served = self._models.all()
        yield GaugeMetricFamily("fxmesh_inference_models_loaded", "Models in memory.", value=len(served))
        yield CounterMetricFamily(
            "fxmesh_inference_load_failures",
            "Models that could not be had or were damaged.",
            value=self._models.failed_loads,
        )
        drift = GaugeMetricFamily(
            "fxmesh_inference_drift_index", "Worst population stability index.", labels=["endpoint"]
        )
        skew = GaugeMetricFamily(
            "fxmesh_inference_feature_skew",
            "Largest difference between features sent and recomputed.",
            labels=["endpoint"],
        )
        for each in served:
            drift.add_metric([each.endpoint.name], each.watch.drift.figures().worst)
            skew.add_metric([each.endpoint.name], each.watch.feature_skew)
        yield from (drift, skew)
        trainings = CounterMetricFamily(
            "fxmesh_inference_trainings_heard", "Training events by state.", labels=["state"]
        )
        for state in ("began", "completed", "failed"):
            trainings.add_metric([state], self._news.trainings[state])
        yield trainings
        yield GaugeMetricFamily(
            "fxmesh_inference_events_waiting", "Events not published yet.", value=len(self._outgoing)
        )


def register_metrics(registry: CollectorRegistry, models: Models, news: News, outgoing: Outgoing) -> None:
    """Show the state on `/metrics`."""
    registry.register(_State(models, news, outgoing))
