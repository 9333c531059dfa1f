"""What the mesh does to calls of one method, concern by concern, and where each comes from.

`fxmesh policy show` prints it, `tools/graph.py` makes docs/policies.md of it. Everything is read from the
descriptors, the settings and the tables of the mesh; nothing is asked of a running platform.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from fxmesh.policy.v1 import policy_pb2
from google.api import annotations_pb2
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from interceptors import breaker, retry, retry_budget
from interceptors.faults import Rule, parse
from services.runtime import ejection
from services.runtime.fatal import FatalError
from services.runtime.limits import BUILT_IN_GROUP, POOLS, PROTECTED, Limits, Rate
from services.runtime.policy import BUILT_IN, METADATA_BYTES, MethodPolicy

_MESH = "default of the mesh"
_TABLE = "table of the built-in services (services/runtime/policy.py)"


@dataclass(frozen=True, slots=True)
class Line:
    """One concern: what applies, and where that was said."""

    concern: str
    applies: str
    source: str


def find(name: str, methods: tuple[MethodPolicy, ...]) -> MethodPolicy:
    """The method of a full name, or of one without package or service where that is unique.

    Raises FatalError with what is near.
    """
    full = name.removeprefix("/")
    fitting = [each for each in methods if full in _names(each)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        several = ", ".join(each.path[1:] for each in fitting)
        raise FatalError(f"{name} is a method of several services: {several}")
    known = [known for each in methods for known in _names(each)]
    near = list(dict.fromkeys(difflib.get_close_matches(full, known, n=3)))
    hint = f"; near: {', '.join(near)}" if near else ""
    raise FatalError(f"no contract has a method {name}{hint}")


def _names(method: MethodPolicy) -> tuple[str, str, str]:
    full = method.path[1:]
    return full, full.rpartition(".")[2], method.method


def report(policy: MethodPolicy, limits: Limits, drill: str = "") -> list[Line]:
    """Every concern of a method, in the order of what happens to a call. `drill`: the fault rules in force.

    Raises FatalError where a fault rule is wrong.
    """
    return list(_Report(policy, limits, parse(drill)).lines())


class _Report:
    def __init__(self, policy: MethodPolicy, limits: Limits, faults: tuple[Rule, ...]) -> None:
        self._policy = policy
        self._faults = faults
        self._limits = limits
        self._built_in = policy.path in BUILT_IN
        self._method: MethodDescriptor | None = None
        if not self._built_in:
            service = descriptor_pool.Default().FindServiceByName(policy.service)
            self._method = service.methods_by_name[policy.method]

    def lines(self) -> Iterator[Line]:
        policy = self._policy
        yield Line("shape", policy.shape.value.replace("_", " "), self._said("the rpc itself"))
        yield self._rest()
        what = "longest life" if policy.streams_answers else "when the caller sets none"
        yield Line("deadline", f"{policy.default_deadline_s:g} s, {what}", self._option("default_deadline"))
        yield self._admission()
        scope = f"scope {policy.scope}" if policy.scope else "open to whoever can connect"
        yield Line("authorization", scope, self._option("scope"))
        yield self._rate()
        yield self._fault()
        yield from self._bulkhead()
        yield Line("request size", f"at most {policy.max_request_bytes // 1024} KiB", self._set("size_class"))
        yield Line("metadata size", f"at most {METADATA_BYTES // 1024} KiB", _MESH)
        rules = "none" if self._built_in else "the rules of its fields, before the handler"
        yield Line("validation", rules, self._said("(buf.validate.field) of the request's fields"))
        yield self._retry()
        yield from self._failures()
        yield self._cache()
        traced = "every call begins one" if policy.traced else "the share of FXMESH_TRACE_SAMPLE begins one"
        yield Line("trace", traced, self._set("traced"))

    def _rest(self) -> Line:
        rule = None if self._method is None else self._method.GetOptions().Extensions[annotations_pb2.http]
        verb = rule.WhichOneof("pattern") if rule is not None else None
        if rule is None or verb is None:
            return Line("REST form", "none", _MESH)
        return Line("REST form", f"{verb.upper()} {getattr(rule, verb)}", self._said("(google.api.http)"))

    def _admission(self) -> Line:
        if self._policy.bulkhead in PROTECTED:
            return Line("admission", "never shed", f"{_MESH} for the group {self._policy.bulkhead}")
        if not self._limits.admission:
            return Line("admission", "never shed", "FXMESH_ADMISSION")
        return Line("admission", "shed while the process cannot keep up", _MESH)

    def _rate(self) -> Line:
        policy = self._policy
        if policy.bulkhead in PROTECTED:
            return Line("rate limit", "takes no tokens", f"{_MESH} for the group {policy.bulkhead}")
        standard = Limits()
        rates: list[str] = []
        settings: list[str] = []
        for name in ("keys", "services", "anonymous"):
            rate: Rate = getattr(self._limits, name)
            rates.append(f"{name} {rate.per_second:g}/s up to {rate.burst:g}")
            if rate != getattr(standard, name):
                settings.append(f"FXMESH_RATE_{name.upper()}")
        said = f"{self._set('cost')}; rates: {', '.join(settings) or _MESH}"
        return Line("rate limit", f"costs {policy.cost} of: {', '.join(rates)}", said)

    def _fault(self) -> Line:
        rule = next((each for each in self._faults if each.fits(self._policy)), None)
        if rule is None:
            said = "FXMESH_FAULTS: no rule fits" if self._faults else "FXMESH_DRILLS: no drill is on"
            return Line("faults", "none", f"{said} in the settings of this shell")
        delayed = f"{rule.delay_s:g} s late" if rule.delay_s else ""
        failed = f"failed with {rule.abort}" if rule.abort else ""
        what = " and ".join(filter(None, (delayed, failed)))
        return Line("faults", f"{rule.percent:g} % are {what}", f"FXMESH_FAULTS of this shell: {rule.target}")

    def _bulkhead(self) -> Iterator[Line]:
        group = self._policy.bulkhead
        size = self._limits.pool(group)
        text = f"{group}: {size.slots} at work, {size.queue} waiting"
        changed = size != POOLS.get(group, POOLS["default"])
        sizes = "FXMESH_BULKHEADS" if changed else _MESH
        said = _TABLE if group == BUILT_IN_GROUP else self._set("bulkhead")
        yield Line("bulkhead", f"{text}; on the server, and for each target on a client", f"{said}; {sizes}")

    def _retry(self) -> Line:
        policy = self._policy
        if self._built_in:
            return Line("retry", "may be repeated", _TABLE)
        assert self._method is not None  # every other has a contract
        level = self._method.GetOptions().idempotency_level
        if level != MethodOptions.IDEMPOTENCY_UNKNOWN:
            name = MethodOptions.IdempotencyLevel.Name(level)
            return Line("retry", "may be repeated", self._said(f"idempotency_level = {name}"))
        if policy.idempotency_key:
            text = f"may be repeated under the same {policy.idempotency_key}"
            return Line("retry", text, self._option("idempotency_key"))
        return Line("retry", "never", f"{_MESH}: neither idempotency_level nor idempotency_key")

    def _failures(self) -> Iterator[Line]:
        """What a caller does about failures, the same for every method it does it for."""
        again = retry.retried(self._policy)
        none = "none: calls are sent once"
        yield Line("attempts", retry.in_words() if again else none, _MESH)
        yield Line("retry budget", retry_budget.in_words() if again else none, _MESH)
        yield Line("breaker", "none" if self._built_in else breaker.in_words(), _MESH)
        yield Line("ejection", ejection.in_words(), f"{_MESH}; with FXMESH_DISCOVERY=dns none")

    def _cache(self) -> Line:
        policy = self._policy
        if policy.cache_lifetime_s is None:
            return Line("cache", "never cached", self._set("cache_lifetime"))
        dropped = f", dropped on {', '.join(policy.invalidated_by)}" if policy.invalidated_by else ""
        return Line("cache", f"{policy.cache_lifetime_s:g} s{dropped}", self._option("cache_lifetime"))

    def _set(self, field: str) -> str:
        """The option, where the contract has it; else what stands in for it."""
        if self._method is None:
            return _MESH
        options = self._method.GetOptions().Extensions[policy_pb2.method]
        return self._option(field) if field in {each.name for each, _ in options.ListFields()} else _MESH

    def _option(self, field: str) -> str:
        return self._said(f"(fxmesh.policy.v1.method).{field}")

    def _said(self, what: str) -> str:
        if self._method is None:
            return _TABLE
        return f"protos/{self._method.containing_service.file.name}: {what}"
