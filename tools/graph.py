"""Draws the mesh from the contracts: who calls whom, who tells whom, and what the mesh does to each method.

    python tools/graph.py write    bring README's pictures, docs/{graph,methods,policies}.md up to date
    python tools/graph.py check    fail when one of them is not what the contracts say

Everything is read from the policy options in the descriptors (services/runtime/policy.py), so a picture
cannot show an edge that the platform does not have.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import fxmesh
from fxmesh.policy.v1 import policy_pb2
from google.api import annotations_pb2
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, MethodDescriptor

from interceptors import breaker, retry, retry_budget
from services.runtime import ejection
from services.runtime.limits import PROTECTED
from services.runtime.policy import (
    BUILT_IN,
    MethodPolicy,
    ServicePolicy,
    Shape,
    method_policies,
    method_policy,
    service_policies,
)
from tools import written

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BEGIN, END = "<!-- begin: written by tools/graph.py -->", "<!-- end -->"

GRAPH_HEAD = """# The graph of the mesh

Written by `tools/graph.py` from the contracts; do not edit. A test compares it with them.
What the columns mean: [contracts.md](contracts.md), [events.md](events.md).
"""
METHODS_HEAD = """# Every method and its policy

Written by `tools/graph.py` from the contracts; do not edit. A test compares it with them.

Deadline: used when the caller sets none; for a stream, its longest life. Repeat: whether the same call may
be sent again: `reads` (no side effects), `key` (safe under the same value of the field named), or never. Kind
is empty for one request and one answer. REST: its form at the [edge](edge.md); the services themselves speak
gRPC.
"""
POLICIES_HEAD = """# What the mesh does to each method

Written by `tools/graph.py` from the contracts; do not edit. A test compares it with them.

`fxmesh policy show METHOD` says the same of one method, with deadline, scope, settings in force, and where
each comes from. Bulkhead: the group whose slots a call takes. Cost: tokens of the caller's rate. Overload:
whether calls are shed when a process cannot keep up. Cache: how long a caller may keep an answer, and what
drops it before. What it all means: [mesh.md](mesh.md).
"""

FAILURES_FOOT = """Attempts and budget hold for methods that may be repeated and stream no requests; others
are sent once. Health and reflection are sent once and have no breaker. With `FXMESH_DISCOVERY=dns` nothing is
ejected.
"""


def calls(services: tuple[ServicePolicy, ...]) -> Iterator[tuple[str, str, str]]:
    """(caller, callee, method) by service name, in the order of the contracts."""
    names = {service.full_name: service.name for service in services}
    for service in services:
        for call in service.calls:
            callee, _, method = call.partition("/")
            yield service.name, names[callee], method


def tells(services: tuple[ServicePolicy, ...]) -> Iterator[tuple[str, str, str]]:
    """(publisher, consumer, event) by service name, in the order of the contracts."""
    for publisher in services:
        for consumer in services:
            for event in publisher.publishes:
                if event in consumer.consumes:
                    yield publisher.name, consumer.name, event.rpartition(".")[2]


def merged(edges: Iterator[tuple[str, str, str]]) -> Mapping[tuple[str, str], list[str]]:
    """What runs along each pair of services."""
    found: dict[tuple[str, str], list[str]] = {}
    for source, target, label in edges:
        found.setdefault((source, target), []).append(label)
    return found


def mermaid(pairs: Mapping[tuple[str, str], list[str]], arrow: str, most_labels: int) -> list[str]:
    """A flow chart; a pair with more labels than fit shows their number."""
    lines = ["```mermaid", "flowchart LR"]
    for (source, target), labels in pairs.items():
        text = "<br>".join(labels) if len(labels) <= most_labels else f"{len(labels)} events"
        lines.append(f'  {source} {arrow}|"{text}"| {target}')
    return [*lines, "```"]


def pictures(services: tuple[ServicePolicy, ...]) -> str:
    """README's section: the services, their calls, their events."""
    watcher = next(service.name for service in services if service.scrapes)
    lines = [
        "Who calls whom, by gRPC:",
        "",
        *mermaid(merged(each for each in calls(services) if each[0] != each[1]), "-->", 4),
        "",
    ]
    lines += ["Who tells whom, by events on NATS JetStream:", ""]
    lines += [*mermaid(merged(tells(services)), "-.->", 4), ""]
    lines += [f"`{watcher}` also reads `/health` and `/metrics` of all services.", ""]
    lines += ["| service | gRPC | HTTP | what it does |", "|---|---|---|---|"]
    for service in services:
        does = (importlib.import_module(f"services.{service.name}").__doc__ or "").splitlines()[0]
        does = does.partition(": ")[2].rstrip(".")
        lines.append(f"| `{service.name}` | {service.grpc_port} | {service.http_port} | {does} |")
    return "\n".join(lines)


def events() -> Iterator[Descriptor]:
    """Every event of the contracts, by full name."""
    pool = descriptor_pool.Default()
    for path in sorted(path for root in fxmesh.__path__ for path in Path(root).glob("*/v1/events_pb2.py")):
        area = path.parent.parent.name
        importlib.import_module(f"fxmesh.{area}.v1.events_pb2")
        file = pool.FindFileByName(f"fxmesh/{area}/v1/events.proto")
        for message in file.message_types_by_name.values():
            if message.GetOptions().HasExtension(policy_pb2.event):
                yield message


