"""What a server said at the end of a call whose requests are streamed.

A request that is being written as the call ends fails, and gRPC takes that for the end of the call: INTERNAL,
in words of its own. Before or after that it reads what the server said, and forgets it where that came first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import grpc

T = TypeVar("T")
_OWN = "Internal error from Core"
_MOMENT_S, _MOMENTS = 0.001, 1_000


class CallEnd:
    """Of one attempt, from its beginning on."""

    __slots__ = ("_said",)

    def __init__(self, rpc: Any) -> None:
        self._said: grpc.aio.AioRpcError | None = None
        if isinstance(rpc, grpc.aio.Call):  # and not one in memory, which has no such moment
            rpc.add_done_callback(self._hear)

    async def told(self, failure: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
        """What a failed call is to be taken for."""
        if failure.details() != _OWN:
            return failure
        for _ in range(_MOMENTS):
            if self._said is not None:
                return self._said
            await asyncio.sleep(_MOMENT_S)
        return failure

    def _hear(self, rpc: Any) -> None:
        """gRPC's, each time that it has come to an end."""
        details, code = _at_once(rpc.details()), _at_once(rpc.code())
        if details != _OWN and code is not grpc.StatusCode.OK:
            headers, trailers = _at_once(rpc.initial_metadata()), _at_once(rpc.trailing_metadata())
            cause = _at_once(rpc.debug_error_string())
            self._said = grpc.aio.AioRpcError(code, headers, trailers, details, cause)


def _at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine gives that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    coroutine.close()
    raise RuntimeError("it would have waited")
