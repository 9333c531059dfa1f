"""What Envoy does to each request and answer, in order."""

from __future__ import annotations

from importlib import resources

from edge.settings import EdgeSettings
from edge.typed import Json, of_type, seconds, typed
from services.runtime.policy import BATCH_REQUEST_BYTES, ServicePolicy

GATE = "gate"
"""The cluster of the gate's HTTP side."""
GATE_PRIORITY = "gate_priority"
"""The same, by connections that only questions about cancels and the kill switch take."""
_FILTERS = "envoy.filters.http"
_PACKAGE = "envoy.extensions.filters.http"
TRANSCODER = f"{_FILTERS}.grpc_json_transcoder"
TRANSCODER_TYPE = f"{_PACKAGE}.grpc_json_transcoder.v3.GrpcJsonTranscoder"
GATE_FILTER = f"{_FILTERS}.ext_authz"
_GATE_ANSWERS_S = 2.0
_ANSWER_BYTES = 32 << 20
"""The longest JSON answer; a batch of 4 MiB grows about fourfold as JSON."""

_PER_ROUTE = f"{_PACKAGE}.ext_authz.v3.ExtAuthzPerRoute"
UNCHECKED = {GATE_FILTER: of_type(_PER_ROUTE, {"disabled": True})}
"""For routes that are open to everybody: health, reflection, and those that lead nowhere."""
_TO_GATE = ("authorization", "content-type", "x-correlation-id")
_FROM_GATE = ("content-type", "grpc-status-details-bin", "www-authenticate")


def filters(services: tuple[ServicePolicy, ...], settings: EdgeSettings) -> list[Json]:
    """In the order a request passes them; answers pass them from the last to the first."""
    return [
        _lua("correlation"),
        _lua("retry_after"),
        typed(f"{_FILTERS}.grpc_web", {}, f"{_PACKAGE}.grpc_web.v3.GrpcWeb"),
        _lua("admission"),
        typed(GATE_FILTER, _gate(), f"{_PACKAGE}.ext_authz.v3.ExtAuthz"),
        typed(
            TRANSCODER, transcoder(services, settings, {"stream_newline_delimited": True}), TRANSCODER_TYPE
        ),
        _lua("status"),
        typed(f"{_FILTERS}.router", {"suppress_envoy_headers": True}, f"{_PACKAGE}.router.v3.Router"),
    ]


def checked(*, urgent: bool, with_body: bool) -> Json:
    """How the calls of a route are checked; `urgent` ones pass those that wait for the gate's connections.

    `with_body` is for REST. gRPC callers speak the contract itself: there is no JSON to hold against it, and
    a stream must not be waited for to its end. Who calls is asked all the same.
    """
    settings = ({"http_service": _gate_at(GATE_PRIORITY)} if urgent else {}) | (
        {} if with_body else {"disable_request_body_buffering": True}
    )
    return {GATE_FILTER: of_type(_PER_ROUTE, {"check_settings": settings})}


def _gate() -> Json:
    """Asks the gate about each call; about one by REST with its whole body. No answer: no call."""
    return {
        "http_service": _gate_at(GATE),
        "allowed_headers": {"patterns": [{"exact": name} for name in _TO_GATE]},
        "with_request_body": {
            "max_request_bytes": BATCH_REQUEST_BYTES,
            "allow_partial_message": False,
            "pack_as_bytes": True,
        },
        "failure_mode_allow": False,
        "status_on_error": {"code": "ServiceUnavailable"},
    }


def _gate_at(cluster: str) -> Json:
    return {
        "server_uri": {"uri": "http://gate", "cluster": cluster, "timeout": seconds(_GATE_ANSWERS_S)},
        "path_prefix": "/check",
        "authorization_response": {
            "allowed_client_headers": {"patterns": [{"exact": name} for name in _FROM_GATE]}
        },
    }


def _lua(name: str) -> Json:
    code = resources.files("edge").joinpath(f"{name}.lua").read_text(encoding="utf-8")
    return typed(
        f"fxmesh.{name}",
        {"default_source_code": {"inline_string": code}},
        "envoy.extensions.filters.http.lua.v3.Lua",
    )


def transcoder(services: tuple[ServicePolicy, ...], settings: EdgeSettings, stream: Json) -> Json:
    """The transcoder for all services; `stream` is the print option that separates messages."""
    return {
        "proto_descriptor": settings.descriptors,
        "services": [service.full_name for service in services],
        "print_options": {
            # The contract's own names, as in requests, error details and grpcurl.
            "preserve_proto_field_names": True,
            "always_print_primitive_fields": True,
            **stream,
        },
        "convert_grpc_status": True,
        "max_request_body_size": BATCH_REQUEST_BYTES,
        "max_response_body_size": _ANSWER_BYTES,
        "request_validation_options": {
            "reject_unknown_method": True,
            "reject_unknown_query_parameters": True,
            "reject_binding_body_field_collisions": False,  # the gate names the field
        },
    }
