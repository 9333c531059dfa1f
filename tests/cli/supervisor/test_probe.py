"""Probes over real sockets: what a process says, and every way of saying nothing."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry

from services.cli.supervisor.probe import NO_ANSWER, HttpProbe, NatsProbe
from services.cli.supervisor.state import Condition
from services.runtime.health import Health
from services.runtime.http import HttpEndpoint
from tests.kit.nats import NatsServer, own_nats
from tests.kit.ports import free_port

__all__ = ["own_nats"]

HOST = "127.0.0.1"


@asynccontextmanager
async def serving(text: str) -> AsyncIterator[int]:
    """Answers one connection with `text`; a NATS server speaks first, an HTTP server second."""
    over = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not text.startswith("INFO"):
            await reader.readuntil(b"\r\n\r\n")
        writer.write(text.encode())
        if text.startswith("INFO"):
            await reader.readuntil(b"PING\r\n")
        writer.close()
        await writer.wait_closed()
        over.set()

    async with await asyncio.start_server(answer, HOST, 0) as server:
        yield server.sockets[0].getsockname()[1]
        await over.wait()


async def test_a_service_is_what_its_health_says() -> None:
    health = Health()
    endpoint = HttpEndpoint(HOST, 0, "trading_gateway", health, CollectorRegistry())
    probe = HttpProbe(HOST, endpoint.port)
    try:
        assert (await probe.check()).condition is Condition.STARTING
        health.starting("peer", required=False)
        health.started()
        answer = await probe.check()
        assert answer.condition is Condition.DEGRADED
        assert answer.body["dependencies"]["peer"]["state"] == "starting"
        health.up("peer")
        assert (await probe.check()).condition is Condition.SERVING
        health.stopping()
        assert (await probe.check()).condition is Condition.NOT_SERVING
    finally:
        endpoint.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HTTP/1.1 200 OK\r\n\r\n", Condition.SERVING),
        ("HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\n{}", Condition.NOT_SERVING),
        ('HTTP/1.1 200 OK\r\n\r\n{"status": "dancing"}', Condition.SERVING),
        ("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", None),
        ("nonsense", None),
        ("", None),
    ],
)
async def test_other_answers_count_by_their_code_or_not_at_all(text: str, expected: Condition | None) -> None:
    async with serving(text) as port:
        assert (await HttpProbe(HOST, port).check()).condition is expected


async def test_nobody_there_and_nobody_answering_are_no_answer() -> None:
    assert await HttpProbe(HOST, free_port()).check() == NO_ANSWER
    assert await NatsProbe(HOST, free_port()).check() == NO_ANSWER
    with socket.create_server((HOST, 0)) as silent:
        port = silent.getsockname()[1]
        assert await HttpProbe(HOST, port, timeout_s=0.05).check() == NO_ANSWER
        assert await NatsProbe(HOST, port, timeout_s=0.05).check() == NO_ANSWER


@pytest.mark.integration
async def test_a_real_nats_server_serves_with_jetstream(own_nats: NatsServer) -> None:
    answer = await NatsProbe(HOST, int(own_nats.url.rpartition(":")[2])).check()
    assert answer.condition is Condition.SERVING
    assert answer.body["jetstream"] is True


@pytest.mark.integration
async def test_a_frozen_nats_server_is_no_answer(own_nats: NatsServer) -> None:
    own_nats.freeze()
    assert await NatsProbe(HOST, int(own_nats.url.rpartition(":")[2]), timeout_s=0.1).check() == NO_ANSWER


@pytest.mark.parametrize(
    ("info", "then", "expected"),
    [
        ({"jetstream": False}, "PONG\r\n", Condition.NOT_SERVING),
        ({"jetstream": True}, "-ERR 'Authorization Violation'\r\n", Condition.NOT_SERVING),
        ({"jetstream": True, "version": "2.9.10"}, "PONG\r\n", Condition.SERVING),
    ],
)
async def test_a_nats_server_must_let_us_in_and_have_jetstream(
    info: dict[str, object], then: str, expected: Condition
) -> None:
    async with serving(f"INFO {json.dumps(info)}\r\n{then}") as port:
        assert (await NatsProbe(HOST, port).check()).condition is expected
