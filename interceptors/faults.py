"""Fault injection for drills: delays and refusals by rule, on calls that are allowed, before they begin.

    FXMESH_DRILLS=true
    FXMESH_FAULTS='fxmesh.marketdata.v1.MarketDataService/ListQuotes delay=200ms abort=UNAVAILABLE percent=10'

Rules are separated by `;`. Each names a method (`package.Service/Method`), a service (`package.Service/*`) or
everything (`*`), then what happens: `delay=` (ms or s), `abort=` (a status code) or both, to `percent=` of
the calls (default 100). The first rule that fits a method is its only one. Cancels, the kill switch, health
and reflection are spared unless named exactly. A wrong rule ends the process at start.
"""

from __future__ import annotations

import asyncio
import difflib
import random
import re
import time
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from interceptors import deadline
from interceptors.calls import ServerCall
from interceptors.errors import INTERNAL
from interceptors.plan import Hook
from services.errors import FxError, Kind
from services.runtime.fatal import FatalError, WrongSettings
from services.runtime.limits import PROTECTED
from services.runtime.policy import MethodPolicy, all_methods, method_policies, method_policy

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s)")
_CODES = (*(kind.name for kind in Kind), INTERNAL)
_log = structlog.get_logger("fxmesh.mesh")


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to `percent` of the calls that `target` names: wait `delay_s`, then fail with `abort`."""

    target: str
    delay_s: float = 0.0
    abort: str = ""
    percent: float = 100.0

    def fits(self, method: MethodPolicy) -> bool:
        """Whether it is about `method`."""
        if self.target == method.path[1:]:
            return True
        named = self.target in ("*", f"{method.service}/*")
        return named and method.bulkhead not in PROTECTED


def parse(text: str) -> tuple[Rule, ...]:
    """The rules of FXMESH_FAULTS. Raises FatalError with a sentence about the first that is wrong."""
    return tuple(_rule(part.split()) for part in text.split(";") if part.strip())


def _rule(words: list[str]) -> Rule:
    target, *options = words
    _check_target(target)
    rule = {"target": target} | dict(_option(target, each) for each in options)
    if len(rule) != len(words):
        raise _wrong(target, "says something twice")
    if not {"delay_s", "abort"} & set(rule):
        raise _wrong(target, "needs delay= or abort=")
    return Rule(**rule)  # type: ignore[arg-type]


def _check_target(target: str) -> None:
    if target == "*":
        return
    service, _, method = target.partition("/")
    if not method:
        raise _wrong(target, f"names no package.Service/Method, package.Service/* or *{_near(target)}")
    try:
        if method == "*":
            method_policies(service)
        else:
            method_policy(f"/{target}")
    except FatalError as unknown:
        raise _wrong(target, f"cannot be applied: {unknown}{_near(target)}") from None


def _near(target: str) -> str:
    """What may have been meant, for the end of the sentence."""
    known = {each.method: each.path[1:] for each in all_methods()}
    known |= {name: name for each in all_methods() for name in (each.path[1:], f"{each.service}/*")}
    near = difflib.get_close_matches(target, known, n=1)
    return f"; did you mean {known[near[0]]}?" if near else ""


def _option(target: str, text: str) -> tuple[str, object]:
    name, _, value = text.partition("=")
    duration = _DURATION.fullmatch(value)
    if name == "delay" and duration is not None:
        return "delay_s", float(duration[1]) / (1000 if duration[2] == "ms" else 1)
    if name == "abort" and value in _CODES:
        return "abort", value
    if name == "percent" and re.fullmatch(r"[0-9]+(\.[0-9]+)?", value) and 0 < float(value) <= 100:
        return "percent", float(value)
    raise _wrong(
        target,
        f"has {text!r}, which is neither delay=200ms or 1.5s, percent=0.1 to 100, nor abort= with one of "
        f"{', '.join(_CODES)}",
    )


def _wrong(target: str, sentence: str) -> WrongSettings:
    return WrongSettings(f"FXMESH_FAULTS: the rule for {target} {sentence}")


class Faults(Collector):
    """The rules in force in this process, shown by `registry`."""

    def __init__(self, registry: CollectorRegistry, rules: tuple[Rule, ...]) -> None:
        self._rules = rules
        self._random = random.Random()
        self._injected: dict[tuple[str, str, str], int] = {}
        registry.register(self)
        for rule in rules:
            _log.warning(
                "DRILL: faults are injected on purpose (FXMESH_DRILLS, FXMESH_FAULTS)",
                target=rule.target,
                delay_s=rule.delay_s,
                abort=rule.abort,
                percent=rule.percent,
            )

    def hook(self, method: MethodPolicy) -> Hook[ServerCall] | None:
        """Injects by the first rule that fits."""
        rule = next((each for each in self._rules if each.fits(method)), None)
        if rule is None:
            return None

        def admit(call: ServerCall) -> Awaitable[None] | None:
            if self._random.random() * 100 >= rule.percent:
                return None
            return self._inject(rule, call)

        return Hook(admit=admit)

    async def _inject(self, rule: Rule, call: ServerCall) -> None:
        if rule.delay_s:
            self._count(call, "delay")
            left = None if call.deadline is None else call.deadline - time.monotonic()
            await asyncio.sleep(rule.delay_s if left is None else min(rule.delay_s, left))
            if left is not None and left < rule.delay_s:
                raise deadline.expired(call.method)
        if rule.abort:
            self._count(call, "abort")
            raise _failure(rule.abort, call.method)

    def _count(self, call: ServerCall, kind: str) -> None:
        series = (kind, call.method.service, call.method.method)
        self._injected[series] = self._injected.get(series, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """The present numbers; called from the thread that answers scrapes."""
        yield GaugeMetricFamily("fxmesh_fault_rules", "Fault rules in force.", value=len(self._rules))
        injected = CounterMetricFamily(
            "fxmesh_faults_injected",
            "Faults injected on purpose.",
            labels=("kind", "grpc_service", "grpc_method"),
        )
        for labels, count in self._injected.copy().items():
            injected.add_metric(labels, count)
        yield injected


def _failure(code: str, method: MethodPolicy) -> FxError:
    if code == INTERNAL:
        return FxError(Kind.UNAVAILABLE, INTERNAL, "injected")
    return FxError(Kind[code], "FAULT_INJECTED", f"{method.path} was failed on purpose: a drill is on")
