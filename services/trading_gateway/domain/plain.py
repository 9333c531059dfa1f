"""Values as plain JSON data and back, for the journal and for stored answers.

Only what the domain's dataclasses are made of: whole numbers, text, booleans, None, enums, tuples and each
other. A float is refused, so none can slip into a stored amount.
"""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from services.errors import VALIDATION_FAILED, invalid_field

_COLUMN = range(-(2**63), 2**63)
"""What a column holds of whole numbers."""
T = TypeVar("T")


def dump(value: object) -> str:
    """JSON text of a dataclass, its fields in the order of the class."""
    return json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False)


def load(cls: type[T], text: str) -> T:
    """The dataclass of which `dump` made this text. Raises ValueError for anything else."""
    loaded: T = _value(cls, json.loads(text))
    return loaded


def require_storable(value: object) -> None:
    """Raises FxError INVALID_ARGUMENT `VALIDATION_FAILED` with the field that no column could hold.

    Asked before an input is applied: found by the store, the books would be ahead of it already.
    """
    found = _unstorable(value)
    if found is not None:
        path, why = found
        raise invalid_field(VALIDATION_FAILED, path.removeprefix("."), why)


def _unstorable(value: object) -> tuple[str, str] | None:
    """Where the fault is, and what it is."""
    if isinstance(value, int):
        return None if value in _COLUMN else ("", "is too large to be stored")
    if isinstance(value, str):
        return ("", "holds a NUL character, which cannot be stored") if "\0" in value else None
    parts: list[tuple[str, object]] = []
    if isinstance(value, tuple):
        parts = [(f"[{index}]", each) for index, each in enumerate(value)]
    elif is_dataclass(value):
        parts = [(f".{each.name}", getattr(value, each.name)) for each in fields(value)]
    found = ((name, _unstorable(each)) for name, each in parts)
    return next(((name + deeper[0], deeper[1]) for name, deeper in found if deeper is not None), None)


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    raise ValueError(f"not a stored kind of value: {type(value).__name__}")


def _value(kind: Any, plain: Any) -> Any:
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return None if plain is None else _value(_some(kind), plain)
    if origin is tuple:
        inner = get_args(kind)
        kinds = [inner[0]] * len(plain) if inner[-1] is Ellipsis else inner
        return tuple(_value(each, part) for each, part in zip(kinds, plain, strict=True))
    if isinstance(kind, type) and is_dataclass(kind):
        hints = _hints(kind)
        return kind(**{name: _value(hints[name], part) for name, part in plain.items()})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(plain)
    if type(plain) is not kind:
        raise ValueError(f"expected {kind}, not {plain!r}")
    return plain


def _some(kind: Any) -> Any:
    """X of `X | None`, the only union that values have."""
    (some,) = (each for each in get_args(kind) if each is not NoneType)
    return some


@lru_cache(maxsize=64)
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
