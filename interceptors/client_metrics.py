"""The numbers of retry, breaker and cache, made into metrics when somebody scrapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from interceptors.breaker import Breakers
from interceptors.cache import Cache
from interceptors.retry import Retries


class ClientMetrics(Collector):
    """The families of one process, shown by `registry`."""

    def __init__(
        self, registry: CollectorRegistry, retries: Retries, breakers: Breakers, cache: Cache | None
    ) -> None:
        self._retries = retries
        self._breakers = breakers
        self._cache = cache
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """The present numbers; called from the thread that answers scrapes."""
        yield from _of_retries(self._retries)
        yield from _of_breakers(self._breakers)
        if self._cache is not None:
            yield from _of_cache(self._cache)


def _of_retries(retries: Retries) -> Iterator[Metric]:
    yield _by_method(
        "fxmesh_client_retries", "Attempts after the first, by how they ended.", "outcome", retries.made
    )
    yield _by_method(
        "fxmesh_client_retries_withheld",
        "Failed attempts of calls that might be repeated and were not, by why.",
        "reason",
        retries.withheld,
    )
    tokens = GaugeMetricFamily(
        "fxmesh_client_retry_tokens",
        "Tokens left in the retry budget of a target; 5 or less stop retries.",
        labels=["grpc_service"],
    )
    for target, bucket in retries.budgets.buckets.copy().items():
        tokens.add_metric([target], bucket.tokens)
    yield tokens


def _of_breakers(breakers: Breakers) -> Iterator[Metric]:
    state = GaugeMetricFamily(
        "fxmesh_client_breaker_state",
        "Circuit breaker of a target: 0 closed, 1 half open, 2 open.",
        labels=["grpc_service"],
    )
    changes = CounterMetricFamily(
        "fxmesh_client_breaker_transitions",
        "Changes of a circuit breaker's state.",
        labels=["grpc_service", "to"],
    )
    for target, breaker in breakers.by_target.copy().items():
        state.add_metric([target], breaker.state.value)
        for to, count in breaker.transitions.copy().items():
            changes.add_metric([target, to.name.lower()], count)
    yield from (state, changes)


def _of_cache(cache: Cache) -> Iterator[Metric]:
    lookups = CounterMetricFamily(
        "fxmesh_client_cache_lookups",
        "Calls of methods that may be cached, by result: hit, miss, or shared with an equal one under way.",
        labels=["grpc_service", "grpc_method", "result"],
    )
    dropped = CounterMetricFamily(
        "fxmesh_client_cache_dropped",
        "Kept answers dropped before their time, by reason: evicted for room, or invalidated.",
        labels=["grpc_service", "grpc_method", "reason"],
    )
    for path, usage in cache.usage.items():
        service, _, method = path[1:].partition("/")
        for result, count in (("hit", usage.hits), ("miss", usage.misses), ("shared", usage.shared)):
            lookups.add_metric([service, method, result], count)
        for reason, count in (("evicted", usage.evictions), ("invalidated", usage.invalidated)):
            dropped.add_metric([service, method, reason], count)
    yield from (lookups, dropped)
    yield GaugeMetricFamily("fxmesh_client_cache_entries", "Answers kept.", value=cache.kept)
    yield GaugeMetricFamily(
        "fxmesh_client_cache_bytes", "Memory the kept answers take, about.", value=cache.kept_bytes
    )
    yield GaugeMetricFamily(
        "fxmesh_client_cache_on",
        "1 while every event that drops answers is heard; at 0 nothing is kept or served.",
        value=int(cache.on),
    )


def _by_method(name: str, text: str, label: str, counts: Counter[tuple[str, str]]) -> Metric:
    family = CounterMetricFamily(name, text, labels=["grpc_service", "grpc_method", label])
    for (path, value), count in counts.copy().items():
        service, _, method = path[1:].partition("/")
        family.add_metric([service, method, value], count)
    return family
