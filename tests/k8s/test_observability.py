"""The components that let an operator's collector and Prometheus in open that much and nothing else."""

from __future__ import annotations

from urllib.parse import urlsplit

import kubernetes_validate
import pytest

from services.runtime.policy import service_policies
from services.runtime.settings import otlp_endpoint
from tests.k8s.manifests import Json, Manifests, container

SERVICES = service_policies()
NAMESPACE = "kubernetes.io/metadata.name"
Observed = tuple[Manifests, Manifests]


def only_rule(manifests: Manifests, name: str, direction: str) -> Json:
    """The one rule of a policy that is about the services and one direction."""
    spec = manifests.get("NetworkPolicy", name)["spec"]
    assert spec["podSelector"] == {"matchLabels": {"app.kubernetes.io/component": "service"}}
    assert spec["policyTypes"] == [direction.title()]
    (rule,) = spec[direction]
    found: Json = rule
    return found


@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_only_the_policies_and_the_endpoint_are_added(observed: Observed, version: str) -> None:
    plain, with_components = observed
    names = [{each["metadata"]["name"] for each in one.of_kind("NetworkPolicy")} for one in observed]
    assert names[1] - names[0] == {"traces", "prometheus"}
    assert with_components.settings.items() - plain.settings.items() == {
        ("FXMESH_OTLP_ENDPOINT", with_components.settings["FXMESH_OTLP_ENDPOINT"])
    }
    assert len(with_components.documents) == len(plain.documents) + 2
    assert with_components.reached() == plain.reached()
    (namespace,) = plain.of_kind("Namespace")
    for each in with_components.of_kind("NetworkPolicy"):
        assert each["metadata"]["namespace"] == namespace["metadata"]["name"]
        assert kubernetes_validate.validate(each, version, strict=True) == version


def test_the_collector_that_is_named_is_the_one_that_may_be_reached(observed: Observed) -> None:
    _, manifests = observed
    endpoint = urlsplit(otlp_endpoint(manifests.settings["FXMESH_OTLP_ENDPOINT"]))
    rule = only_rule(manifests, "traces", "egress")
    assert rule["to"] == [
        {"namespaceSelector": {"matchLabels": {NAMESPACE: str(endpoint.hostname).split(".")[1]}}}
    ]
    assert rule["ports"] == [{"protocol": "TCP", "port": endpoint.port}]


def test_prometheus_reaches_the_http_port_of_each_service(observed: Observed) -> None:
    _, manifests = observed
    rule = only_rule(manifests, "prometheus", "ingress")
    assert rule["from"] == [{"namespaceSelector": {"matchLabels": {NAMESPACE: "monitoring"}}}]
    (port,) = rule["ports"]
    for service in SERVICES:
        ports = container(manifests.workloads[service.dns_name])["ports"]
        assert {each["name"]: each["containerPort"] for each in ports}[port["port"]] == service.http_port
