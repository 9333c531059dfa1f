"""The HTTP side of a process: `/health` for people and probes, `/metrics` for Prometheus. Nothing else.

On a thread of its own with the standard library's server, so that a blocked event loop can still be seen from
outside and no web framework is loaded.
"""

from __future__ import annotations

import errno
import json
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from services.runtime.fatal import FatalError
from services.runtime.health import Health

_Answer: TypeAlias = tuple[HTTPStatus, str, bytes]  # status, content type, body
_IDLE_S = 10.0
"""A connection that says nothing for so long is closed."""


class HttpEndpoint:
    """Serves from construction until `close()`. Raises FatalError when the port is taken."""

    def __init__(
        self, host: str, port: int, service: str, health: Health, metrics: CollectorRegistry
    ) -> None:
        answers: dict[str, Callable[[], _Answer]] = {
            "/health": lambda: _health(service, health),
            "/metrics": lambda: (HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(metrics)),
        }
        try:
            self._server = _Server((host, port), answers)
        except OSError as failure:
            raise FatalError(bind_failure("HTTP", host, port, failure)) from failure
        self.port: int = self._server.server_address[1]
        """The port it listens on."""
        self._thread = threading.Thread(target=self._server.serve_forever, name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=1)


def bind_failure(what: str, host: str, port: int, failure: OSError | None = None) -> str:
    """The sentence about a port that cannot be listened on."""
    variable = f"FXMESH_{what.upper()}_PORT"
    if failure is not None and failure.errno in (errno.EACCES, errno.EADDRNOTAVAIL):
        return f"{what} cannot listen on {host}:{port} ({failure.strerror}): set FXMESH_HOST or {variable}"
    return f"{what} port {port} on {host} is in use: stop what uses it or set {variable} (0: any free one)"


def _health(service: str, health: Health) -> _Answer:
    dependencies = {
        each.name: {"state": each.state.value, "required": each.required, "detail": each.detail}
        for each in health.dependencies()
    }
    body = {"service": service, "status": health.status.value, "dependencies": dependencies}
    status = HTTPStatus.OK if health.ready else HTTPStatus.SERVICE_UNAVAILABLE
    return status, "application/json", json.dumps(body).encode() + b"\n"


class HttpServer(ThreadingHTTPServer):
    """The standard library's, as every process here serves HTTP: a thread a connection, none waited for."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024  # its default, 5, refuses connections that come at once


class _Server(HttpServer):
    def __init__(self, address: tuple[str, int], answers: dict[str, Callable[[], _Answer]]) -> None:
        self.answers = answers
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_S
    server: _Server

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        make = self.server.answers.get(self.path.partition("?")[0])
        if make is None:
            status, kind, body = HTTPStatus.NOT_FOUND, "text/plain", b"only /health and /metrics\n"
        else:
            status, kind, body = make()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def version_string(self) -> str:
        return "fxmesh"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a line per probe and scrape would drown the rest."""
