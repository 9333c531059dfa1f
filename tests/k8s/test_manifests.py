"""Each overlay is what the API takes, what the contracts say, and what the services need."""

from __future__ import annotations

import copy
import importlib
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from kubernetes_validate.utils import ValidationError

from services.cli.nats import MAX_PAYLOAD, PROGRAM
from services.runtime import serve
from services.runtime.bus.events import event_type_named
from services.runtime.bus.streams import BOUNDS, MIB
from services.runtime.channels import dns_address
from services.runtime.identity.rights import rights
from services.runtime.identity.tokens import Trust, subject_of
from services.runtime.policy import ServicePolicy, service_policies
from services.runtime.settings import RuntimeSettings
from services.runtime.statuses import LIVENESS
from tests.k8s.manifests import NAME, Json, Manifests, Reach, container, containers
from tools import manifests, written

SERVICES = service_policies()
VERSIONS = ("1.30", "1.37")
"""Oldest and newest Kubernetes the manifests are held against: gRPC probes and all else are in both."""
EDGE, NATS = "edge", "nats"


def test_what_follows_from_the_contracts_is_up_to_date() -> None:
    assert written.stale(manifests.current()) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_the_api_takes_every_document(built: Manifests, version: str) -> None:
    for document in built.documents:
        assert kubernetes_validate.validate(document, version, strict=True) == version
    broken = copy.deepcopy(built.workloads["trading-gateway"])
    container(broken)["readinessProbe"]["gprc"] = {"port": 1}
    with pytest.raises(ValidationError, match="gprc"):
        kubernetes_validate.validate(broken, version, strict=True)


@pytest.mark.parametrize("service", SERVICES, ids=lambda each: each.name)
def test_a_service_runs_under_its_name_and_ports(built: Manifests, service: ServicePolicy) -> None:
    workload = built.workloads[service.dns_name]
    pod = container(workload)
    assert pod["command"] == ["python", "-m", f"services.{service.name}"]
    ports = {each["name"]: each["containerPort"] for each in pod["ports"]}
    health = int(built.settings["FXMESH_HEALTH_PORT"])
    second = {"priority": service.priority_port} if service.priority_port else {}
    assert ports == {"grpc": service.grpc_port, "http": service.http_port, "health": health, **second}
    headless = built.get("Service", service.dns_name)["spec"]
    assert headless["clusterIP"] == "None"
    assert headless["selector"].items() <= workload["spec"]["template"]["metadata"]["labels"].items()
    found = {each["targetPort"]: each["port"] for each in headless["ports"]}
    assert found == {"grpc": service.grpc_port, "http": service.http_port, **second}


def test_nothing_else_runs(built: Manifests) -> None:
    assert set(built.workloads) == {service.dns_name for service in SERVICES} | {EDGE, NATS}


def test_peers_and_the_bus_are_looked_for_where_they_are(built: Manifests) -> None:
    assert built.settings["FXMESH_DISCOVERY"] == "dns"
    for service in SERVICES:
        name, port = dns_address(service.full_name).removeprefix("dns:///").split(":")
        ports = built.get("Service", name)["spec"]["ports"]
        assert {each["name"]: each["port"] for each in ports}["grpc"] == int(port)
        if service.priority_port:
            name, port = dns_address(service.full_name, priority=True).removeprefix("dns:///").split(":")
            assert {each["name"]: each["port"] for each in ports}["priority"] == int(port)
    host, port = built.settings["FXMESH_NATS_URL"].removeprefix("nats://").split(":")
    assert {each["port"] for each in built.get("Service", host)["spec"]["ports"]} >= {int(port)}


def call_ports(service: ServicePolicy) -> list[int]:
    return [port for port in (service.grpc_port, service.priority_port) if port]


def test_the_cluster_allows_the_calls_of_the_contracts_and_no_others(built: Manifests) -> None:
    names = {service.full_name: service for service in SERVICES}
    wanted: set[Reach] = {(service.dns_name, NATS, 4222) for service in SERVICES}
    wanted |= {(EDGE, service.dns_name, port) for service in SERVICES for port in call_ports(service)}
    wanted.add((EDGE, NATS, 4222))  # keys and revocations
    for service in SERVICES:
        callees = {names[call.partition("/")[0]] for call in service.calls}
        wanted |= {
            (service.dns_name, callee.dns_name, port) for callee in callees for port in call_ports(callee)
        }
        if service.scrapes:
            wanted |= {(service.dns_name, each.dns_name, each.http_port) for each in SERVICES}
    if built.overlay == "production":
        wanted.add((NATS, NATS, 6222))
    assert built.reached() == wanted
    closed = built.get("NetworkPolicy", "default-deny")["spec"]
    assert closed["podSelector"] == {}
    assert set(closed["policyTypes"]) == {"Ingress", "Egress"}


def test_only_labelled_clients_reach_the_edge(built: Manifests) -> None:
    (rule,) = built.get("NetworkPolicy", EDGE)["spec"]["ingress"]
    client = {"matchLabels": {"fxmesh/edge-client": "true"}}
    assert rule["from"] == [{"namespaceSelector": client}, {"podSelector": client}]


