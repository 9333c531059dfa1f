"""Failures to statuses and back: everything a caller may know, and nothing else."""

from __future__ import annotations

from typing import Any, NoReturn

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from prometheus_client import CollectorRegistry

from interceptors import errors
from interceptors.standard import client_concerns
from services.errors import FxError, Kind, Violation
from services.runtime import context
from services.runtime.channels import static_channels
from services.runtime.ids import CountedIds
from services.runtime.memory_context import MemoryContext
from tests.fakes.echo import SERVICE, service_pb2_grpc
from tests.fakes.echo.service import REFUSAL, SECRET, Request
from tests.interceptors.conftest import Echo, Serve, in_memory, outside
from tests.kit.nats import until


def _failure(code: grpc.StatusCode, text: str = "", details: bytes | None = None) -> grpc.aio.AioRpcError:
    trailing = grpc.aio.Metadata(*([(errors.DETAILS_KEY, details)] if details is not None else []))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, text)


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_survives_the_way_there_and_back(kind: Kind) -> None:
    error = FxError(
        kind, "ORDER_RATE", "too many", (Violation("a.b[0]", "bad"), Violation("", "worse")), 0.25
    )
    status = errors.to_status(error, "c-1")
    assert errors.code_of(error).name == kind.name
    returned = errors.to_fx_error(
        _failure(errors.code_of(error), status.message, status.SerializeToString()), "/a/B"
    )
    assert returned == error


def test_the_status_names_domain_reason_and_correlation_id() -> None:
    status = errors.to_status(REFUSAL, "c-1")
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.domain, info.reason, info.metadata["correlation_id"]) == ("fxmesh", "UNKNOWN_ORDER", "c-1")


async def test_a_caller_outside_the_mesh_gets_the_standard_details(network_echo: Echo) -> None:
    async with outside(network_echo.address) as channel:
        call = channel.unary_unary("/echo.v1.EchoService/Unary")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(
                Request(text="refuse").SerializeToString(), metadata=(("x-correlation-id", "outside-1"),)
            )
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert caught.value.details() == "no such order"
    status = status_pb2.Status.FromString(dict(caught.value.trailing_metadata())[errors.DETAILS_KEY])
    assert [each.TypeName() for each in status.details] == [
        "google.rpc.ErrorInfo",
        "google.rpc.RetryInfo",
        "google.rpc.BadRequest",
    ]


