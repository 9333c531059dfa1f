"""`/health` and `/metrics` over real HTTP."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler

import pytest
from prometheus_client import CollectorRegistry, Counter

from services.runtime.fatal import FatalError
from services.runtime.health import Health
from services.runtime.http import HttpEndpoint, HttpServer


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def metrics() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def endpoint(health: Health, metrics: CollectorRegistry) -> Iterator[HttpEndpoint]:
    served = HttpEndpoint("127.0.0.1", 0, "market_data", health, metrics)
    yield served
    served.close()


def _get(endpoint: HttpEndpoint, path: str, method: str = "GET") -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=5)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer.headers["Content-Type"], body


def test_health_follows_the_process(endpoint: HttpEndpoint, health: Health) -> None:
    health.starting("bus", "waiting for NATS")
    status, kind, body = _get(endpoint, "/health")
    assert (status, kind) == (503, "application/json")
    assert json.loads(body) == {
        "service": "market_data",
        "status": "starting",
        "dependencies": {"bus": {"state": "starting", "required": True, "detail": "waiting for NATS"}},
    }
    health.started()
    health.up("bus")
    health.starting("trading_gateway", required=False)
    status, _, body = _get(endpoint, "/health?verbose=1")
    assert (status, json.loads(body)["status"]) == (200, "degraded")
    health.stopping()
    assert _get(endpoint, "/health")[0] == 503


def test_metrics_are_those_of_the_process(endpoint: HttpEndpoint, metrics: CollectorRegistry) -> None:
    Counter("orders", "Orders.", registry=metrics).inc(3)
    status, kind, body = _get(endpoint, "/metrics")
    assert status == 200
    assert kind.startswith("text/plain")
    assert b"orders_total 3.0" in body


def test_there_is_nothing_else(endpoint: HttpEndpoint) -> None:
    assert _get(endpoint, "/")[0] == 404
    assert _get(endpoint, "/health", "HEAD")[2] == b""
    assert _get(endpoint, "/health", "POST")[0] == 501


def test_a_taken_port_is_one_sentence(endpoint: HttpEndpoint, health: Health) -> None:
    with pytest.raises(
        FatalError, match=f"HTTP port {endpoint.port} on 127.0.0.1 is in use.*FXMESH_HTTP_PORT"
    ):
        HttpEndpoint("127.0.0.1", endpoint.port, "other", health, CollectorRegistry())


def test_an_address_of_another_machine_is_one_sentence(health: Health) -> None:
    with pytest.raises(FatalError, match=r"HTTP cannot listen on 192\.0\.2\.1"):
        HttpEndpoint("192.0.2.1", 0, "other", health, CollectorRegistry())


def test_the_port_is_free_again_after_close(health: Health) -> None:
    first = HttpEndpoint("127.0.0.1", 0, "a", health, CollectorRegistry())
    first.close()
    second = HttpEndpoint("127.0.0.1", first.port, "b", health, CollectorRegistry())
    second.close()


def test_a_silent_connection_does_not_hold_up_others(endpoint: HttpEndpoint) -> None:
    with socket.create_connection(("127.0.0.1", endpoint.port)):
        assert _get(endpoint, "/metrics")[0] == 200


def test_connections_that_come_at_once_wait_for_their_turn() -> None:
    with HttpServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as busy, ExitStack() as opened:
        for _ in range(200):  # nobody accepts them yet
            opened.enter_context(socket.create_connection(("127.0.0.1", busy.server_port), timeout=0.5))
