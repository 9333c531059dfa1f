"""Which message types have rules (`buf.validate`) at all."""

from __future__ import annotations

from functools import cache

from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor


@cache
def has_rules(message: Descriptor) -> bool:
    """True when the type, or something it holds, has rules: checking any other would only take time."""
    return any(map(_is_ruled, reached(message)))


def _is_ruled(message: Descriptor) -> bool:
    return (
        message.GetOptions().HasExtension(validate_pb2.message)
        or any(each.GetOptions().HasExtension(validate_pb2.field) for each in message.fields)
        or any(each.GetOptions().HasExtension(validate_pb2.oneof) for each in message.oneofs)
    )


def reached(start: Descriptor) -> set[Descriptor]:
    """A message type and all that it may hold, however deep; it may hold itself."""
    found, waiting = {start}, [start]
    while waiting:
        held = {each.message_type for each in waiting.pop().fields if each.message_type is not None}
        waiting += held - found
        found |= held
    return found
