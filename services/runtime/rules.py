"""Field rules of the contracts (`buf.validate`), and what breaks them in words.

Requests are checked by the mesh before a handler runs (`interceptors/validation.py`), events by the bus
(`bus/handling.py`).
"""

from __future__ import annotations

import protovalidate
from fxmesh.policy.v1 import patterns_pb2
from google.protobuf.message import Message

from services.errors import Violation
from services.runtime.plain_rules import surely_kept

_SENTENCES = {
    text.regex: text.sentence
    for value in patterns_pb2.FieldPattern.DESCRIPTOR.values
    if (text := value.GetOptions().Extensions[patterns_pb2.pattern]).regex
}
"""What a person reads instead of a pattern, from the contracts."""
_collect = protovalidate.Validator().collect_violations  # the module's own function makes a lookup a call


def violations(message: Message) -> tuple[Violation, ...]:
    """Every rule that a message breaks, none when it is good. Raises protovalidate's CompilationError for a
    rule that is wrong itself.
    """
    return () if surely_kept(message) else asked(message)


def asked(message: Message) -> tuple[Violation, ...]:
    """The same from the library alone."""
    found = _collect(message)
    return tuple(map(_violation, found)) if found else ()


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
