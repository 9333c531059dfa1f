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
from typing import Any, NoReturn, Protocol, TypeAlias, TypeVar

import grpc
import structlog
from google.protobuf.message import Message

from interceptors import deadline, errors, messages
from interceptors.calls import Context, ServerCall
from interceptors.drain import going_down
from interceptors.plan import SERVER_ORDER, Concerns, Plan, compile_plan
from services.errors import FxError
from services.runtime.crash import crash_point
from services.runtime.policy import MethodPolicy, Shape, method_policy

Answer = TypeVar("Answer")
Work: TypeAlias = Callable[[ServerCall], Awaitable[Answer]]
Handler: TypeAlias = Callable[[Any, Context], Any]

_log = structlog.get_logger("fxmesh.mesh")
_CODES: Mapping[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}

_ROUNDING_S = 0.01
"""gRPC rounds the time-out it sends up: a caller's expiry may reach us as a cancel before our own timer."""


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
                unary = _unary_unary(plan, handler.unary_unary, receive, encode)
                return grpc.unary_unary_rpc_method_handler(unary, None, None)
            case Shape.CLIENT_STREAM:
                gathering = self._stream_unary(plan, handler.stream_unary, encode)
                return grpc.stream_unary_rpc_method_handler(gathering, receive, None)
            case Shape.SERVER_STREAM:
                streaming = self._unary_stream(plan, handler.unary_stream, receive)
                return grpc.unary_stream_rpc_method_handler(streaming, None, encode)
            case Shape.BIDI_STREAM:
                conversing = self._stream_stream(plan, handler.stream_stream)
                return grpc.stream_stream_rpc_method_handler(conversing, receive, encode)

    def _stream_unary(
        self, plan: Plan[ServerCall], handler: Handler, encode: messages.Encoder
    ) -> Callable[[Any, Context], Awaitable[bytes]]:
        # Requests are parsed and checked as the handler reads them: what is wrong with one is raised there.
        async def stream_unary(requests: Any, context: Context) -> bytes:
            async def work(_: ServerCall) -> bytes:
                return encode(await handler(self._requests(requests), context))

            return await run(plan, context, work)

        return stream_unary

    async def _requests(self, requests: AsyncIterable[Message]) -> AsyncIterator[Message]:
        """The requests of a stream; its end is believed when no cancellation follows for a while.

        A caller that gives up half-way looks like one that has sent all until gRPC tells of the cancellation,
        up to 16 ms later (measured, one cancelled upload in six): a handler would take a part for the whole.
        """
        async for request in requests:
            yield request
        if self._settle_s:
            await asyncio.sleep(self._settle_s)

    def _unary_stream(
        self, plan: Plan[ServerCall], handler: Handler, receive: messages.Decoder
    ) -> Callable[[bytes, Context], Awaitable[None]]:
        async def unary_stream(data: bytes, context: Context) -> None:
            async def work(call: ServerCall) -> None:
                await _write_answers(handler, receive(data), call.context)

            await run(plan, context, work)

        return unary_stream

    def _stream_stream(
        self, plan: Plan[ServerCall], handler: Handler
    ) -> Callable[[Any, Context], Awaitable[None]]:
        async def stream_stream(requests: Any, context: Context) -> None:
            async def work(call: ServerCall) -> None:
                await _write_answers(handler, self._requests(requests), call.context)

            await run(plan, context, work)

        return stream_stream


def _unary_unary(
    plan: Plan[ServerCall], handler: Handler, receive: messages.Decoder, encode: messages.Encoder
) -> Callable[[bytes, Context], Awaitable[bytes]]:
    async def unary_unary(data: bytes, context: Context) -> bytes:
        async def work(_: ServerCall) -> bytes:
            return encode(await handler(receive(data), context))

        return await run(plan, context, work)

    return unary_unary


