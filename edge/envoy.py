"""The whole configuration of Envoy, from the contracts and a few settings: a value to be written as JSON."""

from __future__ import annotations

from edge.filters import GATE, GATE_PRIORITY, filters
from edge.replies import local_replies
from edge.routes import virtual_host
from edge.settings import EdgeSettings
from edge.transport import GATE_PROCESS, secured
from edge.typed import Json, seconds, typed
from edge.upstreams import cluster, priority_cluster, service_cluster
from services.runtime.policy import METADATA_BYTES, ServicePolicy

_IDLE_S = 30.0
"""A request that stops half-way is given up after so long."""
_CONNECTIONS = 4096
"""Connections of callers; below the number of files a process may have open on most systems (twice over)."""
_HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def configuration(services: tuple[ServicePolicy, ...], settings: EdgeSettings) -> Json:
    """Envoy's bootstrap."""
    tls = settings.tls
    clusters = [
        service_cluster(service.name, settings.upstreams[service.name], secured(tls, service.name))
        for service in services
    ]
    clusters += [
        service_cluster(priority_cluster(name), addresses, secured(tls, name))
        for name, addresses in settings.priority_upstreams.items()
    ]
    return {
        "node": {"id": "edge", "cluster": "fxmesh"},
        "admin": {"address": settings.admin.json()},
        "overload_manager": {"resource_monitors": [_at_most_connections()]},
        "static_resources": {
            "listeners": [_listener(services, settings)],
            "clusters": [
                *clusters,
                cluster("built_in", settings.gate_grpc, transport=secured(tls, GATE_PROCESS)),
                cluster(GATE, settings.gate_http, threaded=True),
                cluster(GATE_PRIORITY, settings.gate_http, threaded=True),
            ],
        },
    }


def _listener(services: tuple[ServicePolicy, ...], settings: EdgeSettings) -> Json:
    manager = {
        "stat_prefix": "edge",
        "codec_type": "AUTO",  # HTTP/1.1 and, for gRPC, HTTP/2 without TLS
        "use_remote_address": True,
        "max_request_headers_kb": METADATA_BYTES // 1024,
        "stream_idle_timeout": seconds(_IDLE_S),
        "request_headers_timeout": seconds(_IDLE_S),
        # A REST stream that fails half-way tells so in grpc-status behind its last message.
        "http_protocol_options": {"enable_trailers": True},
        "normalize_path": True,
        "server_header_transformation": "PASS_THROUGH",
        "access_log": [_access_log()],
        "local_reply_config": local_replies(),
        "route_config": {
            "name": "contracts",
            "ignore_port_in_host_matching": True,
            "virtual_hosts": [virtual_host(services, settings)],
        },
        "http_filters": filters(services, settings),
    }
    return {
        "name": "edge",
        "address": settings.listen.json(),
        "filter_chains": [
            {"filters": [typed("envoy.filters.network.http_connection_manager", manager, _HCM)]}
        ],
    }


def _at_most_connections() -> Json:
    return typed(
        "envoy.resource_monitors.global_downstream_max_connections",
        {"max_active_downstream_connections": _CONNECTIONS},
        "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
    )


def _access_log() -> Json:
    """A line for each refusal and failure, in the form of the services' logs; a line a call would bury it."""
    refused = {
        "status_code_filter": {
            "comparison": {"op": "GE", "value": {"default_value": 400, "runtime_key": "edge.log_from_status"}}
        }
    }
    failed = {"grpc_status_filter": {"statuses": ["OK"], "exclude": True}}
    line = {
        "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
        "level": "info",
        "event": "call refused or failed",
        "verb": "%REQ(X-ENVOY-ORIGINAL-METHOD?:METHOD)%",
        "path": "%PATH(NQ:ORIG_OR_PATH)%",  # a query may hold what nobody shall read
        "status": "%RESPONSE_CODE%",
        "grpc_status": "%RESP(GRPC-STATUS)%",
        "why": "%RESPONSE_CODE_DETAILS%",
        "milliseconds": "%DURATION%",
        "correlation_id": "%REQ(X-CORRELATION-ID)%",
    }
    log = typed(
        "envoy.access_loggers.stdout",
        {"log_format": {"json_format": line, "omit_empty_values": True}},
        "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
    )
    return {**log, "filter": {"or_filter": {"filters": [refused, failed]}}}
