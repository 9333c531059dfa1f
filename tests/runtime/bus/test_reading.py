"""However the bytes of a connection are cut, each message goes where it belongs, whole and in order."""

from __future__ import annotations

from typing import Any

import pytest

from services.runtime.bus.reading import SwiftParser

HEADERS = b"NATS/1.0\r\nce-id: x\r\n\r\n"
STREAM = b"".join(
    (
        b"PING\r\n",
        b"MSG fast.1 5 2\r\nhi\r\n",
        b"MSG slow.1 6 reply 4\r\n\r\nyo\r\n",
        b"HMSG fast.2 5 back %d %d\r\n%bbody\r\n" % (len(HEADERS), len(HEADERS) + 4, HEADERS),
        b"+OK\r\n",
        b"HMSG slow.2 6 %d %d\r\n%b\r\n" % (len(HEADERS), len(HEADERS), HEADERS),
        b"MSG fast.3 5 back 0\r\n\r\n",
        b"PONG\r\n",
        b"MSG fast.4 5 13\r\nMSG fast.9 5 \r\n",
    )
)
EXPECTED = [
    "ping",
    (b"fast.1", b"", b"hi", b""),
    (b"slow.1", b"reply", b"\r\nyo", b""),
    (b"fast.2", b"back", b"body", HEADERS),
    (b"slow.2", b"", b"", HEADERS),
    (b"fast.3", b"back", b"", b""),
    "pong",
    (b"fast.4", b"", b"MSG fast.9 5 ", b""),
]


class Client:
    """What nats-py's parser calls."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    def heard(self, *message: bytes) -> None:
        self.got.append(message)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: Any) -> None:
        self.got.append((bytes(subject), bytes(reply), data, headers or b""))

    async def _process_ping(self) -> None:
        self.got.append("ping")

    async def _process_pong(self) -> None:
        self.got.append("pong")


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11, 17, 29, 64, 1000])
async def test_any_cutting_gives_the_same_messages(size: int) -> None:
    client = Client()
    parser = SwiftParser(client, {b"5": client.heard}, lambda failure: pytest.fail(str(failure)))
    for start in range(0, len(STREAM), size):
        await parser.parse(STREAM[start : start + size])
    assert client.got == EXPECTED


async def test_a_listener_that_fails_is_told_of_and_the_reading_goes_on() -> None:
    failures: list[str] = []
    client = Client()

    def heard(*message: bytes) -> None:
        if message[2] == b"bad":
            raise ValueError("no")
        client.heard(*message)

    parser = SwiftParser(client, {b"5": heard}, lambda failure: failures.append(str(failure)))
    await parser.parse(b"MSG a 5 3\r\nbad\r\nMSG b 5 4\r\ngood\r\n")
    assert failures == ["no"]
    assert client.got == [(b"b", b"", b"good", b"")]
