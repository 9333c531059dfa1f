"""Bulkheads: calls of one kind cannot take the room of another's.

Each service has a pool a method group (`MethodPolicy.bulkhead`), on the server and, for each target, on the
client. A call takes a slot; where all are taken it waits in a short queue, first come first served; where
that is full too it is refused with BULKHEAD_FULL. Cancels and the kill switch are a group of their own.

A call waits for at most half of what is left of its deadline, since the work needs time too. What is refused
here had no effect, on either side.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Iterator
from contextlib import suppress
from typing import Any, TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from interceptors.calls import ClientCall, ServerCall
from interceptors.plan import Hook
from services.errors import FxError, Kind
from services.runtime.limits import Limits, PoolSize
from services.runtime.policy import MethodPolicy

RETRY_AFTER_S = 0.25
"""What a refused caller is told to wait: a queue of the default size is served in less."""

_LABELS = ("grpc_service", "bulkhead")
AnyCall: TypeAlias = ServerCall | ClientCall


class Pool:
    """The slots of one group, changed by the event loop only. Waiters exist only while all are taken."""

    __slots__ = ("_waiters", "in_use", "refused", "size")

    def __init__(self, size: PoolSize) -> None:
        self.size = size
        self.in_use = 0
        self.refused = 0
        self._waiters: deque[asyncio.Future[bool]] = deque()

    @property
    def waiting(self) -> int:
        """Calls in the queue."""
        return len(self._waiters)

    def take(self, call: AnyCall) -> Awaitable[None] | None:
        """Take a slot: at once (None), or once what is returned has been awaited. Raises BULKHEAD_FULL."""
        if self.in_use < self.size.slots:
            self.in_use += 1
            return None
        if len(self._waiters) >= self.size.queue:
            raise self._full(call)
        return self._wait(call)

    def release(self, _: AnyCall | None = None) -> None:
        """Give a slot back: to the first that waits, or to the pool."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(True)
                return
        self.in_use -= 1

    async def _wait(self, call: AnyCall) -> None:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiters.append(waiter)
        now = time.monotonic()  # which is the loop's time too
        limit = None if call.deadline is None else now + (call.deadline - now) / 2
        timer = None if limit is None else loop.call_at(limit, self._expire, waiter)
        try:
            granted = await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                with suppress(ValueError):  # `release` has passed it over already
                    self._waiters.remove(waiter)
            elif waiter.result():
                self.release()  # granted and cancelled in the same turn of the loop
            raise
        finally:
            if timer is not None:
                timer.cancel()
        if not granted:
            raise self._full(call)

    def _expire(self, waiter: asyncio.Future[bool]) -> None:
        if not waiter.done():
            self._waiters.remove(waiter)
            waiter.set_result(False)

    def _full(self, call: AnyCall) -> FxError:
        self.refused += 1
        method = call.method
        detail = f"{method.path} was not begun: all {self.size.slots} slots of its group {method.bulkhead}"
        return FxError(
            Kind.RESOURCE_EXHAUSTED,
            "BULKHEAD_FULL",
            f"{detail} are taken and its queue is full or too slow",
            retry_after_s=RETRY_AFTER_S,
        )


class Bulkheads(Collector):
    """The pools of one side ("server" or "client"), shown by `registry`."""

    def __init__(self, registry: CollectorRegistry, side: str, limits: Limits) -> None:
        self._side = side
        self._limits = limits
        self._pools: dict[tuple[str, str], Pool] = {}
        registry.register(self)

    def hook(self, method: MethodPolicy) -> Hook[Any]:
        """A slot of the pool of `method` for each call."""
        pool = self.pool(method.service, method.bulkhead)
        return Hook(admit=pool.take, leave=pool.release)

    def pool(self, service: str, group: str) -> Pool:
        """The pool of a group of a service by full gRPC name, made when first asked for."""
        pool = self._pools.get((service, group))
        if pool is None:
            pool = self._pools[service, group] = Pool(self._limits.pool(group))
        return pool

    def collect(self) -> Iterator[Metric]:
        """The present numbers; called from the thread that answers scrapes."""
        name = f"fxmesh_{self._side}_bulkhead"
        slots = GaugeMetricFamily(f"{name}_slots", "Calls a bulkhead lets work at once.", labels=_LABELS)
        in_use = GaugeMetricFamily(f"{name}_in_use", "Calls that hold a slot of a bulkhead.", labels=_LABELS)
        waiting = GaugeMetricFamily(f"{name}_waiting", "Calls that wait for a slot.", labels=_LABELS)
        refused = CounterMetricFamily(f"{name}_refused", "Calls refused by a bulkhead.", labels=_LABELS)
        for labels, pool in list(self._pools.items()):
            slots.add_metric(labels, pool.size.slots)
            in_use.add_metric(labels, pool.in_use)
            waiting.add_metric(labels, pool.waiting)
            refused.add_metric(labels, pool.refused)
        yield from (slots, in_use, waiting, refused)
