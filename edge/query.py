"""Holds the query of a URL against a message type, as strictly as a body."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from edge import body
from edge.scalars import wrong_scalar
from services.errors import Violation

_MOST_VALUES = 1000


def parse(text: str) -> list[tuple[str, str | None]]:
    """The parameters in order; None for one without `=`. Raises FxError MALFORMED_REQUEST."""
    parts = [part for part in text.split("&") if part] if text else []
    if len(parts) > _MOST_VALUES:
        raise body.malformed(f"the query has more than {_MOST_VALUES} parameters")
    found: list[tuple[str, str | None]] = []
    for part in parts:
        name, equals, value = part.partition("=")
        try:
            found.append((name, unquote(value, errors="strict") if equals else None))
        except UnicodeDecodeError:
            raise body.malformed(f"the value of {name} in the query is not UTF-8") from None
    return found


def violations(parameters: list[tuple[str, str | None]], message: Descriptor) -> Iterator[Violation]:
    """Everything about the parameters that does not fit `message`."""
    seen: dict[str, set[str]] = {}
    for name, value in parameters:
        fields = _fields(message, name)
        if not fields:
            yield body.unknown(message, name, name)
            continue
        path = ".".join(field.name for field in fields)
        wrong = _against_others(fields, seen) or _wrong(fields[-1], value)
        if wrong:
            yield Violation(path, wrong)


def _fields(message: Descriptor, name: str) -> tuple[FieldDescriptor, ...]:
    """The fields on the way of `a.b.c`, either spelling of each; empty where there is none."""
    first, _, rest = name.partition(".")
    field = body.find_field(message, first)
    if field is None or not rest:
        return () if field is None else (field,)
    inner = field.message_type
    if inner is None or field.is_repeated or body.has_text_form(inner):
        return ()
    further = _fields(inner, rest)
    return (field, *further) if further else ()


def _against_others(fields: tuple[FieldDescriptor, ...], seen: dict[str, set[str]]) -> str:
    """What is wrong beside the parameters before it. `seen`: names given so far, by the path they are in."""
    parent = ""
    for field in fields:
        siblings = seen.setdefault(parent, set())
        if other := body.rival(field, siblings):
            return f"cannot be given together with {other}"
        if field is fields[-1] and not field.is_repeated and field.name in siblings:
            return "is given twice"
        siblings.add(field.name)
        parent = f"{parent}{field.name}."
    return ""


def _wrong(field: FieldDescriptor, value: str | None) -> str:
    if value is None:  # Envoy would leave it out
        return "has no value"
    message = field.message_type
    if message is None:
        return wrong_scalar(field, value, as_text=True)
    if body.has_text_form(message):
        return body.wrong_form(message, value)
    return "cannot be given in a query"
