"""nats-py's client with a short way for what the bus does most: hand over what came in on a subscription, and
send a message.

The library's own way copies each message into a queue for a task of the subscription, and takes headers
apart and together character by character; for an event that was three quarters of all work. What is odd
in any respect goes the library's way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from nats import errors
from nats.aio.client import Client
from nats.aio.subscription import Subscription

from services.runtime.bus.headers import encode_headers
from services.runtime.bus.reading import Heard, SwiftParser


class SwiftClient(Client):
    """Everything that nats-py's client is, and `listen` and `post`."""

    def __init__(self) -> None:
        super().__init__()
        self._heard: dict[bytes, Heard] = {}
        self._failures: set[asyncio.Task[None]] = set()
        self._ps = SwiftParser(self, self._heard, self._fail)

    def listen(self, subscription: Subscription, heard: Heard) -> None:
        """From now on what comes in on a subscription goes to `heard`, from within the reading loop."""
        self._heard[str(subscription._id).encode()] = heard  # noqa: SLF001

    def post(
        self, subject: str, payload: bytes, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """`publish` without waiting: sent with the next turn of the loop. Raises nats errors as that does.

        For subjects made by the bus itself: they are not looked at again.
        """
        if len(payload) > self._max_payload:
            raise errors.MaxPayloadError
        if headers is None:
            command = b"PUB %b %b %d\r\n%b\r\n" % (subject.encode(), reply.encode(), len(payload), payload)
        else:
            block = encode_headers(headers)
            size = len(block)
            start = f"HPUB {subject} {reply} {size} {size + len(payload)}\r\n".encode()
            command = b"".join((start, block, payload, b"\r\n"))
        self._write(command, 1, len(payload))

    def answer(self, replies: Sequence[bytes], payload: bytes) -> None:
        """The same payload to several subjects, as one piece. Raises as `post` does."""
        rest = b" %d\r\n%b\r\n" % (len(payload), payload)
        commands = b"PUB " + (rest + b"PUB ").join(replies) + rest
        self._write(commands, len(replies), len(replies) * len(payload))

    def _write(self, commands: bytes, messages: int, size: int) -> None:
        if self.is_closed:
            raise errors.ConnectionClosedError
        if not self.is_connected or self._flush_queue is None:
            raise errors.OutboundBufferLimitError
        self.stats["out_msgs"] += messages
        self.stats["out_bytes"] += size
        self._pending.append(commands)
        self._pending_data_size += len(commands)
        if self._flush_queue.empty():
            self._flush_queue.put_nowait(asyncio.get_running_loop().create_future())

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: Any) -> None:
        """A message that came in one piece with something else."""
        heard = self._heard.get(b"%d" % sid)
        if heard is None:
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        try:
            heard(bytes(subject), bytes(reply), data, headers or b"")
        except Exception as failure:  # noqa: BLE001  # the reading loop must live on
            self._fail(failure)

    def _fail(self, failure: Exception) -> None:
        task = asyncio.create_task(self._tell(failure))
        self._failures.add(task)
        task.add_done_callback(self._failures.discard)

    async def _tell(self, failure: Exception) -> None:
        await self._error_cb(failure)
