"""Is a process well? One HTTP GET of /health (of Envoy: /ready), or for NATS the first words of its protocol.

Spoken by hand on asyncio streams: two tiny requests, and the supervisor stays small and quick to start.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.cli.supervisor.state import Condition

_TIMEOUT_S = 2.0
_LIMIT = 1 << 20  # bytes of an answer

_BY_STATUS = {
    "serving": Condition.SERVING,
    "degraded": Condition.DEGRADED,
    "starting": Condition.STARTING,
    "not_serving": Condition.NOT_SERVING,
}


@dataclass(frozen=True, slots=True)
class Health:
    """`condition` is None when there was no answer; `body` is what the process said of itself."""

    condition: Condition | None
    body: Mapping[str, Any] = field(default_factory=dict)


NO_ANSWER = Health(None)


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """GET /health of a service: its `status` where the body has one, else the status code decides."""

    host: str
    port: int
    timeout_s: float = _TIMEOUT_S
    path: str = "/health"

    async def check(self) -> Health:
        """Never raises: a process that cannot be asked is NO_ANSWER."""
        request = f"GET {self.path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nConnection: close\r\n\r\n"
        try:
            async with asyncio.timeout(self.timeout_s):
                reader, writer = await asyncio.open_connection(self.host, self.port, limit=_LIMIT)
                try:
                    writer.write(request.encode())
                    head = await reader.readuntil(b"\r\n\r\n")
                    body = await _body(reader, head)
                finally:
                    writer.close()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return NO_ANSWER
        return _health_of(head, body)


@dataclass(frozen=True, slots=True)
class NatsProbe:
    """Greets a nats-server: well once it answers PING and says that JetStream is on.

    `login` reads user and password at each greeting; empty for a server that asks nobody.
    """

    host: str
    port: int
    timeout_s: float = _TIMEOUT_S
    login: Callable[[], Mapping[str, str]] = dict

    async def check(self) -> Health:
        """Never raises: a server that cannot be asked is NO_ANSWER."""
        try:
            async with asyncio.timeout(self.timeout_s):
                reader, writer = await asyncio.open_connection(self.host, self.port, limit=_LIMIT)
                try:
                    info = json.loads((await reader.readline()).removeprefix(b"INFO "))
                    hello = {"verbose": False, "pedantic": False, "name": "fxmesh up", **self.login()}
                    writer.write(f"CONNECT {json.dumps(hello)}\r\nPING\r\n".encode())
                    answer = await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError, ValueError, asyncio.LimitOverrunError):
            return NO_ANSWER
        body = {"version": info.get("version"), "jetstream": bool(info.get("jetstream"))}
        well = answer.startswith(b"PONG") and body["jetstream"]
        return Health(Condition.SERVING if well else Condition.NOT_SERVING, body)


Probe = HttpProbe | NatsProbe


def probe_for(host: str, ports: Mapping[str, int], login: Callable[[], Mapping[str, str]]) -> Probe | None:
    """The probe for a process with these ports; None where it cannot be asked. `login` is for NATS."""
    if "http" in ports:
        return HttpProbe(host, ports["http"])
    if "admin" in ports:
        return HttpProbe(host, ports["admin"], path="/ready")
    return NatsProbe(host, ports["nats"], login=login) if "nats" in ports else None


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    """As long as the head says, else what comes until the server closes."""
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length" and value.strip().isdigit():
            return await reader.readexactly(min(int(value), _LIMIT))
    return await reader.read()


def _health_of(head: bytes, body: bytes) -> Health:
    words = head.split(maxsplit=2)
    code = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    try:
        said = json.loads(body)
    except ValueError:
        said = {}
    said = said if isinstance(said, dict) else {}
    by_code = Condition.SERVING if code == 200 else Condition.NOT_SERVING
    return Health(_BY_STATUS.get(str(said.get("status", "")).lower(), by_code), said)
