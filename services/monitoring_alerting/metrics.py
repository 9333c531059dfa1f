"""What monitoring counts of its own."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

from services.monitoring_alerting.handlers import Alerts


def register_metrics(registry: CollectorRegistry, alerts: Alerts) -> Callable[[str], None]:
    """Show alerts and events on `/metrics`; returns what counts an event by type."""
    firing = Gauge("fxmesh_monitoring_alerts_firing", "Alerts that fire now.", registry=registry)
    firing.set_function(alerts.firing)
    seen = Counter("fxmesh_monitoring_events", "Events seen, by type.", ["type"], registry=registry)
    return lambda name: seen.labels(name.rpartition(".")[2]).inc()
