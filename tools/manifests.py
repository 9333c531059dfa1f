"""Writes the part of k8s/ that follows from the contracts: names, ports, who may reach whom, the edge.

    python tools/manifests.py write    bring k8s/ up to date
    python tools/manifests.py check    fail when something there is not what the contracts say

Read from the service options (services/runtime/policy.py): a call that a contract lists is a connection that
the cluster allows, and there is no other.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from edge.descriptors import descriptor_set
from edge.envoy import configuration
from edge.settings import Address, EdgeSettings, UpstreamTls
from edge.transport import authorities_file, certificate_file
from services.cli import nats_users
from services.runtime.bus import permissions
from services.runtime.identity.tokens import OPERATOR
from services.runtime.policy import ServicePolicy, service_policies
from tools import tls_manifests as tls
from tools import written

Json: TypeAlias = dict[str, Any]

K8S = written.ROOT / "k8s"
BASE, TLS = K8S / "base", K8S / "components" / "tls"
HEAD = "# Written by tools/manifests.py from the contracts; do not edit. A test compares it with them.\n"
NATS, NATS_PORT = "nats", 4222
EDGE, EDGE_PORT = "edge", 8080
LOOPBACK, ADMIN_PORT, GATE_HTTP, GATE_GRPC = "127.0.0.1", 9901, 9058, 50058
EDGE_FOLDER, CONTRACTS = "/etc/envoy", "contracts.binpb"
"""Where the edge's pod finds both files of Envoy, and the name of the second."""
NAME = "app.kubernetes.io/name"
COMPONENT = "app.kubernetes.io/component"
CLIENT = {"matchLabels": {"fxmesh/edge-client": "true"}}
"""Label of the namespaces, and of pods in the platform's own, that may reach the edge."""


def headless(service: ServicePolicy) -> Json:
    """The DNS name of a service: the addresses of its ready pods, which gRPC balances over."""
    ports = [_port(name, port) for name, port in _ports(service).items()]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": service.dns_name, "labels": _labels(service.dns_name)},
        "spec": {"clusterIP": "None", "selector": {NAME: service.dns_name}, "ports": ports},
    }


def account(name: str) -> Json:
    """Who a pod is. Nothing mounts its token by itself: a pod asks for one that only this platform takes."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name},
        "automountServiceAccountToken": False,
    }


def default_deny() -> Json:
    """Nobody reaches anybody, unless a policy below says so."""
    return _policy("default-deny", {}, ingress=[], egress=[])


def names_are_found() -> Json:
    """Everybody may ask the cluster's DNS."""
    cluster_dns = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    ports = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
    return _policy("dns", {}, egress=[{"to": [cluster_dns], "ports": ports}])


def reach_of(service: ServicePolicy, services: tuple[ServicePolicy, ...]) -> Json:
    """Who may reach a service, and whom it may reach: callers, the edge and scrapers; callees and the bus."""
    callers = [each.dns_name for each in services if service.full_name in each.peers]
    scrapers = [each.dns_name for each in services if each.scrapes]
    callees = [each for each in services if each.full_name in service.peers]
    scraped = services if service.scrapes else ()
    return _policy(
        service.dns_name,
        {"matchLabels": {NAME: service.dns_name}},
        ingress=[
            {"from": [_pods(name) for name in (*callers, EDGE)], "ports": _calls(service)},
            {"from": [_pods(name) for name in scrapers], "ports": [_tcp(service.http_port)]},
        ],
        egress=[
            {"to": [_pods(NATS)], "ports": [_tcp(NATS_PORT)]},
            *({"to": [_pods(each.dns_name)], "ports": _calls(each)} for each in callees),
            *({"to": [_pods(each.dns_name)], "ports": [_tcp(each.http_port)]} for each in scraped),
        ],
    )


