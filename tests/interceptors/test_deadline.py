"""Every call has a deadline, an onward call a shorter one, and expiry ends the handler."""

from __future__ import annotations

import asyncio
import time
from typing import Any, NoReturn

import grpc
import pytest

from interceptors import deadline
from interceptors.calls import ServerCall
from interceptors.plan import SERVER_ORDER, Place, Plan, compile_plan
from interceptors.server import run
from services.errors import FxError, Kind
from services.runtime import context
from services.runtime.memory_context import MemoryContext
from services.runtime.policy import MethodPolicy, Shape
from tests.fakes.echo.service import EchoServicer, Request, Response
from tests.interceptors.conftest import Echo, Serve, outside
from tests.interceptors.test_cancel import CALLS, HANG

ROUNDED_S = 0.1
"""gRPC sends a time-out rounded up: from a second on to hundredths of one, from ten seconds on to tenths."""


@pytest.mark.parametrize("shape", CALLS)
async def test_expiry_cancels_the_handler(echo: Echo, shape: str) -> None:
    context.deadline.set(context.Deadline(time.monotonic() + 1.0))
    with pytest.raises(FxError) as caught:
        await CALLS[shape](echo.stub)
    assert caught.value.kind is Kind.DEADLINE_EXCEEDED
    assert caught.value.reason == "DEADLINE_EXCEEDED"
    assert await echo.servicer.until_finished(1) == ["CancelledError"]


async def test_the_policy_gives_the_deadline_nobody_asked_for(echo: Echo) -> None:
    await echo.stub.Unary(Request())
    assert echo.servicer.deadline_left_s is not None
    assert 4 < echo.servicer.deadline_left_s <= 5 + ROUNDED_S


async def test_a_caller_may_ask_for_its_own(echo: Echo) -> None:
    await echo.stub.Unary(Request(), timeout=60)
    assert echo.servicer.deadline_left_s is not None
    assert 50 < echo.servicer.deadline_left_s <= 60 + ROUNDED_S


async def test_an_onward_call_ends_before_the_call_it_serves(serve: Serve) -> None:
    async with serve() as last, serve(onward=last.stub) as first:
        # Below a second gRPC sends whole milliseconds; above, it rounds to 10 ms and would hide the margin.
        answer = await first.stub.Unary(Request(text="onward time left"), timeout=0.9)
        assert 0.3 < float(answer.text) <= 0.9 - deadline.ONWARD_MARGIN_S + 0.001


async def test_nothing_is_sent_when_nothing_is_left(echo: Echo) -> None:
    context.deadline.set(context.Deadline(time.monotonic() + deadline.ONWARD_MARGIN_S / 2))
    with pytest.raises(FxError) as caught:
        await echo.stub.Unary(Request())
    assert caught.value.kind is Kind.DEADLINE_EXCEEDED
    assert echo.servicer.finished == []


async def test_the_server_sets_a_deadline_for_a_caller_without_one(network_echo: Echo) -> None:
    # A caller outside the mesh, e.g. grpcurl.
    async with outside(network_echo.address) as channel:
        call = channel.unary_unary("/echo.v1.EchoService/Unary")(
            Request(text="time left").SerializeToString()
        )
        answer = Response.FromString(await call)
    assert 4 < float(answer.text) <= 5


@pytest.mark.parametrize(("asked", "given"), [(None, 5.0), (2.0, 2.0), (3600.0, 5.0)])
async def test_a_stream_lives_no_longer_than_its_policy(asked: float | None, given: float) -> None:
    policy = MethodPolicy("/echo.v1.EchoService/Spread", Shape.SERVER_STREAM, 5.0, "echo:read")
    call = ServerCall(policy, MemoryContext(asked, (), None))
    enter = deadline.server(policy).enter
    assert enter is not None
    enter(call)
    assert call.deadline is not None
    assert call.deadline - time.monotonic() == pytest.approx(given, abs=0.5)
    assert context.time_limit() == call.deadline


