"""A pair of Envoys as a service mesh puts them: the caller's, which retries and has a time-out, and the
server's. Plaintext between them, as there is none in the mesh they are compared with.
"""

from __future__ import annotations

import json
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import psutil

from services.cli.edge import find

LIMIT_S = 15.0
_HTTP2 = {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
}


@contextmanager
def sidecars(server_port: int) -> Iterator[tuple[int, tuple[psutil.Process, ...]]]:
    """Two Envoys in front of `server_port`; yields the port of the caller's one, and their processes."""
    with ExitStack() as stack:
        port, first = stack.enter_context(_envoy(server_port, retries=False))
        port, second = stack.enter_context(_envoy(port, retries=True))
        yield port, (first, second)


@contextmanager
def _envoy(upstream: int, *, retries: bool) -> Iterator[tuple[int, psutil.Process]]:
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="bench-envoy-") as folder:
        config = Path(folder, "envoy.json")
        config.write_text(json.dumps(_configuration(port, upstream, retries=retries)))
        argv = [find(), "--config-path", config, "--disable-hot-restart", "--concurrency", "1"]
        argv += ["--log-level", "error"]
        with Popen([str(each) for each in argv]) as process:
            try:
                _wait(port)
                yield port, psutil.Process(process.pid)
            finally:
                process.terminate()


def _configuration(port: int, upstream: int, *, retries: bool) -> dict[str, Any]:
    route: dict[str, Any] = {"cluster": "upstream", "timeout": "5s"}
    if retries:
        route["retry_policy"] = {
            "retry_on": "unavailable,connect-failure,refused-stream",
            "num_retries": 2,
            "retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"},
        }
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
        ".HttpConnectionManager",
        "codec_type": "HTTP2",
        "stat_prefix": "in",
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
                },
            }
        ],
        "route_config": {
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": route}]}
            ]
        },
    }
    return {
        "static_resources": {
            "listeners": [
                {
                    "address": _address(port),
                    "filter_chains": [
                        {
                            "filters": [
                                {
                                    "name": "envoy.filters.network.http_connection_manager",
                                    "typed_config": manager,
                                }
                            ]
                        }
                    ],
                }
            ],
            "clusters": [
                {
                    "name": "upstream",
                    "type": "STATIC",
                    "connect_timeout": "1s",
                    "typed_extension_protocol_options": _HTTP2,
                    "outlier_detection": {"consecutive_gateway_failure": 5},
                    "load_assignment": {
                        "cluster_name": "upstream",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(upstream)}}]}],
                    },
                }
            ],
        }
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _wait(port: int) -> None:
    end = time.monotonic() + LIMIT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return