def reach_of_bus() -> Json:
    """Services reach the bus, and the edge, which follows keys and revocations; it reaches nobody."""
    services = {"podSelector": {"matchLabels": {COMPONENT: "service"}}}
    bus = {"matchLabels": {NAME: NATS}}
    return _policy(NATS, bus, ingress=[{"from": [services, _pods(EDGE)], "ports": [_tcp(NATS_PORT)]}])


def reach_of_edge(services: tuple[ServicePolicy, ...]) -> Json:
    """Who is labelled as its client reaches the edge; it reaches every service's calls, and the bus."""
    clients = [{"namespaceSelector": CLIENT}, {"podSelector": CLIENT}]
    return _policy(
        EDGE,
        {"matchLabels": {NAME: EDGE}},
        ingress=[{"from": clients, "ports": [_tcp(EDGE_PORT)]}],
        egress=[
            {"to": [_pods(NATS)], "ports": [_tcp(NATS_PORT)]},
            *({"to": [_pods(each.dns_name)], "ports": _calls(each)} for each in services),
        ],
    )


def edge_settings(services: tuple[ServicePolicy, ...]) -> EdgeSettings:
    """Envoy is open to the cluster, its own page and the gate only to its pod."""
    return EdgeSettings(
        listen=Address("0.0.0.0", EDGE_PORT),
        admin=Address(LOOPBACK, ADMIN_PORT),
        upstreams={each.name: (Address(each.dns_name, each.grpc_port),) for each in services},
        priority_upstreams={
            each.name: (Address(each.dns_name, each.priority_port),)
            for each in services
            if each.priority_port
        },
        gate_http=Address(LOOPBACK, GATE_HTTP),
        gate_grpc=Address(LOOPBACK, GATE_GRPC),
        descriptors=f"{EDGE_FOLDER}/{CONTRACTS}",
        hosts=("*",),  # the names by which a cluster's callers ask are its own affair
    )


def gate_environment(services: tuple[ServicePolicy, ...]) -> str:
    """What the gate in the edge's pod is told, as lines `NAME=value`."""
    upstreams = ",".join(f"{each.name}={each.dns_name}:{each.grpc_port}" for each in services)
    settings = {
        "FXMESH_HOST": LOOPBACK,
        "FXMESH_GRPC_PORT": GATE_GRPC,
        "FXMESH_HTTP_PORT": GATE_HTTP,
        "FXMESH_NATS_USER": permissions.EDGE,
        "FXMESH_EDGE_UPSTREAMS": upstreams,
    }
    return HEAD + "".join(f"{name}={value}\n" for name, value in settings.items())


def bus_users(services: tuple[ServicePolicy, ...]) -> str:
    """What NATS is told of its users; each password is in a variable of its pod."""
    return HEAD + nats_users.authorization(permissions.users(services), lambda user: f"${_variable(user)}")


def bus_passwords(services: tuple[ServicePolicy, ...]) -> Json:
    """A patch of NATS: those variables, each from a Secret of its own."""
    variables = [
        {
            "name": _variable(user),
            "valueFrom": {"secretKeyRef": {"name": secret_of(user), "key": "password"}},
        }
        for user in permissions.users(services)
    ]
    containers = [{"name": "nats", "env": variables}]
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": NATS},
        "spec": {"template": {"spec": {"containers": containers}}},
    }


def make_secrets(services: tuple[ServicePolicy, ...]) -> str:
    """A script that makes those Secrets, once."""
    return f"""#!/bin/sh
# Written by tools/manifests.py from the contracts; do not edit. A test compares it with them.
# Makes a password for each user of NATS: k8s/make-secrets.sh NAMESPACE. What is there already stays.
set -eu
: "${{1:?namespace}}"
for user in {" ".join(secret_of(user) for user in permissions.users(services))}; do
  kubectl --namespace "$1" get secret "$user" >/dev/null 2>&1 ||
    openssl rand -hex 32 | sed 's/^/p/' | tr -d '\\n' |
    kubectl --namespace "$1" create secret generic "$user" --from-file=password=/dev/stdin
done
"""


