"""The part of k8s/ that is about mTLS: the component that mounts certificates, and orders for them.

Each process has a Secret of its own, as cert-manager writes it. tools/manifests.py writes the files.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from edge.transport import GATE_PROCESS
from services.runtime.policy import ServicePolicy

Json: TypeAlias = dict[str, Any]

FOLDER = "/etc/fxmesh/tls"
"""Where a container finds its certificate."""
CERT, KEY, AUTHORITIES = (f"{FOLDER}/{name}" for name in ("tls.crt", "tls.key", "ca.crt"))
ENVOY_CERT, ENVOY_AUTHORITIES = "certificate.json", "authorities.json"
"""Files beside Envoy's configuration that name those above to it."""
ENVOY_PROCESS = "edge"
_AUTHORITY = "fxmesh-authority"
_ANY_WORKLOAD = "StatefulSet|Deployment"


def secret_of(process: str) -> str:
    """The Secret with the certificate of a process, by folder name."""
    return f"tls-{process.replace('_', '-')}"


def processes(services: tuple[ServicePolicy, ...]) -> tuple[str, ...]:
    """All that show a certificate, by folder name."""
    return (*(each.name for each in services), ENVOY_PROCESS, GATE_PROCESS)


def component(services: tuple[ServicePolicy, ...]) -> Json:
    """Settings of the services and the gate, files of Envoy, and a mount for each."""
    settings = {"CERT": CERT, "KEY": KEY, "CA": AUTHORITIES}
    return {
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "configMapGenerator": [
            {
                "name": "fxmesh-settings",
                "behavior": "merge",
                "literals": [f"FXMESH_TLS_{name}_FILE={path}" for name, path in settings.items()],
            },
            {
                "name": "edge-config",
                "behavior": "merge",
                "files": [f"edge/{name}" for name in ("envoy.yaml", ENVOY_CERT, ENVOY_AUTHORITIES)],
            },
        ],
        "patches": [
            *({"path": f"{each.dns_name}.yaml", "target": _target(each.dns_name)} for each in services),
            {"path": "edge.yaml"},
        ],
    }


def _target(name: str) -> Json:
    """Of whatever kind it is: that is written by hand."""
    return {"kind": _ANY_WORKLOAD, "name": name}


def service_patch(service: ServicePolicy) -> Json:
    """Kind and name are the target's."""
    return _patch("StatefulSet", service.dns_name, {"service": service.name})


def edge_patch() -> Json:
    """Envoy and the gate are two processes, and each has a name of its own."""
    return _patch("Deployment", "edge", {"envoy": ENVOY_PROCESS, "gate": GATE_PROCESS})


def _patch(kind: str, name: str, shown: dict[str, str]) -> Json:
    """Mounts in each container the Secret of the process that it runs."""
    containers = [
        {
            "name": container,
            "volumeMounts": [{"name": secret_of(process), "mountPath": FOLDER, "readOnly": True}],
        }
        for container, process in shown.items()
    ]
    volumes = [
        {"name": secret_of(process), "secret": {"secretName": secret_of(process), "defaultMode": 0o440}}
        for process in shown.values()
    ]
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"template": {"spec": {"containers": containers, "volumes": volumes}}},
    }


def orders(services: tuple[ServicePolicy, ...]) -> list[Json]:
    """For cert-manager: an authority of the namespace, and what it signs, with the names that peers check."""
    authority = {
        "isCA": True,
        "commonName": "fxmesh",
        "duration": "87600h",
        # The same key at each renewal: what it signed before stays good.
        "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Never"},
    }
    return [
        _issuer("fxmesh-self-signed", {"selfSigned": {}}),
        _order(_AUTHORITY, authority, "fxmesh-self-signed"),
        _issuer("fxmesh", {"ca": {"secretName": _AUTHORITY}}),
        *(_order(secret_of(process), _leaf(process), "fxmesh") for process in processes(services)),
    ]


def _leaf(process: str) -> Json:
    return {
        "dnsNames": [process.replace("_", "-")],
        "uris": [f"spiffe://fxmesh/{process}"],
        "usages": ["digital signature", "server auth", "client auth"],
        "duration": "24h",
        "renewBefore": "8h",
        "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
    }


def _issuer(name: str, spec: Json) -> Json:
    return {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Issuer",
        "metadata": {"name": name},
        "spec": spec,
    }


def _order(secret: str, spec: Json, issuer: str) -> Json:
    signed_by = {"issuerRef": {"name": issuer, "kind": "Issuer"}}
    return {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"name": secret},
        "spec": {"secretName": secret, **spec, **signed_by},
    }