def graph_page(services: tuple[ServicePolicy, ...]) -> str:
    """docs/graph.md: every call and every event."""
    lines = [GRAPH_HEAD, "## Calls", "", "| caller | callee | methods |", "|---|---|---|"]
    for (caller, callee), methods in merged(calls(services)).items():
        lines.append(f"| {caller} | {callee} | {', '.join(methods)} |")
    lines += ["", "A service that calls itself has instances that pass calls on to the one that leads."]
    lines += ["", "## Instances", "", "| service | processes |", "|---|---|"]
    for service in services:
        why = f"one: {service.single_because}" if service.single_because else "one or several"
        if service.several_with:
            why += f"; several where `{service.several_with}` names a database for them"
        lines.append(f"| {service.name} | {why} |")
    lines += ["", "## Events", ""]
    lines += ["| event | publisher | retention | key | id | consumers |", "|---|---|---|---|---|---|"]
    for event in events():
        policy = event.GetOptions().Extensions[policy_pb2.event]
        retention = policy_pb2.RetentionClass.Name(policy.retention).rpartition("_")[2].lower()
        publishers = ", ".join(each.name for each in services if event.full_name in each.publishes)
        consumers = ", ".join(each.name for each in services if event.full_name in each.consumes)
        identity = " / ".join(policy.id_fields)
        name = f"{event.full_name.split('.')[1]}.{event.name}"
        lines.append(
            f"| {name} | {publishers} | {retention} | {policy.key_field} | {identity} | {consumers} |"
        )
    return "\n".join(lines) + "\n"


def methods_page(services: tuple[ServicePolicy, ...]) -> str:
    """docs/methods.md: a table a service."""
    pool = descriptor_pool.Default()
    lines = [METHODS_HEAD]
    for service in services:
        lines += [f"## {service.full_name}", ""]
        lines += ["| method | kind | deadline | scope | repeat | REST |", "|---|---|---|---|---|---|"]
        for method in pool.FindServiceByName(service.full_name).methods:
            lines.append(_method_row(method, method_policy(f"/{service.full_name}/{method.name}")))
        lines.append("")
    return "\n".join(lines)


def policies_page(services: tuple[ServicePolicy, ...]) -> str:
    """docs/policies.md: a table a service, then the built-in ones."""
    groups = [(each.full_name, method_policies(each.full_name)) for each in services]
    groups.append(("Built-in services", tuple(BUILT_IN.values())))
    lines = [POLICIES_HEAD, *_of_failures()]
    for title, methods in groups:
        lines += [f"## {title}", ""]
        lines += ["| method | bulkhead | cost | overload | repeat | cache | request | traced |"]
        lines += ["|---|---|---|---|---|---|---|---|"]
        lines += [
            _policy_row(each, each.method if title == each.service else each.path[1:]) for each in methods
        ]
        lines.append("")
    return "\n".join(lines)


def _of_failures() -> list[str]:
    """What callers do about failures: the same whatever the method."""
    rules = {
        "attempts": retry.in_words(),
        "retry budget": retry_budget.in_words(),
        "circuit breaker": breaker.in_words(),
        "outlier ejection": ejection.in_words(),
    }
    lines = ["## Failures, as callers take them", "", "| concern | rule |", "|---|---|"]
    lines += [f"| {concern} | {rule} |" for concern, rule in rules.items()]
    return [*lines, "", *FAILURES_FOOT.splitlines(), ""]


def _policy_row(policy: MethodPolicy, name: str) -> str:
    protected = policy.bulkhead in PROTECTED
    cost = "none" if protected else str(policy.cost)
    overload = "never shed" if protected else "shed"
    dropped = ", ".join(f"`{event.rpartition('.')[2]}`" for event in policy.invalidated_by)
    cache = "" if policy.cache_lifetime_s is None else f"{policy.cache_lifetime_s:g} s {dropped}".rstrip()
    size = f"{policy.max_request_bytes // 1024} KiB"
    traced = "always" if policy.traced else ""
    cells = (name, policy.bulkhead, cost, overload, _repeat(policy), cache, size, traced)
    return f"| {' | '.join(cells)} |"


def _repeat(policy: MethodPolicy) -> str:
    if policy.idempotency_key:
        return f"key `{policy.idempotency_key}`"
    return "reads" if policy.repeatable else "no"


def _method_row(method: MethodDescriptor, policy: MethodPolicy) -> str:
    kind = "" if policy.shape is Shape.UNARY else policy.shape.value.replace("_", " ")
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    verb = rule.WhichOneof("pattern")
    rest = f"`{verb.upper()} {getattr(rule, verb)}`" if verb else ""
    deadline = f"{policy.default_deadline_s:g} s"
    return f"| {method.name} | {kind} | {deadline} | `{policy.scope}` | {_repeat(policy)} | {rest} |"


def current() -> dict[Path, str]:
    """What each file should hold, by the contracts."""
    services = service_policies()
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return {
        README: f"{before}{BEGIN}\n{pictures(services)}\n{END}{after}",
        ROOT / "docs" / "graph.md": graph_page(services),
        ROOT / "docs" / "methods.md": methods_page(services),
        ROOT / "docs" / "policies.md": policies_page(services),
    }


if __name__ == "__main__":
    raise SystemExit(written.main("tools/graph.py", current()))
