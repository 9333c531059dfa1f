"""Values as plain JSON data and back, for the journal and for stored answers.

Only what the domain's dataclasses are made of: whole numbers, text, booleans, None, enums, tuples and each
other. A float is refused, so none can slip into a stored amount.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, TypeAlias, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from services.errors import VALIDATION_FAILED, invalid_field

_COLUMN = range(-(2**63), 2**63)
"""What a column holds of whole numbers."""
_AS_IT_IS = (bool, int, str)
T = TypeVar("T")


def dump(value: object) -> str:
    """JSON text of a dataclass, its fields in the order of the class."""
    return json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False)


def load(cls: type[T], text: str) -> T:
    """The dataclass of which `dump` made this text. Raises ValueError for anything else."""
    loaded: T = _reader(cast("Hashable", cls))(json.loads(text))
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
    if value is None or isinstance(value, Enum):
        return None
    parts: list[tuple[str, object]] = []
    if isinstance(value, tuple):
        parts = [(f"[{index}]", each) for index, each in enumerate(value)]
    elif is_dataclass(value) and not isinstance(value, type):
        parts = [(f".{name}", getattr(value, name)) for name in _names(type(value))]
    for name, each in parts:
        deeper = _unstorable(each)
        if deeper is not None:
            return name + deeper[0], deeper[1]
    return None


def _plain(value: object) -> object:
    if value is None or isinstance(value, _AS_IT_IS):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(getattr(value, name)) for name in _names(type(value))}
    raise ValueError(f"not a stored kind of value: {type(value).__name__}")


_Reader: TypeAlias = Callable[[Any], Any]


@lru_cache(maxsize=512)
def _reader(kind: Any) -> _Reader:
    """Makes values of one kind from plain data. Looking at the kind takes longer than reading: done once."""
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        some = _reader(_some(kind))
        return lambda plain: None if plain is None else some(plain)
    if origin is tuple:
        return _tuple_reader(*get_args(kind))
    if isinstance(kind, type) and is_dataclass(kind):
        parts = {name: _reader(hint) for name, hint in get_type_hints(kind).items()}
        return lambda plain: kind(**{name: parts[name](part) for name, part in plain.items()})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    return lambda plain: _exactly(kind, plain)


def _tuple_reader(*kinds: Any) -> _Reader:
    readers = [_reader(each) for each in kinds if each is not Ellipsis]
    if kinds[-1] is Ellipsis:
        return lambda plain: tuple(readers[0](part) for part in plain)
    return lambda plain: tuple(read(part) for read, part in zip(readers, plain, strict=True))


def _exactly(kind: type, plain: object) -> object:
    if type(plain) is not kind:
        raise ValueError(f"expected {kind}, not {plain!r}")
    return plain


def _some(kind: Any) -> Any:
    """X of `X | None`, the only union that values have."""
    (some,) = (each for each in get_args(kind) if each is not NoneType)
    return some


@lru_cache(maxsize=64)
def _names(kind: type) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind))
