"""Whom Envoy calls: a cluster each for the seven services, the priority ports of those that have one, and the
gate.
"""

from __future__ import annotations

from edge.retries import NEVER, outlier_detection, retry_budget, several
from edge.settings import Address, is_ip
from edge.typed import Json, of_type, seconds
from services.runtime.statuses import LIVENESS

_AT_ONCE = 16_384
"""Calls in flight to one service, beyond any bulkhead of its own."""
_GATE_CONNECTIONS = 64
"""Each is a thread of the gate, which checks one request at a time anyway: more calls wait for their turn,
but cancels, which have as many to themselves.
"""
_IDLE_S, _GATE_IDLE_S = 60.0, 5.0
"""After so long without a call a connection is closed; those to the gate soon, since each holds a thread."""


def _health(addresses: tuple[Address, ...]) -> Json:
    """How a service is watched: of several, the ones that say that they serve are called; they leave within
    three seconds. One alone is called while it lives, whatever it says of itself, since nobody else could
    answer: it is left out within six seconds of the last word of a frozen process, so that a caller learns at
    once that nobody is there, and is not condemned for being busy. One behind a name is Kubernetes' to watch.
    """
    if len(addresses) == 1 and several(addresses):
        return {}
    alone = len(addresses) == 1
    check = {
        "timeout": "2s" if alone else "1s",
        "interval": "1s",
        "no_traffic_interval": "1s",
        # Back as soon as it is back: to ask a port where nobody listens costs nothing.
        "unhealthy_interval": "0.25s",
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "grpc_health_check": {"service_name": LIVENESS} if alone else {},
    }
    # Calls go to those that are well, also when they are the fewer, or none.
    return {"health_checks": [check], "common_lb_config": {"healthy_panic_threshold": {"value": 0}}}


def priority_cluster(name: str) -> str:
    """What the cluster of a service's priority port is called. It has connections and limits of its own, so
    that no other call is ahead there either.
    """
    return f"{name}_priority"


def service_cluster(name: str, addresses: tuple[Address, ...], transport: Json | None) -> Json:
    """A service at the addresses of its instances."""
    retried = retry_budget(addresses)
    return (
        cluster(name, *addresses, transport=transport, retried=retried)
        | _health(addresses)
        | outlier_detection(addresses)
    )


def cluster(
    name: str,
    *addresses: Address,
    threaded: bool = False,
    transport: Json | None = None,
    retried: Json = NEVER,
) -> Json:
    """A service, or the gate, at its addresses. `retried`: how many of its calls may be repeated at once.

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
        "type": "STATIC" if all(is_ip(each.host) for each in addresses) else "STRICT_DNS",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": each.json()}} for each in addresses]}],
        },
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": connections,
                    "max_pending_requests": _AT_ONCE,
                    "max_requests": _AT_ONCE,
                    **retried,
                }
            ]
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": of_type(
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions", options
            )
        },
    }
