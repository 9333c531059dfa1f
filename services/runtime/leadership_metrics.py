"""What a process knows of the leadership it stands for, read when `/metrics` is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class Reign(Protocol):
    """What is shown."""

    changes: int

    @property
    def held(self) -> bool:
        """True while this process may act as the leader."""


class LeadershipMetrics(Collector):
    """`fxmesh_leadership_held` and `fxmesh_leadership_changes_total` of one role."""

    def __init__(self, registry: CollectorRegistry, role: str, reign: Reign) -> None:
        self._role = role
        self._reign = reign
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """The present numbers; called from the thread that answers scrapes."""
        held = GaugeMetricFamily(
            "fxmesh_leadership_held", "1 while this process leads its service, else 0.", labels=["role"]
        )
        held.add_metric([self._role], float(self._reign.held))
        changes = CounterMetricFamily(
            "fxmesh_leadership_changes", "Changes of the leader that this process saw.", labels=["role"]
        )
        changes.add_metric([self._role], self._reign.changes)
        yield from (held, changes)
