"""Calls in flight, client side: one answer (`AnswerCallable`) or a stream of them (`StreamCallable`)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeAlias

import grpc

from interceptors.calls import ClientCall
from interceptors.route import Opened, Route, status_of

Metadata: TypeAlias = Iterable[tuple[str, str | bytes]]


class AnswerCallable:
    """Calls of a method with one answer: `await stub.Method(request)`. The call begins when awaited."""

    def __init__(self, route: Route) -> None:
        self._route = route

    def __call__(
        self, request: Any, *, timeout: float | None = None, metadata: Metadata | None = None, **options: Any
    ) -> Coroutine[Any, Any, Any]:
        """`request`: a message, or an iterator of them where the method streams requests. Raises FxError."""
        route = self._route
        return route.answer(ClientCall(route.plan.method, timeout, metadata, options), request)


class StreamCallable:
    """Calls of a method with a stream of answers: `async for answer in stub.Method(request)`."""

    def __init__(self, route: Route) -> None:
        self._route = route

    def __call__(
        self, request: Any, *, timeout: float | None = None, metadata: Metadata | None = None, **options: Any
    ) -> AnswerStream:
        """Begins the call at once. `request`: a message, or an iterator where the method streams requests."""
        call = ClientCall(self._route.plan.method, timeout, metadata, options)
        return AnswerStream(self._route, request, call)


class AnswerStream:
    """The answers of one call, read with `async for` or `read()`. Reading raises FxError."""

    def __init__(self, route: Route, request: Any, call: ClientCall) -> None:
        self._route = route
        self._call = call
        self._ended = False
        """The end of the call is counted once, whoever brings it about."""
        self._opening = asyncio.ensure_future(route.open(call, request))
        self._opening.add_done_callback(_retrieve)

    def __aiter__(self) -> AnswerStream:
        return self

    async def __anext__(self) -> Any:
        answer = await self.read()
        if answer is grpc.aio.EOF:
            raise StopAsyncIteration
        return answer

    async def read(self) -> Any:
        """The next answer; `grpc.aio.EOF` after the last."""
        if self._ended:
            return grpc.aio.EOF
        route, call = self._route, self._call
        try:
            opened = await self._opening
            data = await opened.read()
            if data is not grpc.aio.EOF:
                if not call.begun:
                    route.begun(call)
                return route.decoded(data)
        except BaseException as failure:  # noqa: BLE001 `_fail` says what to do
            return self._fail(failure)
        if not self._ended:
            self._end(grpc.StatusCode.OK)
        return grpc.aio.EOF

    def _fail(self, failure: BaseException) -> Any:
        if not self._ended:
            self._stop(status_of(failure))
            self._route.fail(self._call, failure)
        if _being_cancelled():
            raise failure
        return grpc.aio.EOF  # `cancel()` came while we waited: the stream is over, its reader goes on

    async def initial_metadata(self) -> Any:
        """What the server sent before its first answer; returns once the server has begun."""
        return await (await self._opening).rpc.initial_metadata()

    def cancel(self) -> bool:
        """End the call now, whatever the server is doing. False when it had ended already."""
        if self._ended:
            return False
        self._stop(grpc.StatusCode.CANCELLED)
        self._route.end(self._call, grpc.StatusCode.CANCELLED)
        return True

    async def aclose(self) -> None:
        """`cancel()`, for `contextlib.aclosing`."""
        self.cancel()

    def _end(self, code: grpc.StatusCode) -> None:
        self._ended = True
        self._route.attempt_ended(self._call, code)
        self._route.end(self._call, code)

    def _stop(self, code: grpc.StatusCode) -> None:
        self._ended = True
        opened = self._opened()
        if opened is None:
            self._opening.cancel()  # its attempt, if there is one, ends with it
        else:
            opened.cancel()
            self._route.attempt_ended(self._call, code)

    def _opened(self) -> Opened | None:
        opening = self._opening
        failed = not opening.done() or opening.cancelled() or opening.exception() is not None
        return None if failed else opening.result()

    def __del__(self) -> None:
        # A loop that is closed has ended every call with it.
        if not self._ended and not self._opening.get_loop().is_closed():
            self.cancel()


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _retrieve(opening: asyncio.Future[Any]) -> None:
    # A stream may be dropped before it is read; its failure to open is then of no interest to anyone.
    if not opening.cancelled():
        opening.exception()
