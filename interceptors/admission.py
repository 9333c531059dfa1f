"""Admission control: a process that cannot keep up sheds what it cannot serve in time, before all is late.

`backlog.py` decides what is kept. Beside it a call is shed that has less time left than the fastest recent
one of its method took, since it cannot be answered in time.

Shed calls are answered with RESOURCE_EXHAUSTED, not UNAVAILABLE: that would say that the outcome is unknown,
count against the instance (breaker, ejection) though it lives and answers, and be repeated by the mesh at the
worst moment. When to come back is in RetryInfo, and as pushback for clients with a retry policy of their own.
The groups in `PROTECTED` are never held back or shed.
"""

from __future__ import annotations

import random
import time
from asyncio import Future
from collections.abc import Awaitable, Callable, Iterator

import grpc
import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from interceptors.backlog import WAIT_S, Backlog
from interceptors.calls import ServerCall
from interceptors.errors import OVERLOADED
from interceptors.fastest import Fastest
from interceptors.plan import Hook
from services.errors import FxError, Kind
from services.runtime.limits import PROTECTED
from services.runtime.loop import Load
from services.runtime.policy import MethodPolicy, Shape

PUSHBACK_S = (0.1, 1.0)
"""Shortest and longest; in between as long as the overload has lasted, ± 20 %."""

_OK = grpc.StatusCode.OK
_log = structlog.get_logger("fxmesh.mesh")


class Admission(Collector):
    """Of one process, whose loop has this `load` and was idle for `idle_s()`. `now` is monotonic."""

    def __init__(
        self,
        registry: CollectorRegistry,
        load: Load,
        idle_s: Callable[[], float],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._idle_s = idle_s
        self._now = now
        self._backlog = Backlog(load, now)
        self._backlog.changed = self._tell
        self.in_flight = 0
        self.shed = {"backlog": 0, "late": 0}
        registry.register(self)

    def hook(self, method: MethodPolicy) -> Hook[ServerCall] | None:
        """Admission of the calls of `method`; None where they are never shed."""
        if method.bulkhead in PROTECTED:
            return None
        backlog = self._backlog
        fastest = Fastest(self._now) if method.shape is Shape.UNARY else None

        def admit(call: ServerCall) -> Awaitable[None] | None:
            now = self._now()
            left = float("inf") if call.deadline is None else call.deadline - now
            turn = backlog.come(now, left)
            if turn is False:
                raise self._overloaded(call)
            if turn is not True:
                return self._wait(call, fastest, turn)
            if fastest is not None and left < fastest.seconds(now):
                raise self._late(call, left)
            self.in_flight += 1
            return None

        def leave(call: ServerCall) -> None:
            self.in_flight -= 1
            if fastest is not None:
                backlog.served += 1
                if call.code is _OK:  # one that expired says nothing about what is possible
                    fastest.saw(time.perf_counter() - call.started)

        return Hook(admit=admit, leave=leave)

    async def _wait(self, call: ServerCall, fastest: Fastest | None, turn: Future[None]) -> None:
        await turn
        now = self._now()
        left = float("inf") if call.deadline is None else call.deadline - now
        if left <= (0.0 if fastest is None else fastest.seconds(now)):
            raise self._late(call, left)
        self.in_flight += 1

    def _late(self, call: ServerCall, left_s: float) -> FxError:
        self.shed["late"] += 1
        detail = f"{call.method.path} was not begun: it takes longer than the {left_s:.3f} s left to it"
        return FxError(Kind.RESOURCE_EXHAUSTED, OVERLOADED, detail)

    def _overloaded(self, call: ServerCall) -> FxError:
        self.shed["backlog"] += 1
        since = self._backlog.overloaded_since
        shortest, longest = PUSHBACK_S
        pushback = shortest if since is None else min(max(self._now() - since, shortest), longest)
        return FxError(
            Kind.RESOURCE_EXHAUSTED,
            OVERLOADED,
            f"{call.method.path} was not begun: this instance has more calls than it can answer in time",
            retry_after_s=pushback * random.uniform(0.8, 1.2),
        )

    def _tell(self, lasted: float | None) -> None:
        if lasted is None:
            _log.warning("overload.began", per_second=round(self._backlog.per_second or 0))
        else:
            _log.info("overload.ended", seconds=round(lasted, 3), shed=self.shed["backlog"])

    def collect(self) -> Iterator[Metric]:
        """The present numbers; called from the thread that answers scrapes."""
        shed = CounterMetricFamily(
            "fxmesh_admission_shed", "Calls shed before they began, by cause.", labels=("cause",)
        )
        for cause, count in self.shed.items():
            shed.add_metric((cause,), count)
        yield shed
        limit = round((self._backlog.per_second or 0) * WAIT_S)
        for name, text, value in (
            ("in_flight", "Calls at work that admission control let in.", self.in_flight),
            ("held", "Calls held back because the process is behind.", self._backlog.held),
            ("limit", "Calls that may be held back; 0 until the process was behind.", limit),
        ):
            yield GaugeMetricFamily(f"fxmesh_admission_{name}", text, value=value)
        yield CounterMetricFamily(
            "fxmesh_event_loop_idle_seconds", "Seconds the event loop had nothing to do.", self._idle_s()
        )
