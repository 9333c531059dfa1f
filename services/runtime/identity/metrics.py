"""What a process tells of its identity checks on /metrics: plain numbers, made into metrics when scraped."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.runtime.identity.authenticator import CACHED, PASSED, Authenticator
from services.runtime.identity.jwks import KeySet


class IdentityMetrics(Collector):
    """Families about one authenticator. `age_s`: seconds since its snapshot was known to be current."""

    def __init__(
        self,
        registry: CollectorRegistry,
        authenticator: Authenticator,
        keys: KeySet,
        age_s: Callable[[], float | None],
    ) -> None:
        self._authenticator = authenticator
        self._keys = keys
        self._age_s = age_s
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """The present numbers."""
        checks = CounterMetricFamily(
            "fxmesh_identity_verifications",
            "Credentials of calls checked: CACHED, PASSED, or the reason of the refusal.",
            labels=["outcome"],
        )
        outcomes = {CACHED: 0, PASSED: 0} | dict(self._authenticator.outcomes.copy())
        for outcome, count in outcomes.items():
            checks.add_metric([outcome], count)
        known = self._authenticator.known
        yield checks
        yield GaugeMetricFamily("fxmesh_identity_keys", "API keys known.", value=len(known.keys))
        yield GaugeMetricFamily(
            "fxmesh_identity_revocations",
            "API keys, tokens and services refused because somebody revoked them.",
            value=known.revocations,
        )
        yield GaugeMetricFamily(
            "fxmesh_identity_revocations_lost",
            "Of these, tokens and services that NATS has lost and this process goes on refusing.",
            value=len(known.lost),
        )
        yield GaugeMetricFamily(
            "fxmesh_identity_signing_keys", "Public keys by which tokens are checked.", value=len(self._keys)
        )
        age = self._age_s()
        yield GaugeMetricFamily(
            "fxmesh_identity_snapshot_age_seconds",
            "Seconds since keys and revocations were known to be current; infinite before the first time.",
            value=float("inf") if age is None else age,
        )
