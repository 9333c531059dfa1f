"""Whatever is sent to whichever method, the answer is one that a caller can act on, and nothing leaks.

FXMESH_FUZZ_EXAMPLES: how many requests a method gets of each kind (default 10; a stream half of it).
FXMESH_FUZZ_SEED repeats a run: every failure prints it.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pool import Default
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from services.runtime.policy import MethodPolicy, Shape, method_policy, service_policies
from tests.kit import fuzz
from tests.kit.served import Served, served

pytestmark = [pytest.mark.integration, pytest.mark.timeout(3600)]

SEED = int(os.environ.get("FXMESH_FUZZ_SEED", random.SystemRandom().randrange(2**32)))
EXAMPLES = int(os.environ.get("FXMESH_FUZZ_EXAMPLES", "10"))
ANSWER_S = 20.0
STREAM_S = 0.25
"""How long a stream is watched: one that only says heartbeats has done nothing wrong."""
MOST_BYTES = 5_000_000
ACTIONABLE = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
LEAKS = re.compile(
    r"Traceback|File \"|\.py\b|/tmp|/root|/home|/work|site-packages|<class|object at 0x"
    r"|sqlite|sqlalchemy|duckdb|google\.protobuf|\b[A-Z][A-Za-z]*(Error|Exception)\b",
    re.IGNORECASE,
)


def fuzzed(method: MethodPolicy) -> settings:
    return settings(
        max_examples=max(1, EXAMPLES // 2) if method.streams_answers else EXAMPLES,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


def methods() -> Iterator[tuple[MethodPolicy, Descriptor]]:
    for service in service_policies():
        for method in Default().FindServiceByName(service.full_name).methods:
            yield method_policy(f"/{service.full_name}/{method.name}"), method.input_type


METHODS = [pytest.param(*each, id=each[0].path[1:]) for each in methods()]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("fuzzed")) as running:
        yield running


@pytest.fixture(scope="module")
def channel(platform: Served) -> Iterator[grpc.Channel]:
    """As any program opens one; it may send more than anybody takes."""
    options = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))
    with grpc.insecure_channel(platform.address, options) as opened:
        yield opened


def send(channel: Any, method: MethodPolicy, payloads: list[bytes]) -> Any:
    """The call of a method with these bytes, once it is over or has streamed for a while; None when it was
    well.
    """
    call: Any
    match method.shape:
        case Shape.UNARY:
            call = channel.unary_unary(method.path).future(payloads[0], timeout=ANSWER_S)
        case Shape.CLIENT_STREAM:
            call = channel.stream_unary(method.path).future(iter(payloads), timeout=ANSWER_S)
        case Shape.SERVER_STREAM:
            call = channel.unary_stream(method.path)(payloads[0], timeout=STREAM_S)
        case _:
            call = channel.stream_stream(method.path)(iter(payloads), timeout=STREAM_S)
    try:
        if method.streams_answers:
            for _, _answer in zip(range(3), call, strict=False):
                pass
            call.cancel()
            return None
        call.result()
    except grpc.RpcError:
        return call
    return None


def judge(method: MethodPolicy, failed: Any, platform: Served) -> None:
    """Fails unless the answer is one that a caller can act on."""
    log = platform.log.read_text()[-3000:]
    if wrong := what_is_wrong(method, failed, platform):
        said = "" if failed is None else f"{failed.code().name}: {failed.details()}"
        pytest.fail(f"FXMESH_FUZZ_SEED={SEED}\n{method.path}: {wrong}\n{said}\n{log}", pytrace=False)


def what_is_wrong(method: MethodPolicy, failed: Any, platform: Served) -> str:
    """Empty for an answer that a caller can act on."""
    if platform.process.poll() is not None:
        return "the platform has died"
    if failed is None:
        return ""
    code, text = failed.code(), failed.details() or ""
    if method.streams_answers and code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return ""
    if code not in ACTIONABLE:
        return "no code to act on"
    status = rpc_status.from_call(failed)
    if status is None:
        # gRPC's own limit, met before anything of ours is asked.
        return "" if code is grpc.StatusCode.RESOURCE_EXHAUSTED else "no details"
    if leak := LEAKS.search(f"{text} {status.details}"):
        return f"leaks {leak[0]!r}"
    info = error_details_pb2.ErrorInfo()
    found = [detail.Unpack(info) for detail in status.details if detail.Is(info.DESCRIPTOR)]
    well = found and re.fullmatch(r"[A-Z][A-Z0-9_]+", info.reason) and info.metadata["correlation_id"]
    return "" if well else "no reason with a correlation id"


@pytest.mark.parametrize(("method", "request_type"), METHODS)
def test_any_request_gets_an_answer_to_act_on(
    method: MethodPolicy, request_type: Descriptor, channel: grpc.Channel, platform: Served
) -> None:
    @seed(SEED)
    @fuzzed(method)
    @given(
        st.lists(fuzz.requests(request_type), min_size=1, max_size=1 if method.shape is Shape.UNARY else 3)
    )
    def any_request(requests: list[Any]) -> None:
        judge(method, send(channel, method, [each.SerializeToString() for each in requests]), platform)

    any_request()


@pytest.mark.parametrize(("method", "request_type"), METHODS)
def test_bytes_that_are_no_request_are_refused_as_such(
    method: MethodPolicy, request_type: Descriptor, channel: grpc.Channel, platform: Served
) -> None:
    @seed(SEED)
    @fuzzed(method)
    @given(fuzz.broken(request_type))
    def any_bytes(data: bytes) -> None:
        judge(method, send(channel, method, [data]), platform)

    any_bytes()
    for data in (*fuzz.bombs(request_type), bytes(MOST_BYTES)):
        judge(method, send(channel, method, [data]), platform)


@pytest.mark.parametrize(
    "method",
    [
        "fxmesh.trading.v1.TradingService/ListAccounts",
        "fxmesh.marketdata.v1.MarketDataService/ListInstruments",
        "fxmesh.analysis.v1.AnalysisService/ListStrategies",
        "fxmesh.pipeline.v1.PipelineService/GetStorageReport",
        "fxmesh.inference.v1.InferenceService/ListServedModels",
        "fxmesh.workbench.v1.WorkbenchService/ListModels",
        "fxmesh.monitoring.v1.MonitoringService/ListServiceHealth",
    ],
)
def test_after_all_of_it_every_service_answers(channel: Any, method: str) -> None:
    assert isinstance(channel.unary_unary(f"/{method}")(b"", timeout=ANSWER_S), bytes)