@pytest.mark.parametrize("text", ["crash", "time out", "stray cancel"])
async def test_of_a_defect_a_caller_learns_the_correlation_id_only(
    network_echo: Echo, text: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    async with outside(network_echo.address) as channel:
        call = channel.unary_unary("/echo.v1.EchoService/Unary")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(
                Request(text=text).SerializeToString(),
                metadata=(("x-correlation-id", "outside-2"),),
                timeout=5,
            )
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert caught.value.details() == "internal error, correlation id outside-2"
    sent = repr(caught.value.trailing_metadata()) + repr(caught.value.initial_metadata())
    assert SECRET not in sent
    assert "Error" not in sent.replace("ErrorInfo", "")
    # The log, on the other hand, has it all.
    assert "outside-2" in capsys.readouterr().out + caplog.text


async def test_a_defect_in_a_stream_leaks_nothing_either(network_echo: Echo) -> None:
    async with outside(network_echo.address) as channel:
        stream = channel.unary_stream("/echo.v1.EchoService/Spread")(
            Request(text="crash", count=1).SerializeToString()
        )
        assert await stream.read()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert SECRET not in str(caught.value)


async def test_a_peers_defect_stays_a_defect_for_the_caller_before(serve: Serve) -> None:
    # Were it UNAVAILABLE to the first caller, that one would repeat what cannot get better.
    context.correlation_id.set("hop-1")
    async with serve() as last, serve(onward=last.stub) as first:
        with pytest.raises(FxError) as caught:
            await first.stub.Unary(Request(text="onward crash"))
        assert caught.value.reason == "INTERNAL"
        assert "EchoService/Unary" in caught.value.detail
        assert _counted(first, grpc.StatusCode.INTERNAL) == 1


def _counted(echo: Echo, code: grpc.StatusCode) -> float | None:
    """Unary calls that ended so, as the server has it."""
    labels = {
        "grpc_type": "unary",
        "grpc_service": "echo.v1.EchoService",
        "grpc_method": "Unary",
        "grpc_code": code.name,
    }
    return echo.server_metrics.get_sample_value("grpc_server_handled_total", labels)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("refuse", grpc.StatusCode.NOT_FOUND),
        ("crash", grpc.StatusCode.INTERNAL),
        ("slow", grpc.StatusCode.DEADLINE_EXCEEDED),
    ],
)
async def test_what_a_caller_hears_of_is_counted_already(
    text: str, code: grpc.StatusCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[float | None] = []
    answer = MemoryContext.abort

    async def abort(self: MemoryContext, *status: Any) -> NoReturn:
        counted.append(_counted(echo, code))
        await answer(self, *status)

    monkeypatch.setattr(MemoryContext, "abort", abort)
    async with in_memory() as echo:
        with pytest.raises(FxError):
            await echo.stub.Unary(Request(text=text), timeout=0.2)
        await until(lambda: bool(counted))
    assert counted == [1]


async def test_an_error_too_large_for_the_metadata_is_cut(echo: Echo) -> None:
    with pytest.raises(FxError) as caught:
        await echo.stub.Unary(Request(text="many violations"))
    error = caught.value
    assert error.reason == "VALIDATION_FAILED"
    assert len(error.detail) <= 1024
    assert 1 < len(error.violations) < 200
    assert error.violations[-1].description == f"and {200 - len(error.violations) + 1} more"


@pytest.mark.parametrize(
    ("code", "text", "kind", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, "connect ipv4:10.0.0.7:50051", Kind.UNAVAILABLE, "PEER_UNAVAILABLE"),
        (grpc.StatusCode.CANCELLED, "", Kind.UNAVAILABLE, "PEER_UNAVAILABLE"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", Kind.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "larger than max", Kind.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "", Kind.RESOURCE_EXHAUSTED, "RATE_LIMITED"),
        (grpc.StatusCode.PERMISSION_DENIED, "rbac", Kind.PERMISSION_DENIED, "PERMISSION_DENIED"),
        (grpc.StatusCode.UNKNOWN, "Traceback", Kind.UNAVAILABLE, "INTERNAL"),
        (grpc.StatusCode.UNIMPLEMENTED, "", Kind.UNAVAILABLE, "INTERNAL"),
        (grpc.StatusCode.DATA_LOSS, "", Kind.UNAVAILABLE, "INTERNAL"),
    ],
)
def test_a_status_without_our_details_is_understood_by_its_code(
    code: grpc.StatusCode, text: str, kind: Kind, reason: str
) -> None:
    error = errors.to_fx_error(_failure(code, text), "/a.B/C")
    assert (error.kind, error.reason) == (kind, reason)
    assert "/a.B/C" in error.detail
    assert not text or text not in error.detail


@pytest.mark.parametrize("details", [b"\xff\xff\xff", status_pb2.Status(code=5).SerializeToString()])
def test_foreign_or_broken_details_are_no_details(details: bytes) -> None:
    error = errors.to_fx_error(_failure(grpc.StatusCode.NOT_FOUND, "x", details), "/a.B/C")
    assert (error.kind, error.reason) == (Kind.NOT_FOUND, "NOT_FOUND")


async def test_nobody_there_is_peer_unavailable_without_an_address() -> None:
    channels = static_channels(
        {SERVICE: "127.0.0.1:1"}, client_concerns(CountedIds("c"), CollectorRegistry())
    )
    with pytest.raises(FxError) as caught:
        await service_pb2_grpc.EchoServiceStub(channels.to(SERVICE)).Unary(Request())
    assert caught.value.reason == "PEER_UNAVAILABLE"
    assert "127.0.0.1" not in caught.value.detail
    await channels.close()