def secret_of(user: str) -> str:
    """The Secret with the password of a user of NATS, under the key `password`."""
    return f"nats-user-{user.replace('_', '-')}"


def _variable(user: str) -> str:
    return f"NATS_PASSWORD_{user.upper()}"


def _ports(service: ServicePolicy) -> dict[str, int]:
    """Those of a service, by name."""
    second = {"priority": service.priority_port} if service.priority_port else {}
    return {"grpc": service.grpc_port, **second, "http": service.http_port}


def _calls(service: ServicePolicy) -> list[Json]:
    """The ports that take calls."""
    return [_tcp(port) for name, port in _ports(service).items() if name != "http"]


def _labels(name: str) -> Json:
    return {NAME: name, COMPONENT: "service"}


def _port(name: str, port: int) -> Json:
    return {"name": name, "port": port, "targetPort": name}


def _pods(name: str) -> Json:
    return {"podSelector": {"matchLabels": {NAME: name}}}


def _tcp(port: int) -> Json:
    return {"protocol": "TCP", "port": port}


def _policy(name: str, pods: Json, **directions: list[Json]) -> Json:
    """A network policy; what it does not mention of a direction stays as the default says."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {
            "podSelector": pods,
            "policyTypes": [direction.title() for direction in directions],
            **directions,
        },
    }


def _text(*documents: Json) -> str:
    dumped = [yaml.dump(each, Dumper=_Plain, sort_keys=False, width=110) for each in documents]
    return HEAD + "---\n".join(dumped)


class _Plain(yaml.SafeDumper):
    """Writes a value that occurs twice twice, for nobody reads anchors, and lines as lines."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _lines(dumper: _Plain, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Plain.add_representer(str, _lines)


def current() -> dict[Path, str | bytes]:
    """What each file should hold, by the contracts."""
    services = service_policies()
    reaches = [reach_of(each, services) for each in services]
    return {
        BASE / "services.yaml": _text(*map(headless, services)),
        BASE / "service-accounts.yaml": _text(
            *(account(each.dns_name) for each in services), account(OPERATOR)
        ),
        BASE / "network-policies.yaml": _text(
            default_deny(), names_are_found(), *reaches, reach_of_bus(), reach_of_edge(services)
        ),
        BASE / "nats" / "users.conf": bus_users(services),
        BASE / "nats" / "passwords.yaml": _text(bus_passwords(services)),
        K8S / "make-secrets.sh": make_secrets(services),
        BASE / "edge" / "envoy.yaml": _text(configuration(services, edge_settings(services))),
        BASE / "edge" / CONTRACTS: descriptor_set(services),
        BASE / "edge" / "gate.env": gate_environment(services),
        **with_tls(services),
    }


def with_tls(services: tuple[ServicePolicy, ...]) -> dict[Path, str | bytes]:
    """The component, and what its Secrets may be made from."""
    followed = UpstreamTls(f"{EDGE_FOLDER}/{tls.ENVOY_CERT}", f"{EDGE_FOLDER}/{tls.ENVOY_AUTHORITIES}")
    settings = replace(edge_settings(services), tls=followed)
    return {
        TLS / "kustomization.yaml": _text(tls.component(services)),
        **{TLS / f"{each.dns_name}.yaml": _text(tls.service_patch(each)) for each in services},
        TLS / "edge.yaml": _text(tls.edge_patch()),
        TLS / "edge" / "envoy.yaml": _text(configuration(services, settings)),
        TLS / "edge" / tls.ENVOY_CERT: json.dumps(certificate_file(tls.CERT, tls.KEY), indent=2) + "\n",
        TLS / "edge" / tls.ENVOY_AUTHORITIES: json.dumps(authorities_file(tls.AUTHORITIES), indent=2) + "\n",
        K8S / "cert-manager.yaml": _text(*tls.orders(services)),
    }


if __name__ == "__main__":
    raise SystemExit(written.main("tools/manifests.py", current()))
