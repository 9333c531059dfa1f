"""The server's view of a call inside one process: what `grpc.aio.ServicerContext` is for a networked one."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

import grpc

_WINDOW = 16
"""Answers written ahead of the reader before a write waits: the part of flow control on a connection."""


class MemoryContext(grpc.aio.ServicerContext[Any, Any]):
    """One call. The client reads what is written here; `requests` is what a handler of a stream reads."""

    def __init__(
        self,
        timeout: float | None,
        metadata: Iterable[tuple[str, str | bytes]],
        encode: Callable[[Any], bytes] | None,
    ) -> None:
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._metadata = tuple(metadata)
        self._encode = encode
        self._code: grpc.StatusCode | None = None
        self._details = ""
        self._trailing: tuple[tuple[str, str | bytes], ...] = ()
        self._answers: deque[bytes] = deque()
        self._moved = asyncio.Condition()
        self._ended = False
        self._headers: tuple[tuple[str, str | bytes], ...] = ()
        self._begun = False
        self.requests: Any = None

    async def next_answer(self) -> bytes | None:
        """Client side: the next answer, None once the handler has ended and all are read."""
        async with self._moved:
            await self._moved.wait_for(lambda: self._answers or self._ended)
            self._moved.notify_all()
            return self._answers.popleft() if self._answers else None

    async def headers(self) -> tuple[tuple[str, str | bytes], ...]:
        """Client side: what the handler sent before its first answer, once it has begun or ended."""
        async with self._moved:
            await self._moved.wait_for(lambda: self._begun or self._ended)
        return self._headers

    async def end(self) -> None:
        """The handler has ended."""
        async with self._moved:
            self._ended = True
            self._moved.notify_all()

    def failure(self) -> grpc.aio.AioRpcError | None:
        """What the client raises, None when the call went well."""
        if self._code is None or self._code is grpc.StatusCode.OK:
            return None
        trailing = grpc.aio.Metadata(*self._trailing)
        return grpc.aio.AioRpcError(self._code, grpc.aio.Metadata(*self._headers), trailing, self._details)

    async def write(self, message: Any) -> None:
        """Hand an answer to the reader, waiting while it is too far behind."""
        if self._encode is None:
            raise TypeError("this method has a single answer: return it")
        data = self._encode(message)
        async with self._moved:
            await self._moved.wait_for(lambda: len(self._answers) < _WINDOW)
            self._answers.append(data)
            self._begun = True
            self._moved.notify_all()

    async def read(self) -> Any:
        """The next request, `grpc.aio.EOF` after the last."""
        return await anext(self.requests, grpc.aio.EOF)

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> NoReturn:
        """End the call with a status."""
        self._code, self._details, self._trailing = code, details, tuple(trailing_metadata)
        raise grpc.aio.AbortError("Locally aborted.")

    async def abort_with_status(self, status: grpc.Status) -> NoReturn:
        """The same, given as one value."""
        await self.abort(status.code, status.details or "", status.trailing_metadata or ())

    async def send_initial_metadata(self, initial_metadata: Any) -> None:
        """Handed to the client at once."""
        async with self._moved:
            self._headers, self._begun = tuple(initial_metadata), True
            self._moved.notify_all()

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        """Kept for the client."""
        self._trailing = tuple(trailing_metadata)

    def trailing_metadata(self) -> Any:
        """What was set."""
        return self._trailing

    def invocation_metadata(self) -> Any:
        """What the client sent."""
        return self._metadata

    def time_remaining(self) -> Any:
        """Seconds until the caller's deadline, None when it set none."""
        return None if self._deadline is None else self._deadline - time.monotonic()

    def set_code(self, code: grpc.StatusCode) -> None:
        """The status of a handler that returns."""
        self._code = code

    def code(self) -> Any:
        """None until one is set."""
        return self._code

    def set_details(self, details: str) -> None:
        """The text of that status."""
        self._details = details

    def details(self) -> str:
        """What was set."""
        return self._details

    def set_compression(self, compression: grpc.Compression) -> None:
        """Nothing is compressed inside a process."""

    def disable_next_message_compression(self) -> None:
        """Nothing is compressed inside a process."""

    def peer(self) -> str:
        """Whom the call came from."""
        return "memory"

    def peer_identities(self) -> Iterable[bytes] | None:
        """None: nobody is authenticated by a connection here."""
        return None

    def peer_identity_key(self) -> str | None:
        """None."""
        return None

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """Empty."""
        return {}

    def cancelled(self) -> bool:
        """False: a cancelled call ends its handler's task, so nobody is left to ask."""
        return False

    def done(self) -> bool:
        """Whether the handler has ended."""
        return self._ended
