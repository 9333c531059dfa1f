"""Whom Envoy calls: a cluster each for the seven services and the gate."""

from __future__ import annotations

import ipaddress

from edge.settings import Address
from edge.typed import Json, of_type, seconds

_AT_ONCE = 16_384
"""Calls in flight to one service, beyond any bulkhead of its own."""
_GATE_CONNECTIONS = 64
"""Each is a thread of the gate, which checks one request at a time anyway: more calls wait for their turn."""
_IDLE_S, _GATE_IDLE_S = 60.0, 5.0
"""After so long without a call a connection is closed; those to the gate soon, since each holds a thread."""

_HEALTH: Json = {
    "health_checks": [
        {
            "timeout": "1s",
            "interval": "1s",
            "no_traffic_interval": "1s",
            "unhealthy_threshold": 2,
            "healthy_threshold": 1,
            "grpc_health_check": {},
        }
    ],
    # Calls go to those that are well, also when they are the fewer.
    "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
}
"""A dead instance is left out within three seconds. One that drains says so, and is left out likewise."""


def cluster(name: str, *addresses: Address, threaded: bool = False, transport: Json | None = None) -> Json:
    """A service, or the gate, at its addresses. No retries: the caller knows whether a repetition is safe.

    Several instances of a service are asked for their health; one alone is called in any case.

    `threaded`: it speaks HTTP/1.1 and each connection holds a thread of it; else HTTP/2.
    """
    protocol = (
        {"http_protocol_options": {}}
        if threaded
        # As the channels between services: a black hole is found within 15 s.
        else {"http2_protocol_options": {"connection_keepalive": {"interval": "10s", "timeout": "5s"}}}
    )
    idle_s, connections = (_GATE_IDLE_S, _GATE_CONNECTIONS) if threaded else (_IDLE_S, _AT_ONCE)
    options = {
        "explicit_http_config": protocol,
        "common_http_protocol_options": {"idle_timeout": seconds(idle_s)},
    }
    return (transport or {}) | {
        "name": name,
        "type": "STATIC" if all(_is_ip(each.host) for each in addresses) else "STRICT_DNS",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": each.json()}} for each in addresses]}],
        },
        **(_HEALTH if len(addresses) > 1 else {}),
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": connections,
                    "max_pending_requests": _AT_ONCE,
                    "max_requests": _AT_ONCE,
                    "max_retries": 0,
                }
            ]
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": of_type(
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions", options
            )
        },
    }


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
