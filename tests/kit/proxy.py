"""A TCP proxy that does to connections what networks do: per direction, and changed while they live.

    async with proxy(port) as way:
        way.to_server.delay_s = 0.5      # and back: way.to_client
        way.reset()

Runs on the event loop of the test. A `Direction` may be changed at any time; bytes under way feel it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

from tests.kit.ports import free_port

_READ_BYTES = 64 * 1024
_QUEUE = 64  # pieces read ahead, so that a delay delays and does not throttle
_BEATS_PER_S = 20  # a slow link passes its bytes in so many pieces a second
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of zero seconds: close() sends RST


class Direction:
    """What happens to the bytes of one direction, of every connection."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        """Each byte arrives so much later."""
        self.bytes_per_s: float | None = None
        self.slice_bytes: int | None = None
        """Bytes arrive in pieces of this size, each in a segment of its own."""
        self.reset_at: int | None = None
        """Once so many more bytes have passed, the connection that carried the last is reset."""
        self.passed = 0
        """Bytes that arrived."""
        self.dropping = False
        """A black hole: what comes is gone, the end of the connection too."""
        self._open = asyncio.Event()
        self._open.set()

    def stall(self) -> None:
        """Hold everything back from now on; nothing is lost, and TCP's windows fill."""
        self._open.clear()

    def resume(self) -> None:
        """Let go of what was stalled."""
        self._open.set()

    def heal(self) -> None:
        """Back to a good link. What was dropped stays gone."""
        self.delay_s, self.bytes_per_s, self.slice_bytes, self.reset_at = 0.0, None, None, None
        self.dropping = False
        self.resume()

    async def may_pass(self) -> None:
        await self._open.wait()

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """`data` in the pieces in which it travels; each is cut by what holds at that moment."""
        while data:
            size = min(len(data), self.slice_bytes or len(data))
            if self.bytes_per_s is not None:
                size = min(size, max(1, int(self.bytes_per_s / _BEATS_PER_S)))
            if self.reset_at is not None:
                size = min(size, max(1, self.reset_at))
            yield data[:size]
            data = data[size:]


class _Pump:
    """One direction of one connection."""

    def __init__(
        self, link: _Link, way: Direction, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        self._link, self._way, self._source, self._sink = link, way, source, sink
        self._queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_QUEUE)

    async def read(self) -> None:
        clock = asyncio.get_running_loop().time
        data = b"."
        while data:
            await self._way.may_pass()
            data = await self._source.read(_READ_BYTES)
            await self._queue.put((clock() + self._way.delay_s, data))

    async def write(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due, data = await self._queue.get()
            await asyncio.sleep(due - clock())
            if not data:
                await self._end()
                return
            for piece in self._way.pieces(data):
                await self._pass(piece)

    async def _pass(self, piece: bytes) -> None:
        way = self._way
        await way.may_pass()
        if way.bytes_per_s is not None:
            await asyncio.sleep(len(piece) / way.bytes_per_s)
        if way.dropping:
            return
        self._sink.write(piece)
        await self._sink.drain()
        way.passed += len(piece)
        if way.reset_at is not None:
            way.reset_at -= len(piece)
            if way.reset_at <= 0:
                way.reset_at = None
                self._link.reset()
        if way.slice_bytes is not None:
            await asyncio.sleep(0)  # the next piece in the next segment

    async def _end(self) -> None:
        await self._way.may_pass()
        if not self._way.dropping:
            self._sink.write_eof()


class _Link:
    """One connection from a client, and ours to the server for it."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._ends = (client, server)
        for end in self._ends:
            end.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def reset(self) -> None:
        """RST both ways."""
        for end in self._ends:
            with suppress(OSError):  # it has ended by itself
                end.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            end.transport.abort()


class Proxy:
    """Between `start` and `close`, on a free port in front of `port`."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._host, self.behind = host, port
        self.to_server, self.to_client = Direction(), Direction()
        self.accepted = 0
        """Connections that came."""
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = free_port()

    @property
    def address(self) -> str:
        return f"{self._host}:{self.port}"

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._links)

    async def start(self) -> None:
        """Listen; again after `refuse`, on the same port."""
        self._server = await asyncio.start_server(self._serve, self._host, self.port)

    def refuse(self) -> None:
        """Listen no longer: who connects is refused. Open connections live on."""
        if self._server is not None:
            self._server.close()

    def reset(self) -> None:
        """RST every open connection; new ones are welcome."""
        for link in tuple(self._links):
            link.reset()

    def black_hole(self) -> None:
        """Nothing passes either way, nobody is told."""
        self.to_server.dropping = self.to_client.dropping = True

    def heal(self) -> None:
        """A good link again; connections that lost bytes cannot go on and are reset."""
        if self.to_server.dropping or self.to_client.dropping:
            self.reset()
        self.to_server.heal()
        self.to_client.heal()

    async def close(self) -> None:
        self.refuse()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.accepted += 1
        try:
            await self._connect(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # nobody behind; or the proxy closes, which asyncio's server would report as a failure
        finally:
            await vanish(writer)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection(self._host, self.behind)
        link = _Link(writer, forth)
        self._links.add(link)
        ways = (_Pump(link, self.to_server, reader, forth), _Pump(link, self.to_client, back, writer))
        work = [asyncio.ensure_future(each) for way in ways for each in (way.read(), way.write())]
        try:
            await asyncio.gather(*work)
        finally:
            for each in work:
                each.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            self._links.discard(link)
            await vanish(forth)


async def vanish(writer: asyncio.StreamWriter) -> None:
    """Close a connection without a goodbye, and return once it is closed."""
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def proxy(port: int) -> AsyncIterator[Proxy]:
    """A proxy in front of a port of this machine."""
    made = Proxy(port)
    await made.start()
    try:
        yield made
    finally:
        await made.close()
