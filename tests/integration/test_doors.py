"""Every service answers clients that have no contracts at hand, on its own port and through the edge:
grpcurl, and Python over reflection.
"""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from fxmesh.policy.v1 import policy_pb2  # noqa: F401 - registers the options that requests carry
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor

from services.runtime.policy import ServicePolicy, service_policies
from tests.kit.doors import Door, Grpcurl, Reflecting, RefusedError
from tests.kit.live import LivePlatform
from tools.programs import MissingError, program

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

POLICIES = {policy.name: policy for policy in service_policies()}
# One of each by service: a unary call that needs nothing, one whose field is wrong, a stream that speaks.
UNARY = {
    "trading_gateway": "ListAccounts",
    "market_data": "ListInstruments",
    "analysis_engine": "ListStrategies",
    "data_pipeline": "ListDatasets",
    "ml_integration": "ListServedModels",
    "ml_workbench": "ListModels",
    "monitoring_alerting": "ListAlertRules",
}
BROKEN = {
    "trading_gateway": ("GetAccount", "account_id"),
    "market_data": ("GetInstrument", "symbol"),
    "analysis_engine": ("GetSignal", "signal_id"),
    "data_pipeline": ("GetDataset", "dataset_id"),
    "ml_integration": ("GetDriftReport", "endpoint"),
    "ml_workbench": ("GetEndpoint", "name"),
    "monitoring_alerting": ("QueryMetrics", "metric"),
}
STREAMS = {
    "trading_gateway": "StreamOrders",
    "market_data": "StreamQuotes",
    "analysis_engine": "StreamBars",
    "ml_integration": "StreamPredictions",
    "monitoring_alerting": "StreamAlerts",
}


@pytest.fixture(scope="module")
def grpcurl() -> Path:
    """The program. Fails with what to install where there is none."""
    try:
        return program("grpcurl")
    except MissingError as why:
        pytest.fail(str(why), pytrace=False)


@pytest.fixture(params=["itself", "edge"])
def place(request: pytest.FixtureRequest) -> str:
    """Where a service is asked."""
    place: str = request.param
    return place


@pytest.fixture(params=[pytest.param("grpcurl", marks=pytest.mark.grpcurl), "python"])
def way(request: pytest.FixtureRequest) -> str:
    way: str = request.param
    return way


@pytest.fixture(params=sorted(POLICIES))
def policy(request: pytest.FixtureRequest) -> ServicePolicy:
    return POLICIES[request.param]


@pytest.fixture
def door(
    live: LivePlatform, policy: ServicePolicy, way: str, place: str, request: pytest.FixtureRequest
) -> Iterator[Door]:
    port = live.ports["edge"]["edge"] if place == "edge" else live.ports[policy.name]["grpc"]
    at = f"localhost:{port}"
    if way == "grpcurl":
        yield Grpcurl(request.getfixturevalue("grpcurl"), at, live.token)
    else:
        client = Reflecting(at, live.token)
        yield client
        client.close()


def contract(policy: ServicePolicy) -> ServiceDescriptor:
    importlib.import_module(f"{policy.full_name.rpartition('.')[0]}.service_pb2")
    return descriptor_pool.Default().FindServiceByName(policy.full_name)


def test_a_service_is_listed_and_described(door: Door, policy: ServicePolicy, place: str) -> None:
    here = {each.full_name for each in POLICIES.values()} if place == "edge" else {policy.full_name}
    listed = door.services()
    assert {each for each in listed if each.startswith("fxmesh.")} == here
    assert "grpc.health.v1.Health" in listed
    service = contract(policy)
    method = service.methods[0]
    assert door.signature(method.full_name) == (method.input_type.full_name, method.output_type.full_name)
    assert door.parts(service.full_name) == {method.name for method in service.methods}
    for message in (service.methods[0].input_type, service.methods[0].output_type):
        assert door.parts(message.full_name) == {field.name for field in message.fields}


def test_a_unary_call_is_answered(door: Door, policy: ServicePolicy) -> None:
    method = contract(policy).methods_by_name[UNARY[policy.name]]
    answer = door.call(f"{policy.full_name}/{method.name}", {})
    assert set(answer) <= {field.json_name for field in method.output_type.fields}


def test_an_error_says_reason_and_field(door: Door, policy: ServicePolicy) -> None:
    name, field = BROKEN[policy.name]
    with pytest.raises(RefusedError) as caught:
        door.call(f"{policy.full_name}/{name}", {field: "no such thing!"})
    assert caught.value == RefusedError("INVALID_ARGUMENT", "VALIDATION_FAILED", (field,))


def test_a_stream_speaks(door: Door, policy: ServicePolicy) -> None:
    """Where nothing streams by itself, a run is started first: without bars it fails, and says so."""
    service = policy.full_name
    if policy.name in STREAMS:
        assert door.first(f"{service}/{STREAMS[policy.name]}", {})
    elif policy.name == "ml_workbench":
        asked = {"request_id": uuid.uuid4().hex, "symbol": "AUDNZD"}
        run = door.call(f"{service}/StartTraining", asked)["run"]["runId"]
        assert door.first(f"{service}/StreamTrainingRun", {"run_id": run})["run"]["runId"] == run
    else:
        asked = {
            "request_id": uuid.uuid4().hex,
            "symbol": "AUDNZD",
            "kind": "PIPELINE_KIND_SCORE",
            "timeframe": "TIMEFRAME_H1",
        }
        started = door.call(f"{service}/StartPipelineExecution", asked)["execution"]["executionId"]
        answer = door.first(f"{service}/StreamPipelineExecution", {"execution_id": started})
        assert answer["execution"]["executionId"] == started


@pytest.mark.grpcurl
def test_what_the_readme_types_gives_what_it_shows(
    live: LivePlatform, grpcurl: Path, repository: Path
) -> None:
    section = (repository / "README.md").read_text().partition("## With grpcurl\n")[2].partition("\n## ")[0]
    scripts = re.findall(r"^```sh\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    here = "\n".join(scripts).replace("localhost:8080", f"localhost:{live.ports['edge']['edge']}")
    assert here.count("grpcurl -plaintext") == 7
    done = subprocess.run(
        ["bash", "-c", f'grpcurl() {{ {shlex.quote(str(grpcurl))} "$@"; }}\n{here}'],
        env=live.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert {each.full_name for each in POLICIES.values()} <= set(done.stdout.split())
    method = "fxmesh.trading.v1.TradingService.PlaceOrder is a method"
    placed, quotes = '"status": "ORDER_STATUS_FILLED"', '"bid": "1.'
    for expected in ("rpc PlaceOrder (", method, "message PlaceOrderRequest {", placed, quotes):
        assert expected in done.stdout
    (shown,) = re.findall(r"^```text\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    said = done.stderr[done.stderr.index("ERROR:\n  Code: InvalidArgument") :]
    assert _without_id(said) == _without_id(shown)


def _without_id(text: str) -> str:
    return re.sub(r'(?<="correlation_id": ")[0-9a-f-]+', "…", text)
