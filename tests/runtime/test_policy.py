"""What the contracts say of services and methods, as the mesh reads it."""

from __future__ import annotations

import pytest

from services.runtime.fatal import FatalError
from services.runtime.policy import (
    BATCH_REQUEST_BYTES,
    BUILT_IN,
    STANDARD_REQUEST_BYTES,
    Shape,
    cache_events,
    method_policy,
    service_policy,
)
from tests.fakes import echo

AREAS = ("trading", "marketdata", "analysis", "pipeline", "inference", "workbench", "monitoring")
SERVICES = (
    "fxmesh.trading.v1.TradingService",
    "fxmesh.marketdata.v1.MarketDataService",
    "fxmesh.analysis.v1.AnalysisService",
    "fxmesh.pipeline.v1.PipelineService",
    "fxmesh.inference.v1.InferenceService",
    "fxmesh.workbench.v1.WorkbenchService",
    "fxmesh.monitoring.v1.MonitoringService",
)


def test_defaults_of_a_method() -> None:
    policy = method_policy("/echo.v1.EchoService/Unary")
    assert (policy.service, policy.method, policy.shape) == (echo.SERVICE, "Unary", Shape.UNARY)
    assert policy.default_deadline_s == 5
    assert policy.repeatable  # NO_SIDE_EFFECTS
    assert (policy.cost, policy.bulkhead, policy.cache_lifetime_s) == (1, "default", None)
    assert policy.max_request_bytes == STANDARD_REQUEST_BYTES


def test_everything_a_method_may_say() -> None:
    gather, spread = (
        method_policy("/echo.v1.EchoService/Gather"),
        method_policy("/echo.v1.EchoService/Spread"),
    )
    assert gather.repeatable  # keyed
    assert (gather.idempotency_key, gather.cost, gather.bulkhead) == ("text", 3, "batch")
    assert gather.max_request_bytes == BATCH_REQUEST_BYTES
    assert not spread.repeatable
    assert (spread.cache_lifetime_s, spread.invalidated_by) == (0.5, ("echo.v1.EchoRequest",))


def test_shapes_follow_the_contract() -> None:
    shapes = [
        method_policy(f"/{echo.SERVICE}/{name}").shape for name in ("Unary", "Gather", "Spread", "Converse")
    ]
    assert shapes == list(Shape)
    assert [shape.value for shape in shapes] == ["unary", "client_stream", "server_stream", "bidi_stream"]


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/echo.v1.LooseService/NoPolicy", "has no policy"),
        ("/echo.v1.LazyService/NoDeadline", "needs a default_deadline above zero and a scope"),
        ("/echo.v1.EchoService/Shout", "is not in the contract"),
        ("/nothing.v1.NothingService/Do", "has no contract"),
    ],
)
def test_a_method_that_cannot_be_served(path: str, sentence: str) -> None:
    with pytest.raises(FatalError, match=sentence):
        method_policy(path)


def test_a_service_without_a_policy() -> None:
    with pytest.raises(FatalError, match=r"echo\.v1\.LooseService has no policy"):
        service_policy("echo.v1.LooseService")


def test_built_in_services_have_policies_in_one_table() -> None:
    assert {policy.service for policy in BUILT_IN.values()} == {
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    assert method_policy("/grpc.health.v1.Health/Check") is BUILT_IN["/grpc.health.v1.Health/Check"]


@pytest.mark.parametrize("name", SERVICES)
def test_the_platforms_services_are_found_by_name_alone(name: str) -> None:
    policy = service_policy(name)
    assert policy.area in AREAS
    assert policy.http_port == policy.grpc_port - 50_000 + 9_000
    # Every peer it says it calls is a service with a contract.
    assert all(service_policy(peer).name for peer in policy.peers)


def test_a_service_hears_the_events_that_drop_what_it_may_cache() -> None:
    analysis = service_policy("fxmesh.analysis.v1.AnalysisService")
    assert cache_events(analysis) == ("fxmesh.workbench.v1.ModelDeployed",)
    # It calls nothing whose answers an event would drop.
    assert cache_events(service_policy("fxmesh.workbench.v1.WorkbenchService")) == ()
