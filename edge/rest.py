"""The REST form of each method, from `google.api.http`: which method a request means, as Envoy decides it.

Contracts use literal segments, `{field}` and a `:verb` at the end. Anything else is refused at the start,
because Envoy would match what this file does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from google.api import annotations_pb2
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, MethodDescriptor

from services.runtime.fatal import FatalError
from services.runtime.policy import ServicePolicy, method_policy

_LITERAL = re.compile(r"[A-Za-z0-9_.-]+")
_VARIABLE = re.compile(r"\{([a-z0-9_]+)\}")
_VERBS = ("get", "put", "post", "delete", "patch")


@dataclass(frozen=True, slots=True)
class RestForm:
    """One verb and path of a method. A segment in `path` is a literal, or a field name in braces."""

    method: str
    """`/package.Service/Method`."""
    verb: str
    path: tuple[str, ...]
    action: str
    """What follows the last colon, empty without one."""
    body: str
    """`*`: the body is the request; a field name: that field; empty: no body."""
    request: Descriptor
    max_request_bytes: int

    @property
    def template(self) -> str:
        """As the contract writes it."""
        return "/" + "/".join(self.path) + (f":{self.action}" if self.action else "")

    @property
    def fields_in_path(self) -> tuple[str, ...]:
        """Names of the request's fields that the path gives."""
        return tuple(segment[1:-1] for segment in self.path if segment.startswith("{"))


@dataclass(frozen=True, slots=True)
class Match:
    """What a path means: the form, and the fields that the path itself gave."""

    form: RestForm
    given: Mapping[str, str]


class RestForms:
    """All forms of some services. Raises FatalError for a path that is not understood, or given twice."""

    def __init__(self, services: tuple[ServicePolicy, ...]) -> None:
        self.all = tuple(form for service in services for form in _forms(service))
        self._actions = {form.action for form in self.all} - {""}
        shapes: dict[tuple[object, ...], RestForm] = {}
        for form in self.all:
            shape = (form.verb, form.action, *(_literal(segment) for segment in form.path))
            if shape in shapes:
                raise FatalError(f"{form.method} and {shapes[shape].method} have one REST path")
            shapes[shape] = form

    def find(self, verb: str, path: str) -> Match | None:
        """What `verb path` means (no query); None where no method has it."""
        found = [match for match in self._at(path) if match.form.verb == verb]
        return found[0] if found else None

    def verbs(self, path: str) -> tuple[str, ...]:
        """The verbs that a path may be asked with; empty for an unknown one."""
        return tuple(sorted({match.form.verb for match in self._at(path)}))

    def _at(self, path: str) -> list[Match]:
        """Every form with this path, the one with most literal segments first."""
        segments = path.removeprefix("/").split("/")
        action = ""
        head, colon, tail = segments[-1].rpartition(":")
        if colon and tail in self._actions:
            segments[-1], action = head, tail
        found = [_match(form, segments) for form in self.all if form.action == action]
        return sorted((match for match in found if match), key=lambda match: len(match.given))


def _match(form: RestForm, segments: list[str]) -> Match | None:
    if len(segments) != len(form.path):
        return None
    given: dict[str, str] = {}
    for wanted, segment in zip(form.path, segments, strict=True):
        if not wanted.startswith("{"):
            if wanted != segment:
                return None
        elif not segment:
            return None
        else:
            given[wanted[1:-1]] = unquote(segment)
    return Match(form, given)


def _literal(segment: str) -> str | None:
    return None if segment.startswith("{") else segment


def _forms(service: ServicePolicy) -> Iterator[RestForm]:
    descriptor = descriptor_pool.Default().FindServiceByName(service.full_name)
    for method in descriptor.methods:
        rule: Any = method.GetOptions().Extensions[annotations_pb2.http]
        for each in (rule, *rule.additional_bindings):
            if each.WhichOneof("pattern"):
                yield read_form(method, each)


def read_form(method: MethodDescriptor, rule: Any) -> RestForm:
    """The form that a `google.api.HttpRule` gives a method. Raises FatalError for one not understood."""
    verb, body = rule.WhichOneof("pattern"), rule.body
    template = str(getattr(rule, verb))
    policy = method_policy(f"/{method.containing_service.full_name}/{method.name}")
    whole, _, action = template.rpartition(":") if ":" in template else (template, "", "")
    path = tuple(whole.removeprefix("/").split("/"))
    fields = method.input_type.fields_by_name
    for segment in path:
        variable = _VARIABLE.fullmatch(segment)
        if not (_LITERAL.fullmatch(segment) or (variable and variable[1] in fields)):
            raise FatalError(f"the REST path {template} of {policy.path} is not understood at {segment!r}")
    if verb not in _VERBS or body not in ("", "*", *fields):
        raise FatalError(f"the REST form of {policy.path} is not understood ({verb}, body {body!r})")
    return RestForm(
        policy.path, verb.upper(), path, action, body, method.input_type, policy.max_request_bytes
    )
