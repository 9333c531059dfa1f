"""The compiled order: what is entered is left, in the opposite order; a concern needs a place."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from interceptors.calls import ClientCall, ServerCall
from interceptors.plan import CLIENT_ORDER, PER_ATTEMPT, SERVER_ORDER, Hook, Place, Plan, compile_plan
from interceptors.server import run
from services.errors import FxError, Kind
from services.runtime.memory_context import MemoryContext
from services.runtime.policy import MethodPolicy, Shape

METHOD = MethodPolicy("/echo.v1.EchoService/Unary", Shape.UNARY, 5.0, "echo:read")


class Traced:
    """A concern that writes down what happens to it."""

    def __init__(self, seen: list[str], name: str, *, waits: bool = False, refuses: bool = False) -> None:
        self._seen, self._name, self._waits, self._refuses = seen, name, waits, refuses

    def __call__(self, method: MethodPolicy) -> Hook[ServerCall]:
        async def admit(call: ServerCall) -> None:
            self._enter(call)

        if self._waits:
            return Hook(admit=admit, leave=self._leave)
        return Hook(enter=self._enter, leave=self._leave)

    def _enter(self, call: ServerCall) -> None:
        self._seen.append(f"+{self._name}")
        if self._refuses:
            raise FxError(Kind.PERMISSION_DENIED, "PERMISSION_DENIED", "no")

    def _leave(self, call: ServerCall) -> None:
        self._seen.append(f"-{self._name} {call.code.name}")


async def _serve(seen: list[str], concerns: dict[Place, Any]) -> MemoryContext:
    async def work(call: ServerCall, request: None) -> None:
        seen.append("handler")

    context = MemoryContext(None, (), None)
    try:
        await run(compile_plan(SERVER_ORDER, concerns, METHOD), work, None, None, context)
    except grpc.aio.AbortError:
        seen.append("aborted")
    return context


async def test_hooks_run_in_the_documented_order_and_leave_in_the_opposite() -> None:
    seen: list[str] = []
    await _serve(
        seen,
        {
            Place.BULKHEAD: Traced(seen, "bulkhead", waits=True),
            Place.AUTHORIZATION: Traced(seen, "authorization"),
            Place.METRICS: Traced(seen, "metrics"),
        },
    )
    assert seen == [
        "+metrics",
        "+authorization",
        "+bulkhead",
        "handler",
        "-bulkhead OK",
        "-authorization OK",
        "-metrics OK",
    ]


async def test_only_what_was_entered_is_left() -> None:
    seen: list[str] = []
    await _serve(
        seen,
        {
            Place.METRICS: Traced(seen, "metrics"),
            Place.AUTHORIZATION: Traced(seen, "authorization", refuses=True),
            Place.BULKHEAD: Traced(seen, "bulkhead", waits=True),
        },
    )
    assert seen == ["+metrics", "+authorization", "-metrics PERMISSION_DENIED", "aborted"]


async def test_a_concern_with_nothing_to_do_is_not_in_the_plan() -> None:
    plan: Plan[ServerCall] = compile_plan(SERVER_ORDER, {Place.CORRELATION: lambda _: None}, METHOD)
    assert plan.steps == ()
    assert plan.leaves == ((),)


def test_a_concern_without_a_place_is_refused() -> None:
    with pytest.raises(ValueError, match="retry"):
        compile_plan(SERVER_ORDER, {Place.RETRY: lambda _: None}, METHOD)


def test_every_place_is_in_an_order_and_none_twice() -> None:
    assert set(SERVER_ORDER) | set(CLIENT_ORDER) == set(Place)
    assert len(set(SERVER_ORDER)) == len(SERVER_ORDER)
    assert len(set(CLIENT_ORDER)) == len(CLIENT_ORDER)


def test_a_hook_that_leaves_must_have_entered() -> None:
    with pytest.raises(ValueError, match="must enter"):
        Hook[ServerCall](leave=lambda _: None)


def _wrapping(_: MethodPolicy) -> Hook[Any]:
    return Hook(wrap=lambda proceed: proceed)


def test_what_every_attempt_passes_is_a_stage_of_its_own() -> None:
    seen: list[str] = []
    concerns: dict[Place, Any] = {
        Place.DEADLINE: Traced(seen, "deadline"),
        Place.RETRY: _wrapping,
        Place.BREAKER: Traced(seen, "breaker"),
        Place.BULKHEAD: Traced(seen, "bulkhead", waits=True),
    }
    plan: Plan[ClientCall] = compile_plan(CLIENT_ORDER, concerns, METHOD, PER_ATTEMPT)
    assert len(plan.wraps) == 1
    assert len(plan.steps) == 1
    assert len(plan.attempt.steps) == 2
    assert [len(leaves) for leaves in plan.attempt.leaves] == [0, 1, 2]


def test_only_calls_with_attempts_can_be_wrapped_and_no_attempt_can() -> None:
    with pytest.raises(ValueError, match="can wrap"):
        compile_plan(SERVER_ORDER, {Place.DEADLINE: _wrapping}, METHOD)
    with pytest.raises(ValueError, match="can wrap"):
        compile_plan(CLIENT_ORDER, {Place.BREAKER: _wrapping}, METHOD, PER_ATTEMPT)
