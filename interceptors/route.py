"""One method of one target, client side: its plan, its codecs, and how an attempt of a call is made.

A call takes the steps of the plan once. Then it goes through what wraps (cache, retry) to its attempts, each
of which passes the steps of its own, picks an instance anew and tells it, at its end, how it fared.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from typing import Any, NoReturn, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from interceptors import errors, messages
from interceptors.call_end import CallEnd
from interceptors.calls import ClientCall
from interceptors.endpoints import Endpoint, Target
from interceptors.outcomes import Outcome, outcome
from interceptors.plan import Plan, Proceed
from services.errors import FxError, Kind
from services.runtime.policy import Shape

Requests: TypeAlias = AsyncIterable[Any] | Iterable[Any]

PREVIOUS_ATTEMPTS_KEY = "grpc-previous-rpc-attempts"
_OK = grpc.StatusCode.OK
_FOR_EVER = float("inf")
_ONE_REFUSAL_S = 0.25
"""Empty headers and a refusal so soon after them are one: a server that refuses without headers is seen like
that one time in five (measured), and of headers that carry nothing the caller has seen nothing.
"""


class Opened:
    """A stream of answers that is under way; `first` is its first read where that began already."""

    __slots__ = ("_end", "first", "rpc")

    def __init__(self, rpc: Any, end: CallEnd | None) -> None:
        """`end` where requests are streamed."""
        self.rpc = rpc
        self._end = end
        self.first: asyncio.Future[Any] | None = None

    def begin(self) -> asyncio.Future[Any]:
        """Begin the first read."""
        self.first = asyncio.ensure_future(self._read())
        return self.first

    async def read(self) -> Any:
        """The next answer, encoded; `grpc.aio.EOF` after the last."""
        if self.first is None:
            return await self._read()
        first, self.first = self.first, None
        return await first

    async def _read(self) -> Any:
        try:
            return await self.rpc.read()
        except grpc.aio.AioRpcError as failure:
            if self._end is None:
                raise
            raise await self._end.told(failure) from failure

    def cancel(self) -> None:
        """End it now."""
        self.rpc.cancel()
        if self.first is not None:
            self.first.cancel()


class Route:
    """Calls of one method of one target."""

    def __init__(
        self,
        plan: Plan[ClientCall],
        shape: Shape,
        target: Target,
        encode: messages.Encoder,
        decode: Callable[[bytes], Any],
    ) -> None:
        self.plan = plan
        self._steps = plan.steps
        self._attempt_steps = plan.attempt.steps
        self._streams_requests = shape in (Shape.CLIENT_STREAM, Shape.BIDI_STREAM)
        self._shape = shape
        self._target = target
        self._encode = encode
        self._decode = decode
        self._streams_answers = shape in (Shape.SERVER_STREAM, Shape.BIDI_STREAM)
        proceed: Proceed[ClientCall] = self._attempt
        if self._streams_answers and plan.wraps:
            proceed = self._open_until_begun
        for wrap in reversed(plan.wraps):
            proceed = wrap(proceed)
        self._proceed = proceed

    async def answer(self, call: ClientCall, request: Any) -> Any:
        """Make a call with a single answer, from its beginning to its end."""
        try:
            for step in self._steps:
                wait = step(call)
                if wait is not None:
                    await wait
                call.taken += 1
            answer = self.decoded(await self._proceed(call, self._payload(call, request)))
        except BaseException as failure:  # noqa: BLE001 `fail` raises, always
            self.fail(call, failure)
        self.end(call, _OK)
        return answer

    async def open(self, call: ClientCall, request: Any) -> Opened:
        """Begin a call with a stream of answers; returns once it is sent (where it may be retried: once the
        server has begun). Its end is told by whoever reads.
        """
        for step in self._steps:
            wait = step(call)
            if wait is not None:
                await wait
            call.taken += 1
        opened: Opened = await self._proceed(call, self._payload(call, request))
        return opened

    def decoded(self, data: bytes) -> Any:
        """The answer in these bytes. Raises FxError `INTERNAL` for what is none."""
        try:
            return self._decode(data)
        except (DecodeError, ValueError) as broken:
            detail = f"the answer of {self.plan.method.path} is not a valid message of its type"
            raise FxError(Kind.UNAVAILABLE, errors.INTERNAL, detail) from broken

    def begun(self, call: ClientCall) -> None:
        """The server has begun to answer with a stream."""
        call.begun = True
        for tell in self.plan.attempt.begun:
            tell(call)

    def attempt_ended(self, call: ClientCall, code: grpc.StatusCode) -> None:
        """The end of an attempt, however it came."""
        call.code = code
        if (endpoint := call.endpoint) is not None:
            if code is _OK:
                endpoint.fared(well=True)
            elif (found := outcome(call)) is not Outcome.NOTHING:
                endpoint.fared(well=found is not Outcome.SILENT)
        for leave in self.plan.attempt.leaves[call.passed]:
            leave(call)

    def end(self, call: ClientCall, code: grpc.StatusCode) -> None:
        """The end of the call, however it came."""
        call.code = code
        for leave in self.plan.leaves[call.taken]:
            leave(call)

    def fail(self, call: ClientCall, failure: BaseException) -> NoReturn:
        """The end of a call that failed: raises what its caller shall see."""
        self.end(call, status_of(failure))
        if isinstance(failure, grpc.aio.AioRpcError):
            raise errors.to_fx_error(failure, call.method.path) from failure
        if isinstance(failure, asyncio.CancelledError):
            # gRPC cancels a call whose request iterator raises; the caller shall see why.
            raise call.request_failure or failure
        raise failure

    def _payload(self, call: ClientCall, request: Any) -> Any:
        """The request as it is sent."""
        return self._encoded(call, request) if self._streams_requests else self._encode(request)

    async def _attempt(self, call: ClientCall, payload: Any) -> Any:
        """One attempt: pass its steps, pick an instance, send. Gives the answer; or, where there are several,
        their stream, whose end is seen, and told, by whoever reads it.
        """
        try:
            for step in self._attempt_steps:
                wait = step(call)
                if wait is not None:
                    await wait
                call.passed += 1
            endpoint = self._target.pick(call.tried)
            if endpoint is None:
                endpoint = await self._target.wait(_FOR_EVER if call.deadline is None else call.deadline)
            rpc = self._send(call, payload, endpoint)
            end = CallEnd(rpc) if self._streams_requests else None
            if self._streams_answers:
                return Opened(rpc, end)
            try:
                # The call object itself is awaited: that is what hands our own cancellation on to the server.
                answer = await rpc
            except grpc.aio.AioRpcError as failure:
                if end is None:
                    raise
                raise await end.told(failure) from failure
        except BaseException as failure:
            self.attempt_ended(call, status_of(failure))
            raise
        self.attempt_ended(call, _OK)
        return answer

    async def _open_until_begun(self, call: ClientCall, payload: Any) -> Opened:
        """The same, returning when headers or an answer arrived: what fails before may be tried again."""
        opened: Opened = await self._attempt(call, payload)
        first = opened.begin()
        first.add_done_callback(_retrieve)
        headers = asyncio.ensure_future(opened.rpc.initial_metadata())
        try:
            await asyncio.wait((first, headers), return_when=asyncio.FIRST_COMPLETED)
            if not first.done() and not headers.result():
                await asyncio.wait((first,), timeout=_ONE_REFUSAL_S)
            if first.done():
                first.result()
        except BaseException as failure:
            opened.cancel()
            self.attempt_ended(call, status_of(failure))
            raise
        finally:
            headers.cancel()
        self.begun(call)
        return opened

    def _send(self, call: ClientCall, payload: Any, endpoint: Endpoint) -> Any:
        """Begin the attempt at `endpoint`; gives gRPC's call object."""
        send = endpoint.methods.get(call.method.path)
        if send is None:
            send = endpoint.methods[call.method.path] = self._callable(endpoint.channel)
        timeout = None
        if call.deadline is not None:
            call.given_s = timeout = max(0.0, call.deadline - time.monotonic())
        call.attempts += 1
        metadata: Iterable[tuple[str, str | bytes]] = call.metadata
        if call.attempts > 1:
            metadata = (*metadata, (PREVIOUS_ATTEMPTS_KEY, str(call.attempts - 1)))
        call.endpoint = endpoint
        # As an iterator: of a sequence gRPC makes a dictionary of lists, only to go through that once.
        return send(payload, timeout=timeout, metadata=iter(metadata), **call.options)

    def _callable(self, channel: grpc.aio.Channel) -> Any:
        make: Any = {
            Shape.UNARY: channel.unary_unary,
            Shape.CLIENT_STREAM: channel.stream_unary,
            Shape.SERVER_STREAM: channel.unary_stream,
            Shape.BIDI_STREAM: channel.stream_stream,
        }[self._shape]
        # Bytes both ways. Methods are registered with the channel as generated stubs do.
        return make(self.plan.method.path, None, None, _registered_method=True)

    async def _encoded(self, call: ClientCall, requests: Requests) -> AsyncIterator[bytes]:
        try:
            if isinstance(requests, AsyncIterable):
                async for request in requests:
                    yield self._encode(request)
            else:
                for request in requests:
                    yield self._encode(request)
        except Exception as failure:
            call.request_failure = failure
            raise


def _retrieve(first: asyncio.Future[Any]) -> None:
    # A stream may be dropped before it is read; what its first read met is then of no interest to anyone.
    if not first.cancelled():
        first.exception()


def status_of(failure: BaseException) -> grpc.StatusCode:
    """The status a failed attempt or call counts as."""
    if isinstance(failure, grpc.aio.AioRpcError):
        code: grpc.StatusCode = failure.code()
        return code
    if isinstance(failure, FxError):
        return errors.code_of(failure)
    return (
        grpc.StatusCode.CANCELLED if isinstance(failure, asyncio.CancelledError) else grpc.StatusCode.UNKNOWN
    )
