"""Every Timestamp of a request is a time that can be computed with and stored.

Protobuf carries any pair of numbers in one: negative nanoseconds, seconds far outside of any calendar. Which
fields of a request lead to one is looked up once per message type.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.errors import Violation
from services.runtime.ruled import reached
from services.wire.times import flaw


def any_in(of: Descriptor) -> bool:
    """Whether a message of this type may hold a time."""
    return bool(_leading(of))


def violations(message: Message) -> list[Violation]:
    """What is wrong with the times of a message, by path."""
    return [
        Violation(path, wrong) for path, value in _times(message, "") if (wrong := flaw(value)) is not None
    ]


def _times(message: Message, prefix: str) -> Iterator[tuple[str, Timestamp]]:
    for field in _leading(message.DESCRIPTOR):
        for path, value in _values(message, field):
            if isinstance(value, Timestamp):
                yield prefix + path, value
            else:
                yield from _times(value, f"{prefix}{path}.")


def _values(message: Message, field: FieldDescriptor) -> Iterator[tuple[str, Any]]:
    """What a field holds, each with how a person would write where it is."""
    if not field.is_repeated:
        if message.HasField(field.name):
            yield field.name, getattr(message, field.name)
    elif _is_map(field):
        for key, value in getattr(message, field.name).items():
            yield (f'{field.name}["{key}"]' if isinstance(key, str) else f"{field.name}[{key}]"), value
    else:
        for index, value in enumerate(getattr(message, field.name)):
            yield f"{field.name}[{index}]", value


@cache
def _leading(of: Descriptor) -> tuple[FieldDescriptor, ...]:
    """The fields of a message type that are times or hold messages with times."""
    return tuple(
        field
        for field in of.fields
        if field.message_type is not None and Timestamp.DESCRIPTOR in reached(field.message_type)
    )


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry
