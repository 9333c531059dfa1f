"""What the contracts say of an event: its stream, its key and its identity, read from the policy on the
message.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from typing import Any

from fxmesh.policy.v1 import policy_pb2
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from services.errors import FxError, Kind, invalid_field
from services.runtime.bus.naming import Retention, Stream, is_key, subject
from services.runtime.fatal import FatalError

_RETENTION = {
    policy_pb2.RETENTION_CLASS_MARKET: Retention.MARKET,
    policy_pb2.RETENTION_CLASS_DECISION: Retention.DECISION,
    policy_pb2.RETENTION_CLASS_MONEY: Retention.MONEY,
    policy_pb2.RETENTION_CLASS_OPERATIONS: Retention.OPERATIONS,
}
_ENUM_PREFIX = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# An id travels as a header and in logs: visible ASCII, and short enough for both.
_ID = re.compile(r"[\x21-\x7e]{1,256}").fullmatch

_Read = Callable[[Message], str]


@dataclass(frozen=True, slots=True)
class Address:
    """Where one event goes and what it is called. `id` is the same each time the same thing happened."""

    subject: str
    key: str
    id: str


@dataclass(frozen=True, slots=True)
class EventType:
    """One kind of event. `name` is the full message name."""

    name: str
    stream: Stream
    key_field: str
    id_fields: tuple[str, ...]
    _key: _Read
    _ids: tuple[_Read, ...]

    def address(self, event: Message) -> Address:
        """Subject, key and id of an event of this type.

        The id begins with the full message name: a stream compares ids only, and a run that started and the
        same run completed have the same id fields. Raises FxError INVALID_ARGUMENT when a part is missing or
        has odd characters.
        """
        key = self._key(event)
        if not is_key(key):
            raise invalid_field(
                "VALIDATION_FAILED",
                self.key_field,
                f"{key!r} cannot be the key of {self.name}: [A-Za-z0-9_-]{{1,64}}",
            )
        parts = [read(event) for read in self._ids]
        identity = "/".join((self.name, *parts))
        if "" in parts or _ID(identity) is None:
            raise FxError(
                Kind.INVALID_ARGUMENT,
                "VALIDATION_FAILED",
                f"{self.name} cannot be identified by {', '.join(self.id_fields)}: {identity!r}",
            )
        return Address(subject(self.name, self.stream.retention, key), key, identity)


@cache
def event_type(descriptor: Descriptor) -> EventType:
    """What the contracts say of a message. Raises FatalError when it has no event policy or a wrong one."""
    name = descriptor.full_name
    options = descriptor.GetOptions()
    if not options.HasExtension(policy_pb2.event):
        raise FatalError(f"{name} is no event: add option (fxmesh.policy.v1.event) to it in its .proto")
    policy = options.Extensions[policy_pb2.event]
    retention = _RETENTION.get(policy.retention)
    package = name.split(".")
    if retention is None or not policy.key_field or not policy.id_fields:
        raise FatalError(f"the event policy of {name} needs a retention class, a key_field and id_fields")
    if len(package) != 4 or package[0] != "fxmesh":
        raise FatalError(f"event {name} must live in a package fxmesh.<area>.<version>")
    return EventType(
        name=name,
        stream=Stream(package[1], retention),
        key_field=policy.key_field,
        id_fields=tuple(policy.id_fields),
        _key=_reader(descriptor, policy.key_field),
        _ids=tuple(_reader(descriptor, field) for field in policy.id_fields),
    )


def event_type_named(full_name: str) -> EventType:
    """The same by full message name, importing its module if need be. Raises FatalError for no event."""
    pool = descriptor_pool.Default()
    try:
        return event_type(pool.FindMessageTypeByName(full_name))
    except KeyError:
        # Contracts keep their events in <package>/events.proto; its module registers the descriptors.
        module = f"{full_name.rpartition('.')[0]}.events_pb2"
        try:
            importlib.import_module(module)
            return event_type(pool.FindMessageTypeByName(full_name))
        except (ImportError, KeyError) as missing:
            raise FatalError(f"event {full_name} has no contract (looked in module {module})") from missing


def _reader(descriptor: Descriptor, path: str) -> _Read:
    """Reads a scalar field, `a.b` inside a message field, as text. Raises FatalError where there is none."""
    message = descriptor
    *outer, last = path.split(".")
    for step in outer:
        field = message.fields_by_name.get(step)
        if field is None or field.message_type is None:
            raise FatalError(f"the event policy of {descriptor.full_name} names {path}, which is not there")
        message = field.message_type
    field = message.fields_by_name.get(last)
    if field is None or field.is_repeated or field.message_type is not None:
        raise FatalError(f"the event policy of {descriptor.full_name} names {path}, which is no single value")
    get = attrgetter(path)
    text = _text_of(field)
    return lambda event: text(get(event))


def _text_of(field: FieldDescriptor) -> Callable[[Any], str]:
    if field.enum_type is None:
        return str
    # TIMEFRAME_M1 of enum Timeframe reads M1, as everywhere else outside the contracts.
    prefix = _ENUM_PREFIX.sub("_", field.enum_type.name).upper() + "_"
    names = {value.number: value.name.removeprefix(prefix) for value in field.enum_type.values}
    return lambda number: names.get(number, str(number))


def message_class(full_name: str) -> type[Message]:
    """The generated class of an event by full message name. Raises FatalError when there is none."""
    event_type_named(full_name)
    return GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(full_name))
