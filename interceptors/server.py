"""Server side: puts the plan around every handler, one wrapper a shape, when the handler is registered.

`Registrar` stands where the generated `add_…Servicer_to_server` expects a server. Wrapping there and not in a
`grpc.aio.ServerInterceptor` costs nothing per call to find the plan, sees bytes before they are parsed, and
refuses a method without a policy before the server starts.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, TypeAlias

import grpc
import structlog
from google.protobuf.message import Message

from interceptors import deadline, errors, messages
from interceptors.calls import Context, Metadata, ServerCall
from interceptors.plan import SERVER_ORDER, Concerns, Plan, compile_plan
from services.crash import crash_point
from services.errors import FxError
from services.runtime.policy import MethodPolicy, Shape, method_policy

Work: TypeAlias = Callable[[ServerCall, Any], Awaitable[Any]]
"""What is done for a call with its request as it came: bytes, or a stream of messages. Gives what the handler
answers; a layer of its own in between would cost every call a coroutine more.
"""
Handler: TypeAlias = Callable[[Any, Context], Any]
Refusal: TypeAlias = tuple[grpc.StatusCode, str, tuple[tuple[str, str | bytes], ...]]
"""Status, its message, trailing metadata."""

_log = structlog.get_logger("fxmesh.mesh")
_CODES: Mapping[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
_OK = grpc.StatusCode.OK

_EARLIER_S = 0.15
"""A caller's expiry may reach us as a cancel before our own timer: gRPC rounds the time-out it sends up (from
ten seconds on to tenths of one), and it counts here from when the request has arrived.
"""


class HandlerSink(Protocol):
    """Where wrapped handlers go: a `grpc.aio.Server`, or the in-process transport."""

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: dict[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None: ...


class Registrar:
    """Wraps each handler with the plan of its method and passes it to `sink`.

    Raises FatalError for a method without a policy. `settle_s` is how long the end of a request stream is
    doubted.
    """

    def __init__(self, sink: HandlerSink, concerns: Concerns[ServerCall], settle_s: float = 0.0) -> None:
        self._sink = sink
        self._concerns = concerns
        self._settle_s = settle_s
        self.services: list[str] = []
        """Full names of what was registered, in order."""

    def add_generic_rpc_handlers(self, generic_rpc_handlers: object) -> None:
        """Ignored: generated code registers everything twice, and this form hides which methods there are."""

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: dict[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """Called by generated code with every handler of a service by method name."""
        wrapped = {
            name: self._wrap(method_policy(f"/{service_name}/{name}"), handler)
            for name, handler in method_handlers.items()
        }
        self._sink.add_registered_method_handlers(service_name, wrapped)
        self.services.append(service_name)

    def _wrap(self, method: MethodPolicy, handler: Any) -> grpc.RpcMethodHandler[Any, Any]:
        plan = compile_plan(SERVER_ORDER, self._concerns, method)
        receive = messages.receiver(plan, handler.request_deserializer)
        encode = handler.response_serializer
        match method.shape:
            case Shape.UNARY:
                answering = _unary_unary(handler.unary_unary, receive)
                return grpc.unary_unary_rpc_method_handler(partial(run, plan, answering, encode), None, None)
            case Shape.CLIENT_STREAM:
                gathering = self._stream_unary(handler.stream_unary)
                serve = partial(run, plan, gathering, encode)
                return grpc.stream_unary_rpc_method_handler(serve, receive, None)
            case Shape.SERVER_STREAM:
                streaming = self._unary_stream(handler.unary_stream, receive)
                return grpc.unary_stream_rpc_method_handler(partial(run, plan, streaming, None), None, encode)
            case Shape.BIDI_STREAM:
                conversing = self._stream_stream(handler.stream_stream)
                serve = partial(run, plan, conversing, None)
                return grpc.stream_stream_rpc_method_handler(serve, receive, encode)

    def _stream_unary(self, handler: Handler) -> Work:
        # Requests are parsed and checked as the handler reads them: what is wrong with one is raised there.
        return lambda call, requests: handler(self._requests(requests), call.context)

    async def _requests(self, requests: AsyncIterable[Message]) -> AsyncIterator[Message]:
        """The requests of a stream; its end is believed when no cancellation follows for a while.

        A caller that gives up half-way looks like one that has sent all until gRPC tells of the cancellation,
        up to 16 ms later (measured, one cancelled upload in six): a handler would take a part for the whole.
        """
        async for request in requests:
            yield request
        if self._settle_s:
            await asyncio.sleep(self._settle_s)

    def _unary_stream(self, handler: Handler, receive: messages.Decoder) -> Work:
        return lambda call, data: _write_answers(handler, receive(data), call)

    def _stream_stream(self, handler: Handler) -> Work:
        return lambda call, requests: _write_answers(handler, self._requests(requests), call)


def _unary_unary(handler: Handler, receive: messages.Decoder) -> Work:
    return lambda call, data: handler(receive(data), call.context)


async def _write_answers(handler: Handler, request: Message | Any, call: ServerCall) -> None:
    """Run a streaming handler of either style: one that yields answers, or one that writes them itself."""
    write = call.context.write
    answers = handler(request, call.context)
    if inspect.isawaitable(answers):
        await answers
        return
    first = True
    try:
        async for answer in answers:
            call.beginning = first
            try:
                await write(answer)
                if first:
                    first = call.beginning = False
                    if call.ending is not None:  # which has waited for this
                        call.cancel()
                        await asyncio.sleep(0)
            except (asyncio.CancelledError, grpc.aio.InternalError):  # the second: a dead caller, see `run`
                await _cancel(answers)
                raise
    finally:
        # A call that ends must reach the generator's own `finally` now, not at garbage collection.
        if inspect.isasyncgen(answers):
            await answers.aclose()


async def _cancel(answers: AsyncIterator[Message]) -> None:
    """Let a handler see the end of its call as CancelledError at its `yield` too, as at any `await` of its
    own: closing it would raise GeneratorExit there, and what it does on cancellation would not be done.
    """
    if inspect.isasyncgen(answers):
        with suppress(asyncio.CancelledError, StopAsyncIteration):
            await answers.athrow(asyncio.CancelledError())


async def run(
    plan: Plan[ServerCall],
    work: Work,
    encode: messages.Encoder | None,
    request: Any,
    context: Context,
    metadata: Metadata | None = None,
) -> bytes | None:
    """Serve one call: steps in order, the handler, the leaves, then the answer or, for a failure, a status.
    `encode`: for the one answer; None where the answers are a stream, which is written meanwhile. `metadata`:
    see `ServerCall`.
    """
    call = ServerCall(plan.method, context, metadata, asyncio.current_task())
    taken = 0
    try:
        for step in plan.steps:
            wait = step(call)
            if wait is not None:
                await wait
            taken += 1
        crash_point("call.received", plan.method.method)
        message = await work(call, request)
        answer = None if encode is None else encode(message)
        crash_point("call.before_reply", plan.method.method)
        call.code = _set_code(context) or _OK
        return answer
    except FxError as error:
        refusal = _refused(call, error)
    except grpc.aio.AbortError:
        # The handler (a built-in service) has answered by itself.
        call.code = _set_code(context) or grpc.StatusCode.UNKNOWN
        raise
    except TimeoutError as failure:
        late = call.deadline is not None and time.monotonic() >= call.deadline
        # Else it is the handler's own, which it let escape.
        refusal = _refused(call, deadline.expired(plan.method)) if late else _reported(call, failure)
    except asyncio.CancelledError as failure:
        refusal = _cancelled(call, failure)
    except grpc.aio.InternalError as failure:
        # An answer could not be written: the caller died a moment ago, and gRPC's word of that is under way.
        call.code = grpc.StatusCode.CANCELLED
        raise asyncio.CancelledError from failure
    except Exception as failure:  # noqa: BLE001 the one place that answers for whatever a handler let escape
        refusal = _reported(call, failure)
    finally:
        call.task = None  # an answer under way is not to be cancelled
        for leave in plan.leaves[taken]:
            leave(call)
    # Behind the leaves, as every answer: what a caller has heard of is counted, and its place is free.
    return await context.abort(*refusal)


def _cancelled(call: ServerCall, failure: BaseException) -> Refusal:
    """What to answer a cancelled call where somebody still listens: one that we have ended, or a stray
    cancel. Raises `failure` where nobody does.
    """
    task = call.task
    assert task is not None  # a call is always served in a task
    if call.ending is not None and call.ended and not task.uncancel():
        return _refused(call, call.ending)
    if call.deadline is not None and time.monotonic() >= call.deadline - _EARLIER_S:
        call.code = grpc.StatusCode.DEADLINE_EXCEEDED
        raise failure
    if not task.cancelling():
        # Nobody cancelled the call: the handler awaited something that was. Unanswered, the caller would
        # hang.
        return _reported(call, failure)
    call.code = grpc.StatusCode.CANCELLED
    raise failure


def _reported(call: ServerCall, failure: BaseException) -> Refusal:
    """An unknown failure: everything to the log, the correlation id to the caller."""
    unimplemented = isinstance(failure, NotImplementedError) and _set_code(call.context)
    if unimplemented is grpc.StatusCode.UNIMPLEMENTED:
        # A method the servicer leaves to its generated parent.
        call.code = unimplemented
        return unimplemented, f"{call.method.path} is not implemented", ()
    _log.error("call failed", method=call.method.path, correlation_id=call.correlation_id, exc_info=failure)
    status = errors.internal_status(call.correlation_id)
    call.code = grpc.StatusCode.INTERNAL
    return call.code, status.message, ((errors.DETAILS_KEY, status.SerializeToString()),)


def _refused(call: ServerCall, error: FxError) -> Refusal:
    """The status of a domain error."""
    status = errors.to_status(error, call.correlation_id)
    call.code = errors.code_of(error)
    details = (errors.DETAILS_KEY, status.SerializeToString())
    return call.code, status.message, (details, *errors.pushback(error))


def _set_code(context: Context) -> grpc.StatusCode | None:
    """The status a handler set by itself, None when it set none."""
    # 0 or None when nothing was set, a code after `set_code`, a number after `abort`.
    given: Any = context.code()
    if not given:
        return None
    return given if isinstance(given, grpc.StatusCode) else _CODES[given]
