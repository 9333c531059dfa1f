"""Messages seen to be good without asking the library that knows every rule.

Nearly every message keeps its rules, and most rules of the contracts are plain: a pattern, a length, a range.
protovalidate takes 2 µs for a small one in a loop, and ten times that between all else that a served call
does, since its code and theirs displace each other in the processor's caches. So the plain rules are compiled
to a few comparisons. These never find a message bad: where one does not hold, or a rule is of a kind not
known here, the library decides (`rules.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping
from functools import cache, reduce
from math import isfinite
from typing import Any, TypeAlias, cast

from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, OneofDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from services.runtime.ruled import has_rules

Kept: TypeAlias = Callable[[Any], object]
"""What it gives is true where a value surely keeps its rules."""
Plain: TypeAlias = dict[Descriptor, "_Plain"]
"""Types compiled so far, or being compiled: a type may hold itself."""

MOST_ITEMS = 16
"""Through a longer list of messages the library goes faster than comparisons do here."""

_NANOS = 1_000_000_000
_INEXACT = (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE)
_PATTERN = re.compile(r"\^((?:[^\\^$]|\\\.)+)\$")
"""A whole text, in syntax that means the same to Python and to the library."""


class _OtherRuleError(Exception):
    """A rule that only the library knows."""


class _Plain:
    """The rules of one message type."""

    def __init__(self) -> None:
        self._checks: dict[FieldDescriptor, Kept] = {}
        """Of what may be given and has rules, or holds what has some."""
        self._needed: set[FieldDescriptor] = set()
        """What breaks a rule when it is not given."""
        self._choices: tuple[frozenset[FieldDescriptor], ...] = ()
        """Of each of these one must be given."""

    def compile(self, of: Descriptor, plain: Plain) -> None:
        """Raises _OtherRuleError."""
        if of.GetOptions().HasExtension(validate_pb2.message):
            raise _OtherRuleError
        for field in of.fields:
            self._add(field, field.GetOptions().Extensions[validate_pb2.field], plain)
        self._choices = tuple(frozenset(each.fields) for each in of.oneofs if _must_be_made(each))

    def _add(self, field: FieldDescriptor, rules: validate_pb2.FieldRules, plain: Plain) -> None:
        if rules.ignore == validate_pb2.IGNORE_ALWAYS:
            return
        check = _of_many(field, rules, plain) if field.is_repeated else _of_one(field, rules, plain)
        if check is not None:
            self._checks[field] = check
        ignored = field.has_presence or rules.ignore == validate_pb2.IGNORE_IF_ZERO_VALUE
        if rules.required or not (ignored or check is None or check(_zero(field))):
            self._needed.add(field)

    def keeps(self, message: Message) -> bool:
        """See `surely_kept`."""
        given = message.ListFields()
        checks = self._checks
        for field, value in given:
            check = checks.get(field)
            if check is not None and not check(value):
                return False
        if not self._needed and not self._choices:
            return True
        names = dict(given).keys()
        return self._needed <= names and not any(map(names.isdisjoint, self._choices))


def surely_kept(message: Message) -> bool:
    """True when a message keeps its rules. False when it does not, or that cannot be told here."""
    keeps = compiled(message.DESCRIPTOR)
    return keeps is not None and bool(keeps(message))


@cache
def compiled(of: Descriptor) -> Kept | None:
    """The comparisons of a type; None when a rule of it, or of what it may hold, is known to the library
    alone.
    """
    try:
        return _compiled(of, {})
    except _OtherRuleError:
        return None


def _compiled(of: Descriptor, plain: Plain) -> Kept:
    if of not in plain:
        plain[of] = _Plain()
        plain[of].compile(of, plain)
    return plain[of].keeps


def _of_one(field: FieldDescriptor, rules: validate_pb2.FieldRules, plain: Plain) -> Kept | None:
    """The check of a field that is not repeated, or of an item of one."""
    kind = rules.WhichOneof("type")
    _only(rules, {"required", "ignore", *((kind,) if kind else ())})
    held = field.message_type
    if held is None:
        return None if kind is None else _all(_makers(kind, field), getattr(rules, kind))
    if kind == "duration" and held is Duration.DESCRIPTOR:
        return _all(_DURATION, rules.duration)
    if kind is not None:
        raise _OtherRuleError
    return _compiled(held, plain) if has_rules(held) else None


def _of_many(field: FieldDescriptor, rules: validate_pb2.FieldRules, plain: Plain) -> Kept | None:
    _only(rules, {"required", "ignore", "repeated", "map"})
    held = field.message_type
    if held is not None and held.GetOptions().map_entry:
        return _of_map(held, rules.map, plain)
    _only(rules.repeated, {"min_items", "max_items", "items", "unique"})
    least, most = _bounds(rules.repeated, "min_items", "max_items")
    item = _of_one(field, rules.repeated.items, plain)
    if item is None and not rules.repeated.ListFields():
        return None
    if item is not None and held is not None:
        most = min(most, MOST_ITEMS)
    checks: list[Kept] = [lambda items: least <= len(items) <= most]
    if item is not None:
        checks.append(lambda items: all(map(item, items)))
    if rules.repeated.unique:
        if held is not None or field.cpp_type in _INEXACT:
            raise _OtherRuleError
        checks.append(lambda items: len(set(items)) == len(items))
    return reduce(_both, checks)


def _of_map(entry: Descriptor, rules: validate_pb2.MapRules, plain: Plain) -> Kept | None:
    _only(rules, {"min_pairs", "max_pairs", "keys", "values"})
    least, most = _bounds(rules, "min_pairs", "max_pairs")
    key = _of_one(entry.fields_by_name["key"], rules.keys, plain) or _any
    value = _of_one(entry.fields_by_name["value"], rules.values, plain) or _any
    if key is value is _any and not rules.ListFields():
        return None
    return lambda pairs: (
        least <= len(pairs) <= most and all(key(name) and value(each) for name, each in pairs.items())
    )


def _all(makers: Mapping[str, Callable[[Any], Kept]], rules: Message) -> Kept:
    """Every rule that is given, by the maker of its name."""
    _only(rules, makers.keys())
    checks = [makers[rule.name](value) for rule, value in rules.ListFields()]
    return reduce(_both, checks) if checks else _any


def _only(rules: Message, known: Container[str]) -> None:
    if any(rule.is_extension or rule.name not in known for rule, _ in rules.ListFields()):
        raise _OtherRuleError


def _bounds(rules: Message, least: str, most: str) -> tuple[int, float]:
    """How many there may be."""
    return getattr(rules, least), getattr(rules, most) if rules.HasField(most) else float("inf")


def _must_be_made(choice: OneofDescriptor) -> bool:
    return bool(choice.GetOptions().Extensions[validate_pb2.oneof].required)


def _zero(field: FieldDescriptor) -> Any:
    """What is there when a field is not given that has no presence."""
    return {} if field.is_repeated else field.default_value


def _any(_: object) -> bool:
    return True


def _both(one: Kept, other: Kept) -> Kept:
    return lambda value: one(value) and other(value)


def _matches(pattern: str) -> Kept:
    plain = _PATTERN.fullmatch(pattern)
    if plain is None:
        raise _OtherRuleError
    return re.compile(plain[1], re.ASCII).fullmatch


def _among(values: Iterable[Any]) -> Kept:
    return frozenset(values).__contains__


def _not_among(values: Iterable[Any]) -> Kept:
    wrong = frozenset(values)
    return lambda value: value not in wrong


def _span(given: Duration) -> int:
    return given.seconds * _NANOS + given.nanos


def _makers(kind: str, field: FieldDescriptor) -> Mapping[str, Callable[[Any], Kept]]:
    """What the rules of a kind compile to, by name."""
    if kind == "enum":
        defined = _among(cast("EnumDescriptor", field.enum_type).values_by_number)
        return {**_SETS, "defined_only": lambda asked: defined if asked else _any}
    return _NUMBERS if kind in _NUMBER_KINDS else _SIZED.get(kind, {})


_SETS: Mapping[str, Callable[[Any], Kept]] = {"in": _among, "not_in": _not_among}
_NUMBER_KINDS = frozenset({"int32", "int64", "uint32", "uint64", "float", "double"})
_NUMBERS: Mapping[str, Callable[[Any], Kept]] = {
    **_SETS,
    "gt": lambda bound: lambda value: value > bound,
    "gte": lambda bound: lambda value: value >= bound,
    "lt": lambda bound: lambda value: value < bound,
    "lte": lambda bound: lambda value: value <= bound,
    "finite": lambda asked: isfinite if asked else _any,
}
_LENGTHS: Mapping[str, Callable[[Any], Kept]] = {
    "len": lambda bound: lambda value: len(value) == bound,
    "min_len": lambda bound: lambda value: len(value) >= bound,
    "max_len": lambda bound: lambda value: len(value) <= bound,
}
_SIZED: Mapping[str, Mapping[str, Callable[[Any], Kept]]] = {
    "string": {**_LENGTHS, **_SETS, "pattern": _matches},
    "bytes": _LENGTHS,
}
_DURATION: Mapping[str, Callable[[Any], Kept]] = {
    "gt": lambda bound: lambda value: _span(value) > _span(bound),
    "gte": lambda bound: lambda value: _span(value) >= _span(bound),
    "lt": lambda bound: lambda value: _span(value) < _span(bound),
    "lte": lambda bound: lambda value: _span(value) <= _span(bound),
}
