"""Rate limits: a token bucket a principal, from which each call takes the cost of its method.

A bucket is one number, the time at which it will be full again (the virtual scheduling form of ITU-T I.371's
generic cell rate algorithm): a call moves it on by cost / rate, and is refused where that would be further
ahead than the burst allows. So the time to wait is exact. Callers without credentials are told apart by host.

Cancels, the kill switch, health and reflection take no tokens: whoever has used up its rate can still make
its risk smaller. Their pools bound them (`bulkhead.py`).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from interceptors.calls import ServerCall
from interceptors.plan import Hook
from services.errors import FxError, Kind
from services.runtime.fatal import FatalError
from services.runtime.identity import ANONYMOUS, PrincipalKind
from services.runtime.limits import PROTECTED, Limits, Rate
from services.runtime.policy import MethodPolicy

MAX_BUCKETS = 10_000
"""Beyond it the one unused for longest is forgotten, which gives its owner a full one."""

_LABELS = ("kind", "grpc_service", "grpc_method")


class _Bucket:
    """Of one caller: when it will be full again, and how fast it fills."""

    __slots__ = ("_burst_s", "_per_second", "full_at")

    def __init__(self, rate: Rate, now: float) -> None:
        self.full_at = now
        self._per_second = rate.per_second
        self._burst_s = rate.burst / rate.per_second

    def take(self, cost: int, now: float) -> float:
        """Take so many tokens. Where they are not there none is taken: the seconds until they are."""
        after = max(now, self.full_at) + cost / self._per_second
        wait_s = after - now - self._burst_s
        if wait_s > 1e-9:  # less is rounding
            return wait_s
        self.full_at = after
        return 0.0


class RateLimit(Collector):
    """The buckets of one process. `now` is monotonic, in seconds."""

    def __init__(
        self, registry: CollectorRegistry, limits: Limits, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._now = now
        self._rates: Mapping[PrincipalKind, Rate] = {
            PrincipalKind.KEY: limits.keys,
            PrincipalKind.SERVICE: limits.services,
            PrincipalKind.OPERATOR: limits.services,  # their own platform: nobody else is held up
            PrincipalKind.ANONYMOUS: limits.anonymous,
        }
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._refused: dict[tuple[str, str, str], int] = {}
        registry.register(self)

    def hook(self, method: MethodPolicy) -> Hook[ServerCall] | None:
        """Takes `method.cost` tokens a call. Raises FatalError for a cost that no full bucket can pay."""
        if method.bulkhead in PROTECTED:
            return None
        cost = method.cost
        if short := [kind for kind, rate in self._rates.items() if rate.burst < cost]:
            raise FatalError(
                f"{method.path} costs {cost} tokens, more than the burst of {', '.join(short)}: "
                f"raise that of FXMESH_RATE_KEYS, FXMESH_RATE_SERVICES or FXMESH_RATE_ANONYMOUS"
            )
        return Hook(enter=partial(self._take, cost))

    @property
    def buckets(self) -> int:
        """How many are kept."""
        return len(self._buckets)

    def _take(self, cost: int, call: ServerCall) -> None:
        principal = call.principal
        label = principal.label
        if principal is ANONYMOUS:
            label = f"anonymous:{host(call.context.peer())}"
        now = self._now()
        bucket = self._buckets.get(label)
        if bucket is None:
            self._make_room(now)
            bucket = self._buckets[label] = _Bucket(self._rates[principal.kind], now)
        else:
            self._buckets.move_to_end(label)
        wait_s = bucket.take(cost, now)
        if wait_s:
            raise self._refuse(call, principal.kind, wait_s)

    def _make_room(self, now: float) -> None:
        """Forget old buckets that are full by now, two a new one, and the oldest where there is no room."""
        for _ in range(2):
            if not self._buckets:
                return
            label, bucket = next(iter(self._buckets.items()))
            if bucket.full_at > now and len(self._buckets) < MAX_BUCKETS:
                return
            del self._buckets[label]

    def _refuse(self, call: ServerCall, kind: PrincipalKind, wait_s: float) -> FxError:
        method = call.method
        series = (kind.value, method.service, method.method)
        self._refused[series] = self._refused.get(series, 0) + 1
        return FxError(
            Kind.RESOURCE_EXHAUSTED,
            "RATE_LIMITED",
            f"{method.path} was not begun: the caller's rate limit is used up for {wait_s:.3f} s",
            retry_after_s=wait_s,
        )

    def collect(self) -> Iterator[Metric]:
        """The present numbers; called from the thread that answers scrapes."""
        refused = CounterMetricFamily(
            "fxmesh_rate_limited", "Calls refused by the rate limit of their caller.", labels=_LABELS
        )
        for labels, count in self._refused.copy().items():
            refused.add_metric(labels, count)
        yield refused
        yield GaugeMetricFamily(
            "fxmesh_rate_limit_buckets", "Callers whose rate is being kept.", value=self.buckets
        )


def host(peer: str) -> str:
    """The host of a gRPC peer such as `ipv4:127.0.0.1:50051`; all of it where there is no port."""
    address = peer.rpartition(":")[0]
    return address or peer
