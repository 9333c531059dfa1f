"""The gate behind HTTP, where Envoy asks about each call: 200 lets it pass, else it is the answer.

A REST call comes with its body and is refused in JSON. A gRPC call comes without, and its refusal is a
sentence, with the details that services give in a header of their name.

The standard library's server, a thread a connection: Envoy bounds how many there are (edge/upstreams.py) and
closes those that are idle.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

import structlog
from google.protobuf import json_format
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, generate_latest

from edge.gate import Gate, Request
from interceptors import errors
from services.errors import FxError, Kind
from services.runtime.context import CORRELATION_KEY
from services.runtime.fatal import FatalError
from services.runtime.http import HttpServer, bind_failure
from services.runtime.identity.token_file import AUTHORIZATION

CHECK = "/check"
"""What Envoy puts before the path of the request in question."""
_IDLE_S = 30.0
"""Above the idle time-out of Envoy's connections: the one who opened them closes them."""
_STATUS = {
    Kind.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    Kind.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Kind.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    Kind.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    Kind.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}
CHALLENGE = "www-authenticate"
_JSON = {"Content-Type": "application/json"}
_log = structlog.get_logger("fxmesh.edge")


class Door:
    """Serves from construction until `close()`. Raises FatalError when the port is taken."""

    def __init__(self, host: str, port: int, gate: Gate, metrics: CollectorRegistry) -> None:
        checks = Counter(
            "fxmesh_edge_checks",
            "Calls that Envoy asked about: PASSED, or the reason of the refusal.",
            ["outcome"],
            registry=metrics,
        )
        try:
            self._server = _Server((host, port), gate, metrics, checks)
        except OSError as failure:
            raise FatalError(bind_failure("HTTP", host, port, failure)) from failure
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="door", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=1)


class _Server(HttpServer):
    def __init__(
        self, address: tuple[str, int], gate: Gate, metrics: CollectorRegistry, checks: Counter
    ) -> None:
        self.gate = gate
        self.metrics = metrics
        self.checks = checks
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_S
    wbufsize = -1  # head and body in one packet: two would wait for each other
    server: _Server

    def answer_anything(self) -> None:
        """Whatever the verb: it belongs to the request in question."""
        if self.path == "/health":
            self._send(HTTPStatus.OK, json.dumps({"service": "edge_gate", "status": "serving"}).encode())
        elif self.path == "/metrics":
            shown = {"Content-Type": CONTENT_TYPE_LATEST}
            self._send(HTTPStatus.OK, generate_latest(self.server.metrics), shown)
        elif self.path.startswith(f"{CHECK}/"):
            self._check()
        else:
            self._send(HTTPStatus.NOT_FOUND, b'{"error": "only /health, /metrics and /check/"}')

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer_anything  # noqa: N815

    def _check(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        target = self.path.removeprefix(CHECK)
        request = Request(self.command, target, content, self.headers.get(AUTHORIZATION))
        correlation_id = self.headers.get(CORRELATION_KEY, "")
        gate, grpc = self.server.gate, self.headers.get("Content-Type", "").startswith("application/grpc")
        try:
            (gate.check_call if grpc else gate.check)(request)
        except FxError as error:
            self.server.checks.labels(error.reason).inc()
            said = _grpc_answer if grpc else _json_answer
            self._send(_status_of(error), *said(error, correlation_id))
        except Exception:  # noqa: BLE001  the one place that answers for a defect in the checks
            _log.exception("check failed", correlation_id=correlation_id, verb=request.verb)
            self.server.checks.labels("FAILED").inc()
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, b"")
        else:
            self.server.checks.labels("PASSED").inc()
            self._send(HTTPStatus.OK, b"")

    def _send(self, status: HTTPStatus, content: bytes, headers: Mapping[str, str] = _JSON) -> None:
        self.send_response_only(status)
        for name, value in headers.items() if content else ():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: Envoy logs what was refused."""


def _status_of(error: FxError) -> HTTPStatus:
    if error.reason == "REQUEST_TOO_LARGE":
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    return _STATUS[error.kind]


def _grpc_answer(error: FxError, correlation_id: str) -> tuple[bytes, dict[str, str]]:
    """Envoy makes the status of the HTTP one, and its message of the body."""
    status = errors.to_status(error, correlation_id)
    details = base64.b64encode(status.SerializeToString()).rstrip(b"=").decode()
    return status.message.encode(), {errors.DETAILS_KEY: details, "Content-Type": "text/plain"}


def _json_answer(error: FxError, correlation_id: str) -> tuple[bytes, dict[str, str]]:
    """As the transcoder prints the errors of services."""
    status = errors.to_status(error, correlation_id)
    said = json_format.MessageToDict(
        status, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    body = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
    return body, {**_JSON, CHALLENGE: _challenge(error)} if error.kind in _CHALLENGED else _JSON


_CHALLENGED = (Kind.UNAUTHENTICATED, Kind.PERMISSION_DENIED)


def _challenge(error: FxError) -> str:
    """What RFC 6750 has a refusal say."""
    if error.reason == "CREDENTIALS_MISSING":
        return 'Bearer realm="fxmesh"'
    failure = "insufficient_scope" if error.kind is Kind.PERMISSION_DENIED else "invalid_token"
    return f'Bearer realm="fxmesh", error="{failure}"'