async def _write_answers(handler: Handler, request: Message | Any, context: Context) -> None:
    """Run a streaming handler of either style: one that yields answers, or one that writes them itself."""
    answers = handler(request, context)
    if inspect.isawaitable(answers):
        await answers
        return
    try:
        async for answer in answers:
            try:
                await context.write(answer)
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


async def run(plan: Plan[ServerCall], context: Context, work: Work[Answer]) -> Answer:
    """Serve one call: steps in order, the handler within its deadline, every failure to a status, then the
    leaves.
    """
    call = ServerCall(plan.method, context)
    try:
        for may_wait, step in plan.steps:
            wait = step(call)
            if may_wait and wait is not None:
                await wait
            call.taken += 1
        async with deadline.limit(call):
            answer = await work(call)
        crash_point("call.before_reply", plan.method.method)
        call.code = _set_code(context) or grpc.StatusCode.OK
        return answer
    except FxError as error:
        await _refuse(call, error)
    except grpc.aio.AbortError:
        # The handler (a built-in service) has answered by itself.
        call.code = _set_code(context) or grpc.StatusCode.UNKNOWN
        raise
    except TimeoutError as failure:
        if call.deadline is not None and time.monotonic() >= call.deadline:
            await _refuse(call, deadline.expired(plan.method))
        await _report(call, failure)  # the handler's own, which it let escape
    except asyncio.CancelledError as failure:
        await _cancelled(call, failure)
    except grpc.aio.InternalError as failure:
        # An answer could not be written: the caller died a moment ago, and gRPC's word of that is under way.
        call.code = grpc.StatusCode.CANCELLED
        raise asyncio.CancelledError from failure
    except Exception as failure:  # noqa: BLE001 the one place that answers for whatever a handler let escape
        await _report(call, failure)
    finally:
        for leave in plan.leaves[call.taken]:
            leave(call)


async def _cancelled(call: ServerCall, failure: BaseException) -> NoReturn:
    """Answer a cancelled call where somebody still listens: the server's own end, an expiry, or a stray
    cancel.
    """
    if call.shutting_down:
        await _refuse(call, going_down())
    if call.deadline is not None and time.monotonic() >= call.deadline - _ROUNDING_S:
        call.code = grpc.StatusCode.DEADLINE_EXCEEDED
        raise failure
    task = asyncio.current_task()
    if task is not None and not task.cancelling():
        # Nobody cancelled the call: the handler awaited something that was. Unanswered, the caller would
        # hang.
        await _report(call, failure)
    call.code = grpc.StatusCode.CANCELLED
    raise failure


async def _report(call: ServerCall, failure: BaseException) -> NoReturn:
    """An unknown failure: everything to the log, the correlation id to the caller."""
    unimplemented = isinstance(failure, NotImplementedError) and _set_code(call.context)
    if unimplemented is grpc.StatusCode.UNIMPLEMENTED:
        call.code = unimplemented  # a method the servicer leaves to its generated parent
        await call.context.abort(call.code, f"{call.method.path} is not implemented")
    _log.error("call failed", method=call.method.path, correlation_id=call.correlation_id, exc_info=failure)
    status = errors.internal_status(call.correlation_id)
    call.code = grpc.StatusCode.INTERNAL
    await call.context.abort(call.code, status.message, ((errors.DETAILS_KEY, status.SerializeToString()),))


async def _refuse(call: ServerCall, error: FxError) -> NoReturn:
    """Answer with the status of a domain error."""
    call.code = errors.code_of(error)
    status = errors.to_status(error, call.correlation_id)
    trailing = ((errors.DETAILS_KEY, status.SerializeToString()), *errors.pushback(error))
    await call.context.abort(call.code, status.message, trailing)


def _set_code(context: Context) -> grpc.StatusCode | None:
    """The status a handler set by itself, None when it set none."""
    given: Any = context.code()  # None when nothing was set, a code after `set_code`, a number after `abort`
    return given if isinstance(given, grpc.StatusCode) else _CODES.get(given)
