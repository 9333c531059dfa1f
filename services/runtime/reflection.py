"""Reflection: what grpcio-reflection leaves out, so that any client can ask for anything by name.

It answers `grpc.reflection.v1alpha` only, where newer clients ask for `v1` first: the same messages under
another name. And protobuf's pool does not find the file of a method by its name, so that
`grpcurl describe package.Service.Method` was told there is no such symbol.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

V1ALPHA = reflection.SERVICE_NAME
V1 = V1ALPHA.replace("v1alpha", "v1")
NAMES = (V1, V1ALPHA)


class _Pool:
    """The default pool, which also finds the file of a method."""

    def __init__(self) -> None:
        self._default = descriptor_pool.Default()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._default, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802  # protobuf's name
        """Raises KeyError when nothing is called so."""
        service, _, method = symbol.rpartition(".")
        try:
            return self._default.FindServiceByName(service).methods_by_name[method].containing_service.file
        except KeyError:
            return self._default.FindFileContainingSymbol(symbol)


def servicer(services: Iterable[str]) -> reflection.aio.ReflectionServicer:
    """Reflection over the services named, and over itself."""
    return reflection.aio.ReflectionServicer(
        (*services, *NAMES), pool=cast("descriptor_pool.DescriptorPool", _Pool())
    )


def add_to_server(servicer: Any, server: Any) -> None:
    """Register both versions."""
    _describe_v1()
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_registered_method_handlers(V1, {"ServerReflectionInfo": handler})


def _describe_v1() -> None:
    """Make the contract of v1 known: a client that describes everything asks for it too."""
    pool = descriptor_pool.Default()
    try:
        pool.FindServiceByName(V1)
    except KeyError:
        file = descriptor_pb2.FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(file)
        text = text_format.MessageToString(file).replace("v1alpha", "v1")
        pool.AddSerializedFile(
            text_format.Parse(text, descriptor_pb2.FileDescriptorProto()).SerializeToString()
        )
