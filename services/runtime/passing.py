"""Calls that only the leader can answer, passed on to it by an instance that follows.

What only one instance of a service may do lives in one process. Callers need not know which: any instance
takes the call, and the deadline, correlation ID and error of the answer are those of the call itself. A call
is passed on once, so two instances that each take the other for the leader do not send it to and fro. It goes
on in the name of this service, which the contract allows to call itself; for whom it does so travels along.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from functools import wraps
from typing import Any, Protocol, TypeVar

import grpc

from services.errors import FxError, Kind
from services.runtime import context as call_context
from services.runtime.identity import Principal, PrincipalKind
from services.runtime.leaders import Leaders, no_leader

PASSED_ON = "x-fxmesh-passed-on"
"""Its value: for whom, by the label of a principal."""
ANSWER_PATIENCE_S = 1.0
STREAM_PATIENCE_S = 10.0
"""How long a call waits for a leader: one with a short deadline fails in time to be tried again, a stream
lasts over the change of leaders.
"""
AGAIN_S = 0.25

Context = grpc.aio.ServicerContext[Any, Any]


class Follower(Protocol):
    """A servicer whose instance may not be the leader."""

    leaders: Leaders[Any]


F = TypeVar("F", bound=Follower)


def answered_by_leader(
    method: Callable[[F, Any, Context], Awaitable[Any]],
) -> Callable[[F, Any, Context], Awaitable[Any]]:
    """For a method with one answer: answered here when this instance leads, else by the leader."""
    name = getattr(method, "__name__", "")

    @wraps(method)
    async def answered(self: F, request: Any, context: Context) -> Any:
        leader = await _leader(self, context, ANSWER_PATIENCE_S)
        if leader is None:
            return await method(self, request, context)
        return await getattr(leader, name)(request, metadata=_mark())

    return answered


def read_from_leader(
    method: Callable[[F, Any, Context], Awaitable[Any]],
) -> Callable[[F, Any, Context], Awaitable[Any]]:
    """As `answered_by_leader`, for a question that the mirror can answer as well: with what the leader said
    last, at most about a second ago, while it does not answer or nobody leads.
    """
    asked = answered_by_leader(method)

    @wraps(method)
    async def read(self: F, request: Any, context: Context) -> Any:
        try:
            return await asked(self, request, context)
        except FxError as failure:
            if failure.kind is not Kind.UNAVAILABLE or _was_passed(context):
                raise
            return await method(self, request, context)

    return read


def streamed_by_leader(
    method: Callable[[F, Any, Context], AsyncIterator[Any]],
) -> Callable[[F, Any, Context], AsyncIterator[Any]]:
    """For a stream of answers. One that is passed on ends when another instance becomes the leader."""
    name = getattr(method, "__name__", "")

    @wraps(method)
    async def streamed(self: F, request: Any, context: Context) -> AsyncIterator[Any]:
        until_s = time.monotonic() + STREAM_PATIENCE_S
        while True:
            leader = await _leader(self, context, until_s - time.monotonic())
            if leader is None:
                async for answer in method(self, request, context):
                    yield answer
                return
            began = False
            try:
                async for answer in _passed(self.leaders, getattr(leader, name)(request, metadata=_mark())):
                    began = True
                    yield answer
                return
            except FxError as failure:
                if began or failure.kind is not Kind.UNAVAILABLE or time.monotonic() > until_s:
                    raise
            # It is gone, and the lease will say so.
            await asyncio.sleep(AGAIN_S)

    return streamed


async def _passed(leaders: Leaders[Any], stream: Any) -> AsyncIterator[Any]:
    """The leader's answers, until another instance leads: a leader that hangs says nothing of its end."""
    async with aclosing(stream) as answers:
        over = asyncio.create_task(leaders.changed())
        over.add_done_callback(lambda _: answers.cancel())
        try:
            async for answer in answers:
                yield answer
        finally:
            over.cancel()
    if over.done() and not over.cancelled():
        raise no_leader(f"another instance of {leaders.service} leads now")


async def _leader(follower: Follower, context: Context, patience_s: float) -> Any:
    passed = _was_passed(context)
    if passed:
        _act_for(follower.leaders.service, context)
    leader = await follower.leaders.elsewhere(0.0 if passed else max(0.0, patience_s))
    if passed and leader is not None:
        raise no_leader("the instance that was asked as the leader does not lead any more")
    return leader


def _mark() -> tuple[tuple[str, str], ...]:
    return ((PASSED_ON, call_context.principal.get().label),)


def _act_for(service: str, context: Context) -> None:
    """From here on the work is that of whoever asked the other instance. Its word is taken only where the
    call proved to come from this very service.
    """
    caller = call_context.principal.get()
    if (caller.kind, caller.name) == (PrincipalKind.SERVICE, service):
        kind, _, name = _passed_for(context).partition(":")
        if kind in set(PrincipalKind):
            call_context.principal.set(Principal(name, PrincipalKind(kind)))


def _passed_for(context: Context) -> str:
    found = (value for key, value in context.invocation_metadata() or () if key == PASSED_ON)
    return str(next(found, ""))


def _was_passed(context: Context) -> bool:
    return any(key == PASSED_ON for key, _ in context.invocation_metadata() or ())
