"""The proxy does to bytes what it is told, in the direction it is told, to connections that live already."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.kit.nats import until
from tests.kit.proxy import Proxy, proxy, vanish

BIG = bytes(range(256)) * 4096  # 1 MiB
LATER_S = 0.15


@dataclass
class Ends:
    """Both ends of one connection through the proxy, and the proxy."""

    way: Proxy
    client: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    server: tuple[asyncio.StreamReader, asyncio.StreamWriter]

    def send(self, data: bytes) -> None:
        self.client[1].write(data)

    def answer(self, data: bytes) -> None:
        self.server[1].write(data)

    async def served(self, count: int) -> bytes:
        """What the server reads."""
        async with asyncio.timeout(10):
            return await self.server[0].readexactly(count)

    async def got(self, count: int) -> bytes:
        """What the client reads."""
        async with asyncio.timeout(10):
            return await self.client[0].readexactly(count)

    async def silent(self, reader: asyncio.StreamReader) -> bool:
        """Nothing comes for a while."""
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), LATER_S)
        return True


@pytest_asyncio.fixture
async def ends() -> AsyncIterator[Ends]:
    accepted: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Future()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if accepted.done():
            await vanish(writer)
        else:
            accepted.set_result((reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with proxy(server.sockets[0].getsockname()[1]) as way:
        client = await asyncio.open_connection("127.0.0.1", way.port)
        both = Ends(way, client, await accepted)
        yield both
        for writer in (both.client[1], both.server[1]):
            await vanish(writer)
    server.close()


async def test_what_is_sent_arrives_both_ways_and_so_does_the_end(ends: Ends) -> None:
    ends.send(BIG)
    assert await ends.served(len(BIG)) == BIG
    ends.answer(BIG[::-1])
    assert await ends.got(len(BIG)) == BIG[::-1]
    ends.client[1].write_eof()
    assert await ends.server[0].read() == b""
    ends.answer(b"still")
    assert await ends.got(5) == b"still"


async def test_a_delay_is_of_one_direction_and_does_not_add_up(ends: Ends) -> None:
    ends.way.to_server.delay_s = LATER_S
    began = time.monotonic()
    for number in range(50):
        ends.send(bytes([number]))
        await asyncio.sleep(0.001)
    assert await ends.served(50) == bytes(range(50))
    assert LATER_S <= time.monotonic() - began < 49 * LATER_S
    ends.way.to_server.delay_s = 60
    ends.answer(b"at once")
    assert await ends.got(7) == b"at once"


async def test_a_slow_link_passes_so_many_bytes_a_second(ends: Ends) -> None:
    ends.way.to_server.bytes_per_s = 10_000
    began = time.monotonic()
    ends.send(bytes(3000))
    assert await ends.served(3000) == bytes(3000)
    assert time.monotonic() - began >= 0.27


async def test_slices_arrive_whole_and_in_order(ends: Ends) -> None:
    ends.way.to_server.slice_bytes = 1
    ends.send(BIG[:2000])
    first = await ends.server[0].read(2000)
    assert len(first) < 2000
    assert first + await ends.served(2000 - len(first)) == BIG[:2000]


async def test_a_stall_holds_back_and_loses_nothing(ends: Ends) -> None:
    ends.way.to_server.stall()
    ends.send(b"held")
    assert await ends.silent(ends.server[0])
    ends.answer(b"the other way")
    assert await ends.got(13) == b"the other way"
    ends.way.to_server.resume()
    assert await ends.served(4) == b"held"


async def test_a_long_stall_fills_the_window_of_who_sends(ends: Ends) -> None:
    ends.way.to_server.stall()
    ends.send(BIG * 16)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ends.client[1].drain(), LATER_S)
    ends.way.to_server.resume()
    assert len(await ends.served(16 * len(BIG))) == 16 * len(BIG)


async def test_a_black_hole_swallows_and_tells_nobody(ends: Ends) -> None:
    ends.way.black_hole()
    ends.send(b"gone")
    ends.client[1].write_eof()
    assert await ends.silent(ends.server[0])
    assert await ends.silent(ends.client[0])


async def test_a_one_way_partition_swallows_one_direction(ends: Ends) -> None:
    ends.way.to_client.dropping = True
    ends.send(b"heard")
    assert await ends.served(5) == b"heard"
    ends.answer(b"lost")
    assert await ends.silent(ends.client[0])


async def test_after_a_black_hole_old_connections_are_reset_and_new_ones_work(ends: Ends) -> None:
    ends.way.black_hole()
    ends.send(b"gone")
    ends.way.heal()
    with pytest.raises(ConnectionResetError):
        await ends.client[0].read(1)
    assert ends.way.accepted == 1
    _, again = await asyncio.open_connection("127.0.0.1", ends.way.port)
    await until(lambda: ends.way.accepted == 2)
    await vanish(again)


async def test_a_reset_is_a_reset_at_both_ends(ends: Ends) -> None:
    ends.way.reset()
    for reader in (ends.client[0], ends.server[0]):
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
    await until(lambda: ends.way.connections == 0)


async def test_a_reset_after_so_many_bytes_lets_just_these_through(ends: Ends) -> None:
    ends.way.to_client.reset_at = 3
    ends.answer(b"replied")
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await ends.got(7)
    assert ends.way.to_client.passed == 3


async def test_who_connects_to_a_proxy_that_refuses_is_refused_until_it_starts_again(ends: Ends) -> None:
    ends.way.refuse()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", ends.way.port)
    ends.send(b"open ones live on")
    assert await ends.served(17) == b"open ones live on"
    await ends.way.start()
    _, again = await asyncio.open_connection("127.0.0.1", ends.way.port)
    await vanish(again)
