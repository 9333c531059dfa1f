"""Field rules of the contracts (`buf.validate`) and bounds of times, checked on every request before a
handler sees it.
"""

from __future__ import annotations

import protovalidate
from fxmesh.policy.v1 import patterns_pb2
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message

from interceptors import timestamps
from interceptors.calls import ServerCall
from interceptors.plan import Hook
from services.errors import FxError, Kind, Violation
from services.runtime.fatal import FatalError
from services.runtime.policy import BUILT_IN, MethodPolicy

_violations = protovalidate.Validator().collect_violations

_SENTENCES = {
    text.regex: text.sentence
    for value in patterns_pb2.FieldPattern.DESCRIPTOR.values
    if (text := value.GetOptions().Extensions[patterns_pb2.pattern]).regex
}
"""What a person reads instead of a pattern, from the contracts."""


def server(method: MethodPolicy) -> Hook[ServerCall] | None:
    """Checks with the rules of the request type, compiled now: the first call must not pay for it.

    Raises FatalError when a rule does not compile. Built-in services have no rules and are left out.
    """
    if method.path in BUILT_IN:
        return None
    service = descriptor_pool.Default().FindServiceByName(method.service)
    request = service.methods_by_name[method.method].input_type
    _warm(message_factory.GetMessageClass(request))
    return Hook(check=check if timestamps.any_in(request) else _check_rules)


def check(message: Message) -> None:
    """Raise VALIDATION_FAILED with every violation of `message`."""
    # Times first: a rule that looks at a malformed one fails instead of finding it wrong.
    if wrong := timestamps.violations(message):
        raise _invalid(wrong)
    _check_rules(message)


def _check_rules(message: Message) -> None:
    if found := _violations(message):
        raise _invalid([_violation(each) for each in found])


def _invalid(violations: list[Violation]) -> FxError:
    fields = ", ".join(dict.fromkeys(each.field or "request" for each in violations))
    return FxError(Kind.INVALID_ARGUMENT, "VALIDATION_FAILED", f"invalid: {fields}", tuple(violations))


def _warm(request_type: type[Message]) -> None:
    try:
        _violations(request_type())
    except protovalidate.CompilationError as failure:
        raise FatalError(
            f"a validation rule of {request_type.DESCRIPTOR.full_name} is wrong: {failure}"
        ) from failure


def _violation(found: protovalidate.Violation) -> Violation:
    return Violation(_path(found.proto.field), _sentence(found))


def _sentence(found: protovalidate.Violation) -> str:
    """What is wrong, in words; the rule's own where it has some."""
    proto, rule = found.proto, found.rule_value
    if proto.rule_id == "string.pattern" and rule in _SENTENCES:
        return _SENTENCES[rule]
    if proto.rule_id == "enum.not_in" and not found.field_value:  # always [0]: no choice was made
        return "must be given"
    return proto.message or proto.rule_id


def _path(path: protovalidate.FieldPathPb | None) -> str:
    """`legs[2].price`, `labels["a"]`: how a person would write the field."""
    return "" if path is None else ".".join(_element(each) for each in path.elements)


def _element(element: protovalidate.FieldPathElementPb) -> str:
    if element.subscript is None:
        return element.field_name
    key = element.subscript.value
    return f'{element.field_name}["{key}"]' if isinstance(key, str) else f"{element.field_name}[{key}]"
