"""Holds a JSON value against a message type: what the transcoder would drop or guess is a violation.

The rules of the proto3 JSON mapping, with both spellings of a field's name, and nothing beyond: no unknown
field, no field twice, no value of another type. Each finding names its field as the services' own do.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NoReturn

from google.protobuf import duration_pb2, field_mask_pb2, timestamp_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from edge.scalars import wrong_scalar
from services.errors import FxError, Kind, Violation

_MOST = 20
"""Violations told of one request."""
_ANY_TEXT = re.compile(r".*", re.DOTALL)
# Python takes more than the mapping (`1_0s`, ` 1s`, `2026-1-2`), and cuts what is below a nanosecond.
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
)
_SPAN = re.compile(r"-?[0-9]+(\.[0-9]{1,9})?s")
_FORMS: Mapping[str, tuple[type[Any], re.Pattern[str], str]] = {
    timestamp_pb2.Timestamp.DESCRIPTOR.full_name: (
        timestamp_pb2.Timestamp,
        _TIME,
        'must be a time, as "2026-01-02T03:04:05Z"',
    ),
    duration_pb2.Duration.DESCRIPTOR.full_name: (
        duration_pb2.Duration,
        _SPAN,
        'must be a duration, as "1.5s"',
    ),
    field_mask_pb2.FieldMask.DESCRIPTOR.full_name: (
        field_mask_pb2.FieldMask,
        _ANY_TEXT,
        'must be field names, as "size,price"',
    ),
}
_FREE = {"google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue"}


class Twice(dict[str, Any]):
    """An object in which a name came more than once; `names` are those."""

    names: tuple[str, ...] = ()


def parse(text: bytes) -> Any:
    """The JSON value of a body; an empty one is an empty object. Raises FxError MALFORMED_REQUEST."""
    if not text.strip():
        return {}
    try:
        return json.loads(text.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_number)
    except RecursionError:
        raise malformed("the body is nested too deeply") from None
    except UnicodeDecodeError:
        raise malformed("the body is not UTF-8") from None
    except json.JSONDecodeError as wrong:
        raise malformed(
            f"the body is not JSON: {wrong.msg} at line {wrong.lineno}, column {wrong.colno}"
        ) from None
    except ValueError as wrong:  # a number beyond any use, or NaN
        raise malformed(f"the body is not JSON: {str(wrong)[:100]}") from None


def malformed(sentence: str) -> FxError:
    """The refusal of a request that cannot be read at all."""
    return FxError(Kind.INVALID_ARGUMENT, "MALFORMED_REQUEST", sentence)


def violations(value: Any, message: Descriptor) -> tuple[Violation, ...]:
    """Everything about `value` that does not fit `message`, up to a bound."""
    found: list[Violation] = []
    for each in _message(value, message, ""):
        found.append(each)
        if len(found) == _MOST:
            break
    return tuple(found)


def find_field(message: Descriptor, name: str) -> FieldDescriptor | None:
    """The field of that name, in either spelling."""
    field: FieldDescriptor | None = message.fields_by_name.get(name) or message.fields_by_camelcase_name.get(
        name
    )
    return field


def unknown(message: Descriptor, name: str, path: str) -> Violation:
    """The violation for a name that no field has."""
    near = difflib.get_close_matches(name, [field.name for field in message.fields], n=1)
    hint = f": did you mean {near[0]}?" if near else ""
    return Violation(path, f"{message.name} has no such field{hint}")


def _message(value: Any, message: Descriptor, path: str) -> Iterator[Violation]:
    if not isinstance(value, dict):
        yield Violation(path, "must be a JSON object")
        return
    seen: set[str] = set()
    for name in value.names if isinstance(value, Twice) else ():
        yield Violation(_joined(path, name), "is given twice")
    for name, inner in value.items():
        here = _joined(path, name)
        field = find_field(message, name)
        if field is None:
            yield unknown(message, name, here)
        elif field.name in seen:
            yield Violation(_joined(path, field.name), "is given twice")
        elif inner is not None and (other := rival(field, seen)):
            yield Violation(_joined(path, field.name), f"cannot be given together with {other}")
        else:
            seen.add(field.name)
            yield from _field(inner, field, _joined(path, field.name))


def rival(field: FieldDescriptor, seen: Collection[str]) -> str:
    """The name in `seen` of another member of the field's oneof: only one of them would count."""
    oneof = field.containing_oneof
    others = () if oneof is None else (each.name for each in oneof.fields)
    return next((name for name in others if name in seen and name != field.name), "")


def _field(value: Any, field: FieldDescriptor, path: str) -> Iterator[Violation]:
    if value is None:  # the mapping's way to leave a field out
        return
    if is_map(field):
        yield from _map(value, field, path)
    elif field.is_repeated:
        if not isinstance(value, list):
            yield Violation(path, "must be a JSON array")
            return
        for number, each in enumerate(value):
            yield from _single(each, field, f"{path}[{number}]")
    else:
        yield from _single(value, field, path)


def _map(value: Any, field: FieldDescriptor, path: str) -> Iterator[Violation]:
    if not isinstance(value, dict):
        yield Violation(path, "must be a JSON object")
        return
    for name in value.names if isinstance(value, Twice) else ():
        yield Violation(f'{path}["{name}"]', "is given twice")
    assert field.message_type is not None  # a map's entry
    key, inner = (field.message_type.fields_by_name[each] for each in ("key", "value"))
    for name, each in value.items():
        here = f'{path}["{name}"]'
        wrong = wrong_scalar(key, name, as_text=True)
        if wrong:
            yield Violation(here, f"its key {wrong}")
        yield from _single(each, inner, here)


def _single(value: Any, field: FieldDescriptor, path: str) -> Iterator[Violation]:
    message = field.message_type
    if message is None:
        wrong = wrong_scalar(field, value)
    elif message.full_name in _FREE:
        return
    elif message.full_name in _FORMS:
        wrong = wrong_form(message, value)
    elif message.full_name.startswith("google.protobuf.") and message.full_name.endswith("Value"):
        wrong = wrong_scalar(message.fields_by_name["value"], value)  # a wrapper
    else:
        yield from _message(value, message, path)
        return
    if wrong:
        yield Violation(path, wrong)


def wrong_form(message: Descriptor, value: Any) -> str:
    """What is wrong with the text of a time, a duration or a field mask; empty: nothing."""
    kind, form, sentence = _FORMS[message.full_name]
    if not isinstance(value, str) or not form.fullmatch(value):
        return sentence
    try:
        kind().FromJsonString(value)
    except (ValueError, OverflowError):
        return sentence
    return ""


def has_text_form(message: Descriptor) -> bool:
    """True for a message type whose JSON is a text."""
    return message.full_name in _FORMS


def is_map(field: FieldDescriptor) -> bool:
    """True for a `map<…>` field."""
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _object(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    names = [name for name, _ in pairs]
    doubled = Twice(found)
    doubled.names = tuple(dict.fromkeys(name for name in names if names.count(name) > 1))
    return doubled


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")
