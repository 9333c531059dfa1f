"""What `/metrics` shows of the bus: events out, in and given up, keys held and parked, how full streams are.

Plain numbers that only the event loop changes, made into metrics when somebody scrapes: the library's own
counters take a lock for every event.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.runtime.bus.held import Figures

_BY_EVENT = {
    "published": "Events stored on the bus.",
    "consumed": "Events handled and acknowledged.",
    "dead_letters": "Events given up and stored as dead letters.",
}


class BusMetrics(Collector):
    """Register one a process."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Without a registry everything is counted all the same, and shown nowhere (tests, tools)."""
        self._events: dict[str, Counter[str]] = {name: Counter() for name in _BY_EVENT}
        self._published = self._events["published"]
        self._consumed = self._events["consumed"]
        self._redelivered = 0
        self._forbidden: Counter[str] = Counter()
        self.figures = Figures()
        self.parked: Callable[[], tuple[int, float]] = lambda: (0, 0.0)
        """Events parked, and the largest share of its bound that a key has parked."""
        self.fill: dict[str, float] = {}
        """How full the streams are that refuse when they are: share of their bytes, by name."""
        if registry is not None:
            registry.register(self)

    def expect(self, events: Iterable[str]) -> None:
        """These will be consumed. Shown as zero from now on: a rate over the first letter is right then."""
        for event in events:
            self._consumed[event] += 0
            self._events["dead_letters"][event] += 0

    def published(self, event: str) -> None:
        """One event is stored."""
        self._published[event] += 1

    def consumed(self, event: str, count: int = 1) -> None:
        """Events are handled."""
        self._consumed[event] += count

    def dead(self, event: str) -> None:
        """One event is given up."""
        self._events["dead_letters"][event] += 1

    def forbidden(self, operation: str) -> None:
        """The server refused something."""
        self._forbidden[operation] += 1

    def redelivered(self) -> None:
        """One event came again."""
        self._redelivered += 1

    def collect(self) -> Iterator[Metric]:
        """The present numbers; called from the thread that answers scrapes."""
        for name, help_ in _BY_EVENT.items():
            family = CounterMetricFamily(f"fxmesh_bus_{name}", help_, labels=("event",))
            for event, count in list(self._events[name].items()):
                family.add_metric((event.rpartition(".")[2],), count)
            yield family
        yield CounterMetricFamily(
            "fxmesh_bus_redelivered", "Events that came more than once.", value=self._redelivered
        )
        yield CounterMetricFamily(
            "fxmesh_bus_redriven",
            "Events handled after they were dead letters or parked.",
            value=self.figures.redriven,
        )
        forbidden = CounterMetricFamily(
            "fxmesh_bus_forbidden",
            "What NATS refused this process: publish or subscription.",
            labels=("operation",),
        )
        for operation, count in list(self._forbidden.items()):
            forbidden.add_metric((operation,), count)
        yield forbidden
        parked, fullest = self.parked()
        for name, help_, value in (
            ("held_keys", "Keys whose events wait in memory behind one that fails.", self.figures.held_keys),
            ("parked_keys", "Keys whose events wait behind a dead letter.", self.figures.parked_keys),
            ("parked_events", "Events stored behind a dead letter of their key.", parked),
            ("parked_fill_ratio", "Share of what one key may park, of the key with the most.", fullest),
        ):
            yield GaugeMetricFamily(f"fxmesh_bus_{name}", help_, value=value)
        fill = GaugeMetricFamily(
            "fxmesh_bus_stream_fill_ratio",
            "Share of its bytes that a stream holds, of those that refuse when full.",
            labels=("stream",),
        )
        for stream, share in list(self.fill.items()):
            fill.add_metric((stream,), share)
        yield fill
