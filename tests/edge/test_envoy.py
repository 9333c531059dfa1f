"""The configuration follows the contracts, and Envoy takes it."""

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

from google.api import annotations_pb2
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from edge.descriptors import descriptor_set
from edge.envoy import configuration
from edge.rest import RestForms
from edge.settings import Address, EdgeSettings
from services.cli.edge import find
from services.runtime.limits import CANCELS
from services.runtime.policy import BUILT_IN, method_policies, method_policy, service_policies

SERVICES = service_policies()
SETTINGS = EdgeSettings(
    listen=Address("127.0.0.1", 8080),
    admin=Address("127.0.0.1", 9901),
    upstreams={each.name: (Address(each.name.replace("_", "-"), each.grpc_port),) for each in SERVICES},
    priority_upstreams={
        each.name: (Address(each.name.replace("_", "-"), each.priority_port),)
        for each in SERVICES
        if each.priority_port
    },
    gate_http=Address("127.0.0.1", 9058),
    gate_grpc=Address("127.0.0.1", 50058),
    descriptors="contracts.binpb",
)
MADE = configuration(SERVICES, SETTINGS)


def routes() -> list[dict[str, Any]]:
    (listener,) = MADE["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    (host,) = manager["route_config"]["virtual_hosts"]
    assert host["domains"] == ["localhost", "127.0.0.1"]
    return list(host["routes"])


def test_every_method_has_one_route_with_its_deadline_and_no_rest_path_has_any() -> None:
    by_path = {each["match"]["path"]: each for each in routes() if "path" in each["match"]}
    pool = descriptor_pool.Default()
    methods = {
        f"/{service.full_name}/{method.name}": service.name
        for service in SERVICES
        for method in pool.FindServiceByName(service.full_name).methods
    }
    assert set(by_path) == {*methods, *BUILT_IN}
    for path, service in methods.items():
        urgent = method_policy(path).bulkhead == CANCELS
        cluster = f"{service}_priority" if urgent else service
        deadline = method_policy(path).default_deadline_s
        action = by_path[path]["route"]
        (header,) = by_path[path]["request_headers_to_add"]
        assert action["cluster"] == cluster
        assert action["max_stream_duration"]["grpc_timeout_header_max"] == f"{deadline:.3f}s"
        assert header["header"] == {"key": "grpc-timeout", "value": f"{deadline * 1000:.0f}m"}
        assert header["append_action"] == "ADD_IF_ABSENT"
    elsewhere = [each for each in routes() if "path" not in each["match"]]
    assert {each["match"].get("prefix") for each in elsewhere if "safe_regex" not in each["match"]} == {"/"}
    assert all("direct_response" in each for each in elsewhere)


def test_only_cancels_and_the_kill_switch_pass_others_at_the_gate() -> None:
    patterns = [
        (each["match"]["headers"][0]["string_match"]["exact"], each["match"]["safe_regex"]["regex"])
        for each in routes()
        if "safe_regex" in each["match"]
    ]
    for form in RestForms(SERVICES).all:
        path = re.sub(r"\{\w+\}", "o-1.x", form.template)
        found = any(verb == form.verb and re.fullmatch(pattern, path) for verb, pattern in patterns)
        assert found is (method_policy(form.method).bulkhead == CANCELS), form.template
    asked_ahead = {
        each["match"]["path"]
        for each in routes()
        if "path" in each["match"] and "gate_priority" in json.dumps(each)
    }
    assert asked_ahead == {
        policy.path
        for service in SERVICES
        for policy in method_policies(service.full_name)
        if policy.bulkhead == CANCELS
    }


def test_without_a_priority_port_cancels_go_where_all_calls_go() -> None:
    made = configuration(SERVICES, replace(SETTINGS, priority_upstreams={}))
    clusters = [each["name"] for each in made["static_resources"]["clusters"]]
    assert clusters == [*(each.name for each in SERVICES), "built_in", "gate", "gate_priority"]
    assert "trading_gateway_priority" not in json.dumps(made)


def test_services_by_name_are_looked_up_and_those_by_address_are_not() -> None:
    kinds = {each["name"]: each["type"] for each in MADE["static_resources"]["clusters"]}
    assert set(kinds) == {
        *(each.name for each in SERVICES),
        *("trading_gateway_priority", "built_in", "gate", "gate_priority"),
    }
    assert (kinds["trading_gateway"], kinds["gate"]) == ("STRICT_DNS", "STATIC")


def test_the_descriptors_hold_what_they_import_and_the_errors() -> None:
    files = FileDescriptorSet.FromString(descriptor_set(SERVICES)).file
    seen: set[str] = set()
    for file in files:
        assert set(file.dependency) <= seen, file.name
        seen.add(file.name)
    assert {"google/rpc/status.proto", "google/rpc/error_details.proto"} <= seen
    assert descriptor_set(SERVICES) == descriptor_set(SERVICES)


def test_the_descriptors_hold_rest_forms_and_neither_rules_nor_policies() -> None:
    found = FileDescriptorSet.FromString(descriptor_set(SERVICES))
    names = {file.name for file in found.file}
    assert "google/api/annotations.proto" in names
    assert not names & {"buf/validate/validate.proto", "fxmesh/policy/v1/policy.proto"}
    forms = sum(
        method.options.HasExtension(annotations_pb2.http)
        for file in found.file
        for service in file.service
        for method in service.method
    )
    assert forms == len(RestForms(SERVICES).all)


def test_envoy_takes_it(tmp_path: Path) -> None:
    path = tmp_path / "envoy.json"
    path.write_text(json.dumps(MADE))
    (tmp_path / "contracts.binpb").write_bytes(descriptor_set(SERVICES))
    checked = subprocess.run(
        [find(), "--mode", "validate", "--config-path", path, "--log-level", "error"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
