"""One name, several addresses: what a headless service of Kubernetes gives, from a DNS server of the test."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from interceptors.standard import client_concerns, server_concerns
from services.errors import FxError
from services.runtime import channels
from services.runtime.health import Health
from services.runtime.ids import CountedIds
from services.runtime.serve import MeshServer
from tests.fakes.echo import SERVICE, service_pb2_grpc
from tests.fakes.echo.service import EchoServicer, Request

NAME = "market-data.test"
HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")


class NameServer(asyncio.DatagramProtocol):
    """Answers A questions with `HOSTS`, and everything else with nothing."""

    def __init__(self) -> None:
        self.asked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not an instance of what its methods are: asyncio's own datagram transport derives from a base alone.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1
        end = data.index(b"\0", 12) + 5
        (kind,) = struct.unpack("!H", data[end - 4 : end - 2])
        hosts = HOSTS if kind == 1 else ()
        head = data[:2] + struct.pack("!HHHHH", 0x8580, 1, len(hosts), 0, 0)
        found = b"".join(struct.pack("!HHHIH", 0xC00C, 1, 1, 1, 4) + socket.inet_aton(host) for host in hosts)
        self._transport.sendto(head + data[12:end] + found, addr)


@asynccontextmanager
async def name_server() -> AsyncIterator[tuple[NameServer, int]]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    try:
        yield server, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


async def _served(host: str, port: int) -> tuple[MeshServer, EchoServicer]:
    servicer = EchoServicer()
    server = MeshServer(host, port, server_concerns(CountedIds(host), CollectorRegistry()), Health())
    server.add(service_pb2_grpc.add_EchoServiceServicer_to_server, servicer)
    await server.start()
    return server, servicer


async def test_calls_go_round_all_addresses_of_a_name_and_leave_a_dead_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with name_server() as (names, dns_port), AsyncExitStack() as stack:
        first = await _served(HOSTS[0], 0)
        served = [first, *[await _served(host, first[0].port) for host in HOSTS[1:]]]
        for server, _ in served:
            stack.push_async_callback(server.close)
        address = f"dns://127.0.0.1:{dns_port}/{NAME}:{first[0].port}"
        monkeypatch.setattr(channels, "dns_address", lambda _: address)
        made = channels.dns_channels(client_concerns(CountedIds("c"), CollectorRegistry()))
        stack.push_async_callback(made.close)
        stub = service_pb2_grpc.EchoServiceStub(made.to(SERVICE))

        async def reach(wanted: list[EchoServicer]) -> None:
            before = [len(each.finished) for each in wanted]
            async with asyncio.timeout(20):
                while any(len(each.finished) <= was for each, was in zip(wanted, before, strict=True)):
                    await stub.Unary(Request())

        await reach([servicer for _, servicer in served])
        assert names.asked > 0

        dead, silent = served[1]
        await dead.close()
        failed = 0
        while failed < 50:  # until the closed connection is noticed
            try:
                await stub.Unary(Request())
                break
            except FxError:
                failed += 1
        count = len(silent.finished)
        await reach([served[0][1], served[2][1]])
        for _ in range(20):
            await stub.Unary(Request())
        assert len(silent.finished) == count
