"""Single values of the proto3 JSON mapping: what a number, a text or an enum may look like."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor

_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,19}")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_NO_NUMBERS = ("NaN", "Infinity", "-Infinity")
_LARGEST_FLOAT: Final = 3.4028234663852886e38

_F = FieldDescriptor
_RANGES: Mapping[int, tuple[int, int]] = {
    **dict.fromkeys((_F.TYPE_INT32, _F.TYPE_SINT32, _F.TYPE_SFIXED32), (-(2**31), 2**31 - 1)),
    **dict.fromkeys((_F.TYPE_INT64, _F.TYPE_SINT64, _F.TYPE_SFIXED64), (-(2**63), 2**63 - 1)),
    **dict.fromkeys((_F.TYPE_UINT32, _F.TYPE_FIXED32), (0, 2**32 - 1)),
    **dict.fromkeys((_F.TYPE_UINT64, _F.TYPE_FIXED64), (0, 2**64 - 1)),
}


def wrong_scalar(field: FieldDescriptor, value: Any, *, as_text: bool = False) -> str:
    """What is wrong with `value` for a single value of `field`; empty: nothing.

    `as_text`: from a query or the key of a map, where numbers and booleans are texts too.
    """
    meant = _from_text(field, value) if as_text else value
    if field.type in _RANGES:
        return _whole(meant, *_RANGES[field.type])
    return _CHECKS[field.type](field, meant)


def _from_text(field: FieldDescriptor, text: str) -> Any:
    """The JSON value that a text stands for where JSON would need no quotes; else the text."""
    if field.type == _F.TYPE_BOOL:
        return {"true": True, "false": False}.get(text, text)
    if field.enum_type and _WHOLE.fullmatch(text):  # Envoy takes no other number from a text
        return int(text) if int(text) in field.enum_type.values_by_number else text
    return text


def _whole(value: Any, least: int, most: int) -> str:
    if (isinstance(value, str) and _WHOLE.fullmatch(value)) or (
        isinstance(value, float) and value.is_integer()
    ):
        number = int(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        return "must be a whole number"
    return "" if least <= number <= most else f"must be from {least} to {most}"


def _real(field: FieldDescriptor, value: Any) -> str:
    if isinstance(value, str):
        if value in _NO_NUMBERS:
            return ""  # part of the mapping; the rules of the contract decide
        if not _NUMBER.fullmatch(value):
            return "must be a number"
    elif isinstance(value, bool) or not isinstance(value, int | float):
        return "must be a number"
    try:
        size = abs(float(value))
    except OverflowError:
        return "is too large"
    if math.isinf(size) or (field.type == _F.TYPE_FLOAT and size > _LARGEST_FLOAT):
        return "is too large"
    return ""


def _bool(_: FieldDescriptor, value: Any) -> str:
    return "" if isinstance(value, bool) else "must be true or false"


def _text(_: FieldDescriptor, value: Any) -> str:
    if not isinstance(value, str):
        return "must be a JSON string"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "holds half a character"
    return ""


def _bytes(_: FieldDescriptor, value: Any) -> str:
    try:
        base64.b64decode(value.translate(_URL_SAFE) + "=" * (-len(value) % 4), validate=True)
    except (ValueError, TypeError, AttributeError):
        return "must be base64"
    return ""


_URL_SAFE = str.maketrans("-_", "+/")


def _enum(field: FieldDescriptor, value: Any) -> str:
    names = field.enum_type.values_by_name if field.enum_type else {}
    if isinstance(value, str):
        return "" if value in names else f"must be one of {', '.join(names)}"
    return _whole(value, -(2**31), 2**31 - 1)  # open enums: the rules of the contract decide about it


_CHECKS: Mapping[int, Callable[[FieldDescriptor, Any], str]] = {
    _F.TYPE_DOUBLE: _real,
    _F.TYPE_FLOAT: _real,
    _F.TYPE_BOOL: _bool,
    _F.TYPE_STRING: _text,
    _F.TYPE_BYTES: _bytes,
    _F.TYPE_ENUM: _enum,
}
