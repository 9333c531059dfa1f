"""The component that keeps the books in PostgreSQL and lets a second gateway stand by."""

from __future__ import annotations

import kubernetes_validate
import pytest

from services.runtime.policy import service_policy
from services.trading_gateway.config import Settings
from tests.k8s.manifests import NAME, Manifests, container

NAMESPACE = "kubernetes.io/metadata.name"
GATEWAY = service_policy("fxmesh.trading.v1.TradingService")
Shared = tuple[Manifests, Manifests]


@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_the_api_takes_what_is_added(shared: Shared, version: str) -> None:
    plain, manifests = shared
    added = [each for each in manifests.documents if each not in plain.documents]
    assert {(each["kind"], each["metadata"]["name"]) for each in added} == {
        ("StatefulSet", GATEWAY.dns_name),
        ("PodDisruptionBudget", GATEWAY.dns_name),
        ("NetworkPolicy", "trading-database"),
    }
    for each in added:
        assert kubernetes_validate.validate(each, version, strict=True) == version
    assert manifests.reached() == plain.reached()


def test_two_gateways_on_different_nodes_share_the_database_of_a_secret(shared: Shared) -> None:
    _, manifests = shared
    workload = manifests.workloads[GATEWAY.dns_name]
    assert workload["spec"]["replicas"] == 2
    (apart,) = workload["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]
    assert apart["labelSelector"] == {"matchLabels": {NAME: GATEWAY.dns_name}}
    prefix = str(Settings.model_config["env_prefix"])
    (name,) = (f"{prefix}{each}".upper() for each in Settings.model_fields if each == "database_url")
    assert name == GATEWAY.several_with
    (variable,) = (each for each in container(workload)["env"] if each["name"] == name)
    assert variable["valueFrom"] == {"secretKeyRef": {"name": "trading-database", "key": "url"}}


def test_one_of_them_may_go_at_a_time(shared: Shared) -> None:
    _, manifests = shared
    budget = manifests.get("PodDisruptionBudget", GATEWAY.dns_name)["spec"]
    assert budget == {"maxUnavailable": 1, "selector": {"matchLabels": {NAME: GATEWAY.dns_name}}}


def test_the_gateways_alone_reach_the_database(shared: Shared) -> None:
    _, manifests = shared
    spec = manifests.get("NetworkPolicy", "trading-database")["spec"]
    assert spec["podSelector"] == {"matchLabels": {NAME: GATEWAY.dns_name}}
    (rule,) = spec["egress"]
    assert rule["to"] == [{"namespaceSelector": {"matchLabels": {NAMESPACE: "postgresql"}}}]
    assert rule["ports"] == [{"protocol": "TCP", "port": 5432}]
