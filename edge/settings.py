"""What the configuration of Envoy needs beside the contracts: addresses, and names it answers to."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from edge.typed import Json


@dataclass(frozen=True, slots=True)
class Address:
    """Where somebody listens; a name is resolved by DNS."""

    host: str
    port: int

    def json(self) -> Json:
        """As Envoy has it."""
        return {"socket_address": {"address": self.host, "port_value": self.port}}


def is_ip(host: str) -> bool:
    """Whether it is an address already, and no name to be resolved."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class UpstreamTls:
    """Files that Envoy follows (its `path_config_source`): the certificate it shows, and whom it trusts."""

    certificate: str
    authorities: str


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """What the contracts do not say."""

    listen: Address
    admin: Address
    """Envoy's own page: /ready, /stats. Keep it on loopback."""
    upstreams: Mapping[str, tuple[Address, ...]]
    """gRPC addresses of each service's instances, by folder name."""
    gate_http: Address
    gate_grpc: Address
    """The gate: where it decides, and where it answers reflection and health."""
    descriptors: str
    """File with the contracts as Envoy reads them (edge/descriptors.py)."""
    priority_upstreams: Mapping[str, tuple[Address, ...]] = field(default_factory=dict)
    """Priority addresses of each service that has such ports: where its cancels and its kill switch go."""
    tls: UpstreamTls | None = None
    """With it Envoy speaks mTLS with the services and the gate's gRPC; callers' side stays as it is."""
    hosts: tuple[str, ...] = ("localhost", "127.0.0.1")
    """Names by which callers may ask; `*`: any. On loopback it keeps foreign web pages from reaching the edge
    under a name of theirs that they point at 127.0.0.1.
    """
