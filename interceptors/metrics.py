"""Counts and times every call, on both sides, under the names the gRPC ecosystem's dashboards expect.

`grpc_{server,client}_started_total`, `…_handled_total{grpc_code}`, `…_handling_seconds`, each with
`grpc_type`, `grpc_service`, `grpc_method`. A call counts as handled however it ends: cancelled, expired and
refused too.

Plain numbers that only the event loop changes, made into metrics when somebody scrapes: the library's own
counters take a lock for every number, which for the six of a call cost as much as the rest of its plan.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, TypeAlias

import grpc
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from interceptors.calls import ClientCall, ServerCall
from interceptors.plan import Hook
from services.runtime.policy import MethodPolicy

_OK = grpc.StatusCode.OK
_LABELS = ("grpc_type", "grpc_service", "grpc_method")
# From a cached read (under a millisecond) to a batch over a slow link.
_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_BOUND_TEXTS = (*map(repr, _BOUNDS_S), "+Inf")

AnyCall: TypeAlias = ServerCall | ClientCall


class _Series:
    """The numbers of one method."""

    __slots__ = ("answered", "buckets", "failed", "labels", "seconds", "started")

    def __init__(self, method: MethodPolicy) -> None:
        self.labels = (method.shape.value, method.service, method.method)
        self.started = 0
        self.answered = 0
        self.failed: dict[grpc.StatusCode, int] = {}
        self.buckets = [0] * len(_BOUND_TEXTS)
        self.seconds = 0.0

    def enter(self, _: AnyCall) -> None:
        self.started += 1

    def leave(self, call: AnyCall) -> None:
        took = time.perf_counter() - call.started
        if call.code is _OK:
            self.answered += 1
        else:
            self.failed[call.code] = self.failed.get(call.code, 0) + 1
        self.buckets[bisect_left(_BOUNDS_S, took)] += 1
        self.seconds += took


class CallMetrics(Collector):
    """The families of one side ("server" or "client"), shown by `registry`."""

    def __init__(self, registry: CollectorRegistry, side: str) -> None:
        self._side = side
        self._series: dict[str, _Series] = {}
        registry.register(self)

    def hook(self, method: MethodPolicy) -> Hook[Any]:
        """Counts calls of `method`. Its series exist from now on."""
        series = self._series.setdefault(method.path, _Series(method))
        return Hook(enter=series.enter, leave=series.leave)

    def collect(self) -> Iterator[Metric]:
        """The present numbers; called from the thread that answers scrapes."""
        side, series = self._side, list(self._series.values())
        started = CounterMetricFamily(f"grpc_{side}_started", f"Calls started, {side} side.", labels=_LABELS)
        handled = CounterMetricFamily(
            f"grpc_{side}_handled", f"Calls finished, {side} side, by status.", labels=(*_LABELS, "grpc_code")
        )
        seconds = HistogramMetricFamily(
            f"grpc_{side}_handling_seconds", f"Seconds a call took, {side} side.", labels=_LABELS
        )
        for each in series:
            started.add_metric(each.labels, each.started)
            # OK from the beginning, so that a rate over the first call is right.
            for code, count in ((_OK, each.answered), *each.failed.copy().items()):
                handled.add_metric((*each.labels, code.name), count)
            buckets = list(zip(_BOUND_TEXTS, accumulate(each.buckets.copy()), strict=True))
            seconds.add_metric(each.labels, buckets, each.seconds)
        yield from (started, handled, seconds)
