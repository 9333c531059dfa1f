"""The edge alone: a real Envoy and the gate, in front of whatever a test serves."""

import asyncio
import http.client
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import grpc
from grpc_health.v1 import health_pb2
from prometheus_client import CollectorRegistry

from edge.built_in import BuiltIn
from edge.descriptors import descriptor_set
from edge.door import Door
from edge.envoy import configuration
from edge.gate import Gate
from edge.rest import RestForms
from edge.settings import Address, EdgeSettings
from edge.typed import Json
from interceptors.standard import server_concerns
from services.cli.edge import find
from services.runtime.ids import CountedIds
from services.runtime.policy import service_policies
from services.runtime.statuses import SERVING
from tests.kit.ports import HOST, free_port

_START_LIMIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers` by lower-case name."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def reason(self) -> str:
        """Of an error: the reason in its details."""
        return str(self.json["details"][0]["reason"])

    @property
    def correlation_id(self) -> str:
        """Of an error: as its details have it."""
        return str(self.json["details"][0]["metadata"]["correlation_id"])


def ask(
    port: int,
    verb: str,
    target: str,
    content: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    try:
        connection.request(verb, target, content, dict(headers or {}))
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, found, answer.read())
    finally:
        connection.close()


class Envoy:
    """Of one configuration, between `start` and `close`."""

    def __init__(self, folder: Path, config: Json) -> None:
        self._config = folder / "envoy.json"
        self._config.write_text(json.dumps(config))
        self._log = folder / "envoy.log"
        self._admin = int(config["admin"]["address"]["socket_address"]["port_value"])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return self._log.read_text()

    async def start(self) -> None:
        """Returns once it takes requests."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - returns at once
                [find(), "-c", self._config, "--disable-hot-restart", "--concurrency", "1", "-l", "error"],
                stdout=log,
                stderr=log,
            )
        async with asyncio.timeout(_START_LIMIT_S):
            while not await self._ready():
                assert self._process.poll() is None, self.log
                await asyncio.sleep(0.02)

    async def stat(self, name: str) -> int:
        """One of its own figures."""
        answer = await asyncio.to_thread(ask, self._admin, "GET", f"/stats?format=json&filter=^{name}$")
        return int(answer.json["stats"][0]["value"])

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def _ready(self) -> bool:
        try:
            return (await asyncio.to_thread(ask, self._admin, "GET", "/ready")).status == 200
        except OSError:
            return False


class Alive(grpc.GenericRpcHandler):
    """What Envoy asks of every process, for a server that is no service."""

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        if details.method != "/grpc.health.v1.Health/Check":
            return None

        async def serving(_: bytes, __: Any) -> bytes:
            return health_pb2.HealthCheckResponse(status=SERVING).SerializeToString()

        return grpc.unary_unary_rpc_method_handler(serving)


class Edge:
    """Between `start` and `close`. `upstreams`: port, or those of several instances, by service name;
    nobody answers for the others.
    `priority`: priority port by service name. `gate` decides; without one, as the contracts say.
    """

    def __init__(
        self,
        folder: Path,
        upstreams: Mapping[str, int | tuple[int, ...]],
        priority: Mapping[str, int] = MappingProxyType({}),
        gate: Gate | None = None,
    ) -> None:
        services = service_policies()
        self.port, nobody = free_port(), free_port()
        given = {service.name: upstreams.get(service.name, nobody) for service in services}
        ports = {name: each if isinstance(each, tuple) else (each,) for name, each in given.items()}
        metrics = CollectorRegistry()
        self._built_in = BuiltIn(
            HOST,
            0,
            server_concerns(CountedIds("gate"), metrics),
            {service.full_name: f"{HOST}:{ports[service.name][0]}" for service in services},
        )
        self.door = Door(HOST, 0, gate or Gate(RestForms(services)), metrics)
        settings = EdgeSettings(
            Address(HOST, self.port),
            Address(HOST, free_port()),
            {name: tuple(Address(HOST, each) for each in those) for name, those in ports.items()},
            Address(HOST, self.door.port),
            Address(HOST, self._built_in.port),
            str(folder / "contracts.binpb"),
            {name: (Address(HOST, port),) for name, port in priority.items()},
        )
        (folder / "contracts.binpb").write_bytes(descriptor_set(services))
        self._envoy = Envoy(folder, configuration(services, settings))

    @property
    def log(self) -> str:
        return self._envoy.log

    async def start(self) -> None:
        """Returns once it takes requests."""
        await self._built_in.start()
        self._built_in.ready.set()
        await self._envoy.start()

    async def ask(
        self,
        verb: str,
        target: str,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """As `ask`, off the event loop."""
        return await asyncio.to_thread(ask, self.port, verb, target, content, headers)

    async def stat(self, name: str) -> int:
        """One of Envoy's own figures."""
        return await self._envoy.stat(name)

    async def close(self) -> None:
        self._envoy.close()
        self.door.close()
        await self._built_in.close()
