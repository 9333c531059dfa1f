"""What contracts promise in options, which buf does not compare: REST, keys of calls, how events travel.

A promise is one line of text under the method or event that makes it. One that is gone is a break; a new one
is an addition.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

from fxmesh.policy.v1 import policy_pb2
from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorSet, MethodDescriptorProto

Promises = dict[tuple[str, str], set[str]]
"""By (full name of the method or event, what the promise is about)."""


def broken(old: Path, new: Path) -> list[str]:
    """A sentence for each promise of one image that the other does not keep; both are compressed by gzip."""
    before, after = _promises(old), _promises(new)
    return [
        f"{name}: {subject} was {_list(promised)}, is {_list(after.get((name, subject), set()))}"
        for (name, subject), promised in before.items()
        if not promised <= after.get((name, subject), set())
    ]


def _list(promised: set[str]) -> str:
    return " and ".join(sorted(promised)) or "nothing"


def _promises(image: Path) -> Promises:
    found: Promises = {}
    for file in FileDescriptorSet.FromString(gzip.decompress(image.read_bytes())).file:
        for service in file.service:
            for method in service.method:
                for subject, promise in _of_method(method):
                    name = f"{file.package}.{service.name}/{method.name}"
                    found.setdefault((name, subject), set()).add(promise)
        for message in file.message_type:
            for subject, promise in _of_event(message):
                found[f"{file.package}.{message.name}", subject] = {promise}
    return found


def _of_method(method: MethodDescriptorProto) -> Iterator[tuple[str, str]]:
    if method.options.HasExtension(annotations_pb2.http):
        rule = method.options.Extensions[annotations_pb2.http]
        yield from (("REST", _rest(each)) for each in (rule, *rule.additional_bindings))
    if key := method.options.Extensions[policy_pb2.method].idempotency_key:
        yield "idempotency_key", key


def _rest(rule: http_pb2.HttpRule) -> str:
    kind = rule.WhichOneof("pattern")
    custom = kind == "custom"
    verb, path = (rule.custom.kind, rule.custom.path) if custom else (str(kind), getattr(rule, str(kind)))
    parts = {"body": rule.body, "response_body": rule.response_body}
    return " ".join((verb.upper(), path, *(f"{name} {value}" for name, value in parts.items() if value)))


def _of_event(message: DescriptorProto) -> Iterator[tuple[str, str]]:
    if not message.options.HasExtension(policy_pb2.event):
        return
    policy = message.options.Extensions[policy_pb2.event]
    yield "retention", policy_pb2.RetentionClass.Name(policy.retention)
    yield "key_field", policy.key_field
    yield "id_fields", "/".join(policy.id_fields)
