"""What a process knows of all instances, read when `/metrics` is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.runtime.ports import Instance


class Known(Protocol):
    """What is shown."""

    leases_expired: int

    def instances(self) -> tuple[Instance, ...]:
        """All live instances of all services."""


class RegistryMetrics(Collector):
    """`fxmesh_registry_instances` by service and `fxmesh_registry_lease_expired_total`."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._services: set[str] = set()

    def collect(self) -> Iterator[Metric]:
        """The present numbers; called from the thread that answers scrapes."""
        living = Counter(each.name for each in self._known.instances())
        self._services |= living.keys()
        instances = GaugeMetricFamily(
            "fxmesh_registry_instances", "Live instances that this process knows.", labels=["service"]
        )
        for service in sorted(self._services):  # one without an instance is shown as 0, not left out
            instances.add_metric([service], living[service])
        yield instances
        yield CounterMetricFamily(
            "fxmesh_registry_lease_expired",
            "Instances that fell silent without having withdrawn.",
            value=self._known.leases_expired,
        )