async def test_a_call_that_comes_too_late_is_refused_before_its_handler(network_echo: Echo) -> None:
    policy = MethodPolicy("/echo.v1.EchoService/Unary", Shape.UNARY, 5.0, "echo:read")
    call = ServerCall(policy, MemoryContext(-1.0, (), None))
    enter = deadline.server(policy).enter
    assert enter is not None
    with pytest.raises(FxError, match="DEADLINE_EXCEEDED"):
        enter(call)


async def test_expiry_leaves_no_timer_behind(echo: Echo) -> None:
    # The call's own task goes on to answer: it must not be cancelled a second time by the timer.
    context.deadline.set(context.Deadline(time.monotonic() + 0.3))
    outcomes = await asyncio.gather(*(echo.stub.Unary(HANG) for _ in range(20)), return_exceptions=True)
    assert all(isinstance(each, FxError) for each in outcomes)
    context.deadline.set(None)
    assert (await echo.stub.Unary(Request())).text


UNARY = MethodPolicy("/echo.v1.EchoService/Unary", Shape.UNARY, 5.0, "echo:read")


def _planned() -> Plan[ServerCall]:
    return compile_plan(SERVER_ORDER, {Place.DEADLINE: deadline.server}, UNARY)


async def _hang(_: ServerCall, begun: asyncio.Event) -> None:
    begun.set()
    await asyncio.Event().wait()


async def _expires(plan: Plan[ServerCall], seconds: float) -> None:
    served = MemoryContext(seconds, (), None)
    with pytest.raises(grpc.aio.AbortError):
        async with asyncio.timeout(30):
            await run(plan, _hang, None, asyncio.Event(), served)
    assert served.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_call_expires_before_one_that_came_earlier_and_has_more_time() -> None:
    plan, begun = _planned(), asyncio.Event()
    patient = asyncio.ensure_future(run(plan, _hang, None, begun, MemoryContext(600, (), None)))
    await begun.wait()
    await _expires(plan, 0.5)
    assert not patient.done()
    patient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await patient


async def test_a_call_expires_though_one_that_had_less_time_was_answered() -> None:
    async def answer(call: ServerCall, _: None) -> float | None:
        return call.deadline

    plan = _planned()
    assert await run(plan, answer, lambda at: str(at).encode(), None, MemoryContext(0.5, (), None))
    await _expires(plan, 1.0)


class Slow(MemoryContext):
    """Whose refusal is on its way until after the deadline."""

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> NoReturn:
        deadline_passed = asyncio.Event()
        asyncio.get_running_loop().call_later(self.time_remaining() + 0.05, deadline_passed.set)
        await deadline_passed.wait()
        await super().abort(code, details, trailing_metadata)


async def test_a_refusal_under_way_is_not_cut_off() -> None:
    async def refuse(call: ServerCall, _: None) -> None:
        raise FxError(Kind.NOT_FOUND, "UNKNOWN", "there is none")

    with pytest.raises(grpc.aio.AbortError):
        await run(_planned(), refuse, None, None, Slow(0.5, (), None))


class Leaving(EchoServicer):
    """Answers at once and goes on, in a task of its own, with a call to the next hop once it is let."""

    def __init__(self, onward: Any) -> None:
        super().__init__(onward)
        self.let = asyncio.Event()
        self.left: asyncio.Task[float] | None = None

    async def Unary(self, request: Any, _: Any) -> Any:  # noqa: N802
        self.left = asyncio.create_task(self._later())
        return Response()

    async def _later(self) -> float:
        await self.let.wait()
        return float((await self.onward.Unary(Request(text="time left"))).text)


async def test_work_left_behind_is_not_held_to_a_deadline_nobody_waits_for(serve: Serve) -> None:
    async with serve() as last:
        leaving = Leaving(last.stub)
        async with serve(servicer=leaving) as first:
            await first.stub.Unary(Request(), timeout=0.5)
            leaving.let.set()
            assert leaving.left is not None
            # The policy's own 5 s, not what was left of the half second.
            assert await leaving.left > 1
