"""Requests of every kind for any message of the contracts: plausible, hostile, and bytes that are none.

Built from descriptors alone. A plausible field keeps the pattern of its contract, so that requests get past
the checks and into the handlers; a hostile one is what nobody sends on purpose.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

_F = FieldDescriptor
_DEEPEST = 4
KNOWN = {
    "account_id": ("demo", "nobody"),
    "symbol": ("EURUSD", "USDJPY", "XAUUSD", "ZZZZZZ"),
    "symbols": ("EURUSD", "USDJPY", "ZZZZZZ"),
    "page_token": ("1", "10", "abc", "MTA=", "-1", "9" * 40),
    "timeframe": ("M1", "H1"),
    "currency": ("USD", "EUR", "ZZZ"),
}
"""Values of the served platform, by field name."""
DECIMALS = ("1000", "0", "1.08", "0.0000000001", "999999999999", "999999999999.9999999999", "1.005")
HOSTILE = (
    *("NaN", "Infinity", "-1", "1e5", "1_000", "+1", "0x10", "١٢٣", "１０００", " 1", "1.", ".5", "1" * 400),
    *(
        "",
        " ",
        "\x00",
        "a\nb\r\n",
        "\u202e",
        "𝔘" * 64,
        "'; DROP TABLE orders;--",
        "%s%n{0}${x}",
        "../../x",
        "é" * 600,
    ),
)
_BOUNDS = {
    _F.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    _F.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    _F.CPPTYPE_UINT32: (0, 2**32 - 1),
    _F.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_FLOATS = (0.0, -0.0, 1.5, -1.5, float("nan"), float("inf"), float("-inf"), 1e308, 5e-324)


def requests(descriptor: Descriptor, depth: int = 0) -> st.SearchStrategy[Message]:
    """Messages of a type; each field is left out, plausible or hostile on its own."""

    @st.composite
    def build(draw: st.DrawFn) -> Message:
        message = GetMessageClass(descriptor)()
        for field in descriptor.fields:
            wanted = draw(st.sampled_from(("plausible",) * 7 + ("absent",) * 2 + ("hostile",)))
            if wanted != "absent" and depth < _DEEPEST:
                _fill(draw, message, field, depth, hostile=wanted == "hostile")
        return message

    return build()


def _fill(draw: st.DrawFn, message: Message, field: FieldDescriptor, depth: int, *, hostile: bool) -> None:
    values = _values(field, depth, hostile=hostile)
    if field.is_repeated:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            entries = getattr(message, field.name)
            for entry in draw(st.lists(requests(field.message_type, depth), max_size=3)):
                _put(entries, entry, field.message_type.fields_by_name["value"])
        else:
            most = draw(st.sampled_from((1, 3, 3, 200 if hostile else 3)))
            getattr(message, field.name).extend(draw(st.lists(values, max_size=most)))
    elif field.message_type is not None:
        getattr(message, field.name).CopyFrom(draw(values))
    else:
        setattr(message, field.name, draw(values))


def _put(entries: Any, entry: Any, value: FieldDescriptor) -> None:
    if value.message_type is None:
        entries[entry.key] = entry.value
    else:
        entries[entry.key].CopyFrom(entry.value)


def _values(field: FieldDescriptor, depth: int, *, hostile: bool) -> st.SearchStrategy[Any]:
    kind = field.cpp_type
    if field.message_type is not None:
        return requests(field.message_type, depth + 1)
    if kind == _F.CPPTYPE_BOOL:
        return st.booleans()
    if kind == _F.CPPTYPE_ENUM:
        assert field.enum_type is not None
        known = st.sampled_from([value.number for value in field.enum_type.values])
        return st.sampled_from((-1, 99, 2**31 - 1, -(2**31))) if hostile else known
    if kind in (_F.CPPTYPE_DOUBLE, _F.CPPTYPE_FLOAT):
        return st.sampled_from(_FLOATS) if hostile else st.floats(0, 100, width=32)
    if kind in _BOUNDS:
        least, most = _BOUNDS[kind]
        if hostile:
            return st.sampled_from((least, least + 1, most, most - 1, max(least, -1))) | st.integers(
                least, most
            )
        return st.integers(0, min(most, 500)) | st.integers(1_398_902_400, 1_398_988_800)
    if field.type == _F.TYPE_BYTES:
        return st.binary(max_size=2000 if hostile else 100)
    return st.sampled_from(HOSTILE) | st.text(max_size=300) if hostile else _texts(field)


def _texts(field: FieldDescriptor) -> st.SearchStrategy[str]:
    rules: Any = field.GetOptions().Extensions[validate_pb2.field]
    rules = (rules.repeated.items if field.is_repeated else rules).string
    known = KNOWN.get(field.name)
    if known is not None:
        return st.sampled_from(known)
    if "[0-9]{0,11}" in rules.pattern:
        return st.sampled_from(DECIMALS)
    if rules.pattern:
        return st.sampled_from(("a", "b-1", "demo")) | st.from_regex(rules.pattern, fullmatch=True)
    if getattr(rules, "in"):
        return st.sampled_from(list(getattr(rules, "in")))
    return st.text(max_size=20) | st.sampled_from(("EURUSD", "a"))


def broken(descriptor: Descriptor) -> st.SearchStrategy[bytes]:
    """Bytes that are no message of the type, or hardly one."""

    @st.composite
    def mutated(draw: st.DrawFn) -> bytes:
        data = bytearray(draw(requests(descriptor)).SerializeToString())
        for _ in range(draw(st.integers(1, 4))):
            at = draw(st.integers(0, len(data)))
            data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
        return bytes(data)

    return mutated() | st.binary(max_size=300)


def bombs(descriptor: Descriptor) -> Iterator[bytes]:
    """What is made to break parsers: endless nesting, bad UTF-8, lengths that lie, far too much."""
    yield b"\x0b" * 20_000  # groups in groups
    yield from (_nested(number, 5_000) for number in (1, 15))
    yield b"\x0a\xff\xff\xff\xff\x07"  # two gigabytes, it says
    yield b"\xff" * 32
    for field in descriptor.fields:
        tag = _tag(field.number)
        yield tag + b"\x02\xff\xfe"  # no UTF-8
        yield tag + b"\x05\xed\xa0\x80\xf0\x80"  # surrogate, over-long
        yield tag + _length(300_000) + bytes(300_000)


def _nested(number: int, depth: int) -> bytes:
    data = b""
    for _ in range(depth):
        data = _tag(number) + _length(len(data)) + data
    return data


def _tag(number: int) -> bytes:
    return _length(number << 3 | 2)


def _length(value: int) -> bytes:
    """A varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
