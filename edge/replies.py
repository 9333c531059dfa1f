"""What Envoy itself answers (an unknown path, a body too large, nobody there), in the form of all errors.

`google.rpc.Status` as JSON: `{"code", "message", "details": [ErrorInfo]}`, as the transcoder prints what
services answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from google.rpc import code_pb2


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    code: str
    reason: str
    message: str
    told_as: int = 0
    """The HTTP status that belongs to the code, where Envoy gives another."""


_AS_SAID = "%LOCAL_REPLY_BODY%"
"""The sentence of whoever refused: edge/admission.lua, or the gate."""
# By HTTP status. The first is for whatever is not named below it.
_OTHER = _Reply(500, "INTERNAL", "INTERNAL", "internal error of the edge")
_UPGRADE = _Reply(403, "INVALID_ARGUMENT", "MALFORMED_REQUEST", "the edge does not upgrade connections", 400)
_REPLIES = (
    _Reply(400, "INVALID_ARGUMENT", "MALFORMED_REQUEST", "this is not a request the edge understands"),
    _Reply(403, "PERMISSION_DENIED", "PERMISSION_DENIED", _AS_SAID),
    _Reply(404, "NOT_FOUND", "UNKNOWN_PATH", "nothing answers at this host and path"),
    _Reply(405, "UNIMPLEMENTED", "UNKNOWN_PATH", "this path does not answer to this method"),
    _Reply(408, "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", "the request did not arrive in time"),
    _Reply(413, "INVALID_ARGUMENT", "REQUEST_TOO_LARGE", "the body is above the limit"),
    _Reply(422, "INVALID_ARGUMENT", "MALFORMED_REQUEST", _AS_SAID, 400),
    _Reply(
        426, "INVALID_ARGUMENT", "MALFORMED_REQUEST", "the edge speaks HTTP/1.1 and HTTP/2, not older", 400
    ),
    _Reply(431, "INVALID_ARGUMENT", "REQUEST_TOO_LARGE", "the headers are above the limit"),
    _Reply(503, "UNAVAILABLE", "PEER_UNAVAILABLE", "the service cannot be reached at the moment"),
    _Reply(504, "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", "the call did not finish within its deadline"),
)


def local_replies() -> dict[str, Any]:
    """`local_reply_config` of the connection manager."""
    # A gRPC caller reads the sentence in grpc-message: status.lua adds the details. The gate's refusals are
    # whole already.
    as_it_is = {"text_format_source": {"inline_string": _AS_SAID}}
    by_the_gate = {"response_flag_filter": {"flags": ["UAEX"]}}
    return {
        "mappers": [
            {"filter": _is_grpc(), "body_format_override": as_it_is},
            {
                "filter": _all(by_the_gate, _status("LE", 499)),
                "body_format_override": {**as_it_is, "content_type": "application/json"},
            },
            {**_mapper(_UPGRADE), "filter": _all(_status("EQ", _UPGRADE.status), _header("upgrade"))},
            *(_mapper(each) for each in _REPLIES),
        ],
        "body_format": _body(_OTHER),
    }


def _mapper(reply: _Reply) -> dict[str, Any]:
    found = {"filter": _status("EQ", reply.status), "body_format_override": _body(reply)}
    return {**found, "status_code": reply.told_as} if reply.told_as else found


def _is_grpc() -> dict[str, Any]:
    """True for callers who speak gRPC themselves; a transcoded call has its first path kept in a header."""
    return _all(
        _header("content-type", string_match={"prefix": "application/grpc"}),
        _header("x-envoy-original-path", present_match=False),
    )


def _header(name: str, **match: Any) -> dict[str, Any]:
    return {"header_filter": {"header": {"name": name, **(match or {"present_match": True})}}}


def _all(*filters: dict[str, Any]) -> dict[str, Any]:
    return {"and_filter": {"filters": list(filters)}}


def _status(operator: str, value: int) -> dict[str, Any]:
    compared = {"op": operator, "value": {"default_value": value, "runtime_key": f"edge.reply_{value}"}}
    return {"status_code_filter": {"comparison": compared}}


def _body(reply: _Reply) -> dict[str, Any]:
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reply.reason,
        "domain": "fxmesh",
        "metadata": {"correlation_id": "%REQ(X-CORRELATION-ID)%"},
    }
    return {
        "json_format": {
            "code": code_pb2.Code.Value(reply.code),
            "message": reply.message,
            "details": [info],
        },
        "omit_empty_values": True,
        "content_type": "application/json",
    }