def test_every_pod_is_restricted(built: Manifests) -> None:
    (namespace,) = built.of_kind("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {each["metadata"].get("namespace") for each in built.documents} - {None} == {
        namespace["metadata"]["name"]
    }
    for workload in built.workloads.values():
        pod = workload["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] >= 10_000
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for each in containers(workload):
            assert each["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert set(each["resources"]["requests"]) == {"cpu", "memory"}
            assert "memory" in each["resources"]["limits"]


@pytest.mark.parametrize("service", SERVICES, ids=lambda each: each.name)
def test_probes_ask_the_port_that_only_tells_health(built: Manifests, service: ServicePolicy) -> None:
    port = int(built.settings["FXMESH_HEALTH_PORT"])
    workload = built.workloads[service.dns_name]
    pod = container(workload)
    alive = {"port": port, "service": LIVENESS}
    assert pod["startupProbe"]["grpc"] == pod["livenessProbe"]["grpc"] == alive
    assert pod["readinessProbe"]["grpc"] == {"port": port}
    # Calls in flight, then the consumers' batches, each for as long as a drain may take, then the closing.
    grace = workload["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace >= 2 * serve.DRAIN_S + 30


@pytest.mark.parametrize("service", SERVICES, ids=lambda each: each.name)
def test_one_pod_writes_to_a_folder_that_stays(built: Manifests, service: ServicePolicy) -> None:
    workload = built.workloads[service.dns_name]
    mounts = {each["mountPath"]: each["name"] for each in container(workload)["volumeMounts"]}
    data = mounts[built.settings["FXMESH_DATA_DIR"]]
    assert workload["spec"]["replicas"] == 1
    claims = [each["metadata"]["name"] for each in workload["spec"].get("volumeClaimTemplates", ())]
    # Inference keeps a cache of what the workbench serves, and nothing else.
    assert claims == ([] if service.name == "ml_integration" else [data])


def test_each_setting_exists(built: Manifests) -> None:
    fields = {f"FXMESH_{name}".upper() for name in RuntimeSettings.model_fields}
    for service in SERVICES:
        own: Any = importlib.import_module(f"services.{service.name}.config").Settings
        fields |= {f"FXMESH_{service.name}_{name}".upper() for name in own.model_fields}
    given = {each["name"] for each in container(built.workloads["trading-gateway"])["env"]}
    assert (set(built.settings) | given) <= fields


@pytest.mark.parametrize("service", SERVICES, ids=lambda each: each.name)
def test_a_service_calls_with_a_token_of_its_own_that_only_this_platform_takes(
    built: Manifests, service: ServicePolicy
) -> None:
    pod = built.workloads[service.dns_name]["spec"]["template"]["spec"]
    account = built.get("ServiceAccount", pod["serviceAccountName"])
    namespace = account["metadata"]["namespace"]
    trust = Trust(built.settings["FXMESH_TOKEN_ISSUER"], built.settings["FXMESH_TOKEN_AUDIENCE"], namespace)
    assert account["automountServiceAccountToken"] is False
    (volume,) = (each for each in pod["volumes"] if each["name"] == "identity")
    projected = {kind: said for each in volume["projected"]["sources"] for kind, said in each.items()}
    token, keys = projected["serviceAccountToken"], projected["configMap"]
    assert (token["audience"], token["expirationSeconds"]) == (trust.audience, 3600)
    (mount,) = (
        each
        for each in container({"spec": {"template": {"spec": pod}}})["volumeMounts"]
        if each["name"] == "identity"
    )
    folder = Path(mount["mountPath"])
    assert built.settings["FXMESH_TOKEN_FILE"] == str(folder / token["path"])
    assert built.settings["FXMESH_JWKS"] == str(folder / keys["items"][0]["path"])
    # The API server's subject of that account is what callees take for this service.
    subject = subject_of(namespace, account["metadata"]["name"])
    assert rights().by_dns_name[subject.rpartition(":")[2]] == service.name


def test_each_pod_that_checks_tokens_knows_its_namespace(built: Manifests) -> None:
    checking = [container(built.workloads[each.dns_name]) for each in SERVICES]
    checking += [each for each in containers(built.workloads[EDGE]) if each["name"] == "gate"]
    for pod in checking:
        env = {each["name"]: each.get("valueFrom") for each in pod["env"]}
        assert env["FXMESH_TOKEN_NAMESPACE"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}


def test_the_bus_has_room_for_every_stream(built: Manifests) -> None:
    workload = built.workloads[NATS]
    config = built.get("ConfigMap", "nats-config")["data"]["nats.conf"]
    streams = {event_type_named(event).stream for each in SERVICES for event in each.publishes}
    needed = sum(BOUNDS[stream.retention].max_bytes for stream in streams) + 272 * MIB  # and dead letters
    room = int(re.findall(r"max_file_store: (\d+)GB", config)[0]) * 1000**3
    (claim,) = workload["spec"]["volumeClaimTemplates"]
    disk = int(claim["spec"]["resources"]["requests"]["storage"].removesuffix("Gi")) * 1024**3
    assert needed < room < disk
    assert f"max_payload: {MAX_PAYLOAD}\n" in config
    assert workload["spec"]["replicas"] == int(built.settings["FXMESH_STREAM_REPLICAS"])
    assert PROGRAM.go.endswith(container(workload)["image"].replace("nats:", "@v"))
    if built.overlay == "production":
        assert workload["spec"]["replicas"] == 3
        assert "sync_interval: always" in config


def test_whatever_has_several_pods_keeps_one_and_spreads_them(built: Manifests) -> None:
    budgets = {each["metadata"]["name"]: each["spec"] for each in built.of_kind("PodDisruptionBudget")}
    several = {name: each for name, each in built.workloads.items() if each["spec"]["replicas"] > 1}
    assert set(budgets) == set(several) == ({EDGE, NATS} if built.overlay == "production" else set())
    for name, workload in several.items():
        labels = {"matchLabels": {NAME: name}}
        pod: Json = workload["spec"]["template"]["spec"]
        assert budgets[name] == {"maxUnavailable": 1, "selector": labels}
        (apart,) = pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        (spread,) = pod["topologySpreadConstraints"]
        assert apart["labelSelector"] == spread["labelSelector"] == labels
