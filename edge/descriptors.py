"""The contracts as one serialized descriptor set, which Envoy's transcoder reads from a file.

Of all options only the REST forms are kept: the transcoder knows nothing of rules and policies, which are
half of the set, and a ConfigMap holds only so much.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.api import annotations_pb2
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from services.runtime.policy import ServicePolicy

# Without these two the transcoder cannot print the details of an error, and answers an empty 400 instead.
_OF_ERRORS = (status_pb2.DESCRIPTOR, error_details_pb2.DESCRIPTOR)
_KEPT: str = annotations_pb2.http.full_name


def descriptor_set(services: tuple[ServicePolicy, ...]) -> bytes:
    """Every file that the services need, each after those it imports; the same bytes every time."""
    pool = descriptor_pool.Default()
    files: dict[str, FileDescriptorProto] = {}
    for service in services:
        _add(pool.FindServiceByName(service.full_name).file, files)
    for file in _OF_ERRORS:
        _add(file, files)
    return FileDescriptorSet(file=files.values()).SerializeToString(deterministic=True)


def _add(file: FileDescriptor, files: dict[str, FileDescriptorProto]) -> None:
    if file.name in files:
        return
    copy = FileDescriptorProto()
    file.CopyToProto(copy)
    unused = {name for options in _options(copy) for name in _stripped(options)}
    wanted = [each for each in file.dependencies if each.name not in unused]
    del copy.dependency[:]
    copy.dependency.extend(each.name for each in wanted)
    for imported in wanted:
        _add(imported, files)
    files[file.name] = copy


def _options(file: FileDescriptorProto) -> Iterator[Message]:
    """All that options of ours may stand on."""
    for service in file.service:
        yield service.options
        yield from (method.options for method in service.method)
    for message in file.message_type:
        yield from _options_in(message)
    for enum in file.enum_type:
        yield enum.options
        yield from (value.options for value in enum.value)


def _options_in(message: DescriptorProto) -> Iterator[Message]:
    yield message.options
    yield from (field.options for field in message.field)
    yield from (oneof.options for oneof in message.oneof_decl)
    for enum in message.enum_type:
        yield enum.options
        yield from (value.options for value in enum.value)
    for nested in message.nested_type:
        yield from _options_in(nested)


def _stripped(options: Message) -> Iterator[str]:
    """Takes extensions off, and yields the names of the files that they came from."""
    option: Any  # its types know no file
    for option, _ in options.ListFields():
        if option.is_extension and option.full_name != _KEPT:
            options.ClearExtension(option)
            yield option.file.name
