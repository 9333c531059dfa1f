"""What a server refuses to register, and what it does with handlers the servicer does not have."""

from __future__ import annotations

from typing import Any, cast

import grpc
import pytest

from interceptors.server import Registrar
from services.errors import FxError
from services.runtime.fatal import FatalError
from tests.fakes.echo import SERVICE, service_pb2, service_pb2_grpc
from tests.fakes.echo.service import EchoServicer, Request
from tests.interceptors.conftest import Echo, Serve, outside

METHODS = service_pb2.DESCRIPTOR.services_by_name[SERVICE.rpartition(".")[2]].methods


class Sink:
    def __init__(self) -> None:
        self.paths: list[str] = []

    def add_registered_method_handlers(self, service_name: str, method_handlers: dict[str, Any]) -> None:
        self.paths.extend(f"/{service_name}/{name}" for name in method_handlers)


def _register(name: str, servicer: object) -> list[str]:
    sink = Sink()
    add = getattr(service_pb2_grpc, f"add_{name}Servicer_to_server")
    add(servicer, cast("grpc.aio.Server", Registrar(sink, {})))
    return sink.paths


def test_methods_with_policies_are_registered() -> None:
    assert _register("EchoService", EchoServicer()) == [
        f"/echo.v1.EchoService/{method.name}" for method in METHODS
    ]


def test_a_method_without_a_policy_is_refused() -> None:
    with pytest.raises(FatalError, match=r"/echo\.v1\.LooseService/NoPolicy has no policy"):
        _register("LooseService", service_pb2_grpc.LooseServiceServicer())


def test_a_policy_without_a_deadline_is_refused() -> None:
    with pytest.raises(FatalError, match=r"/echo\.v1\.LazyService/NoDeadline needs a default_deadline"):
        _register("LazyService", service_pb2_grpc.LazyServiceServicer())


async def test_a_method_the_servicer_lacks_is_unimplemented(network_echo: Echo) -> None:
    async with outside(network_echo.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/echo.v1.EchoService/Nothing")(b"", timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_method_left_to_the_generated_parent_is_unimplemented(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = service_pb2_grpc.EchoServiceServicer()
    monkeypatch.setattr(EchoServicer, "Unary", parent.Unary)
    async with serve() as echo:
        with pytest.raises(FxError, match="UNIMPLEMENTED"):
            await echo.stub.Unary(Request())
