"""A call that may be repeated is, within its deadline and the budget, and no other is."""

# ruff: noqa: N802 the contract's names

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from interceptors.breaker import Breakers
from interceptors.client_metrics import ClientMetrics
from interceptors.plan import Place
from interceptors.retry import Retries
from services.errors import FxError, Kind
from tests.fakes.echo import SERVICE
from tests.fakes.echo.service import Request
from tests.interceptors.flaky import (
    Flaky,
    Order,
    after_headers,
    broken,
    calling,
    fine,
    not_found,
    pushing_back,
    serving,
    unavailable,
    wire,
)
from tests.interceptors.retrying import SEED, Client, in_memory, networked


@pytest.fixture(params=[networked, in_memory], ids=["network", "memory"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    async with request.param() as made:
        yield made


async def _all(stream: Any) -> list[int]:
    return [answer.number async for answer in stream]


CALLS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "Unary": lambda stub: stub.Unary(Request()),
    "Record": lambda stub: stub.Record(Request(text="key")),
    "Follow": lambda stub: _all(stub.Follow(Request(count=2))),
    "Append": lambda stub: stub.Append(Request()),
    "Gather": lambda stub: stub.Gather(iter([Request(text="key")])),
    "Converse": lambda stub: _all(stub.Converse(iter([Request()]))),
}


@pytest.mark.parametrize("method", ["Unary", "Record", "Follow"])
async def test_what_may_be_repeated_is_until_it_is_answered(client: Client, method: str) -> None:
    client.servicer.orders.extend([unavailable, unavailable])
    assert await CALLS[method](client.stub)
    assert client.servicer.calls == 3
    assert (client.made("failed", method), client.made("ok", method)) == (1, 1)


@pytest.mark.parametrize("method", ["Append", "Gather", "Converse"])
async def test_what_may_not_be_repeated_or_streams_requests_is_tried_once(
    client: Client, method: str
) -> None:
    client.servicer.orders.extend([unavailable])
    with pytest.raises(FxError, match="STORE_UNAVAILABLE"):
        await CALLS[method](client.stub)
    assert client.servicer.calls == 1


async def test_the_third_failure_is_the_callers(client: Client) -> None:
    client.servicer.always = unavailable
    with pytest.raises(FxError) as caught:
        await client.stub.Unary(Request())
    assert (caught.value.kind, caught.value.reason) == (Kind.UNAVAILABLE, "STORE_UNAVAILABLE")
    assert client.servicer.calls == 3
    assert client.withheld("attempts") == 1


async def test_each_attempt_says_how_many_came_before(client: Client) -> None:
    client.servicer.orders.extend([unavailable, unavailable])
    await client.stub.Unary(Request())
    told = [metadata.get("grpc-previous-rpc-attempts") for metadata in client.servicer.metadata]
    assert told == [None, "1", "2"]
    correlations = {metadata["x-correlation-id"] for metadata in client.servicer.metadata}
    assert len(correlations) == 1


async def test_the_delay_doubles_around_100_ms_with_a_fifth_of_jitter(client: Client) -> None:
    for _ in range(2):
        client.servicer.orders.extend([unavailable, unavailable, fine])
        await client.stub.Unary(Request())
    first, second = client.slept[::2], client.slept[1::2]
    assert all(0.08 <= each <= 0.12 for each in first)
    assert all(0.16 <= each <= 0.24 for each in second)
    assert len({*first, *second}) == 4


@pytest.mark.parametrize("order", [broken, not_found])
async def test_other_failures_are_answers(client: Client, order: Order) -> None:
    client.servicer.orders.append(order)
    with pytest.raises(FxError):
        await client.stub.Unary(Request())
    assert client.servicer.calls == 1


async def test_the_server_says_when(client: Client) -> None:
    client.servicer.orders.extend([pushing_back("37"), unavailable])
    await client.stub.Unary(Request())
    asked, own = client.slept
    assert asked == 0.037
    assert 0.08 <= own <= 0.12  # the doubling begins anew


@pytest.mark.parametrize("text", ["-1", "soon", "", "1.5", "99999999999999999999"])
async def test_a_pushback_below_zero_or_without_sense_means_never(client: Client, text: str) -> None:
    client.servicer.orders.append(pushing_back(text))
    with pytest.raises(FxError):
        await client.stub.Unary(Request())
    assert client.servicer.calls == 1
    assert client.withheld("pushback") == 1


@pytest.mark.parametrize("method", ["Unary", "Follow"])
async def test_nothing_is_repeated_once_headers_came(client: Client, method: str) -> None:
    client.servicer.orders.append(after_headers(("x-begun", "yes")))
    with pytest.raises(FxError):
        await CALLS[method](client.stub)
    assert client.servicer.calls == 1


async def test_a_stream_is_not_repeated_once_empty_headers_came(client: Client) -> None:
    seen = asyncio.Event()

    async def begin(context: Any) -> None:
        await context.send_initial_metadata(())
        await seen.wait()
        await unavailable(context)

    client.servicer.orders.append(begin)
    stream = client.stub.Follow(Request())
    await stream.initial_metadata()
    seen.set()
    with pytest.raises(FxError):
        await stream.read()
    assert client.servicer.calls == 1


async def test_a_stream_is_not_repeated_once_it_answered(client: Client) -> None:
    class BreaksOff(Flaky):
        async def Follow(self, request: Any, context: Any) -> AsyncIterator[Any]:
            async for answer in super().Follow(request, context):
                yield answer
            await unavailable(context)

    servicer = BreaksOff()
    async with (
        serving(servicer) as address,
        calling(address, {Place.RETRY: client.retries.hook}) as stub,
    ):
        stream = stub.Follow(Request(count=1))
        assert (await stream.read()).number == 0
        with pytest.raises(FxError, match="STORE_UNAVAILABLE"):
            await stream.read()
    assert servicer.calls == 1


async def test_headers_of_a_silent_stream_reach_the_caller(client: Client) -> None:
    async def begin(context: Any) -> None:
        await context.send_initial_metadata((("x-begun", "yes"),))
        await asyncio.Event().wait()

    client.servicer.orders.append(begin)
    stream = client.stub.Follow(Request())
    async with asyncio.timeout(10):
        assert dict(await stream.initial_metadata())["x-begun"] == "yes"
    stream.cancel()


async def test_one_deadline_spans_all_attempts() -> None:
    servicer = Flaky()
    servicer.orders.extend([pushing_back("500"), pushing_back("500")])
    async with (
        serving(servicer) as address,
        calling(address, {Place.RETRY: Retries().hook}) as stub,
    ):
        await stub.Unary(Request(), timeout=8)
    first, _, third = servicer.left_s
    # gRPC sends an earlier time-out of the connection again when it differs by less than 3 %.
    assert first - third > 0.7


async def test_a_delay_beyond_the_deadline_is_not_waited_for(client: Client) -> None:
    client.servicer.orders.append(pushing_back("60000"))
    began = time.monotonic()
    with pytest.raises(FxError) as caught:
        await client.stub.Unary(Request(), timeout=20)
    assert caught.value.kind is Kind.UNAVAILABLE  # what happened, not the expiry that would follow
    assert time.monotonic() - began < 15
    assert client.slept == []
    assert client.withheld("deadline") == 1


async def test_cancelling_between_attempts_ends_the_call() -> None:
    waiting = asyncio.Event()

    async def sleep(_: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    servicer = Flaky()
    servicer.orders.append(unavailable)
    async with (
        serving(servicer) as address,
        calling(address, {Place.RETRY: Retries(sleep=sleep).hook}) as stub,
    ):
        call = asyncio.ensure_future(stub.Unary(Request()))
        await waiting.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert servicer.calls == 1


@pytest.mark.parametrize("method", ["Unary", "Follow"])
async def test_cancelling_a_second_attempt_reaches_the_server(client: Client, method: str) -> None:
    client.servicer.orders.append(unavailable)
    hang = Request(text="hang", count=0)
    stub = client.stub
    call = asyncio.ensure_future(stub.Unary(hang) if method == "Unary" else _all(stub.Follow(hang)))
    await client.servicer.until_running(1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await client.servicer.until_finished(1) == ["CancelledError"]


async def test_a_stream_closed_while_it_is_tried_again_ends(client: Client) -> None:
    client.servicer.orders.append(unavailable)
    stream = client.stub.Follow(Request(text="hang"))
    await client.servicer.until_running(1)
    assert stream.cancel()
    assert await stream.read() is grpc.aio.EOF
    assert await client.servicer.until_finished(1) == ["CancelledError"]


async def test_a_reply_lost_after_the_commit_is_asked_for_again_and_has_one_effect() -> None:
    committed = asyncio.Event()

    class LosesTheFirstReply(Flaky):
        async def Record(self, request: Any, context: Any) -> Any:
            answer = await super().Record(request, context)
            if not committed.is_set():
                committed.set()
                await asyncio.Event().wait()
            return answer

    servicer = LosesTheFirstReply()
    async with (
        serving(servicer) as address,
        wire(address) as (through, cable),
        calling(through, {Place.RETRY: Retries(random=Random(SEED)).hook}) as stub,
    ):
        call = asyncio.ensure_future(stub.Record(Request(text="order-1")))
        await committed.wait()
        cable.cut()
        assert (await call).number == 1
    assert servicer.recorded == {"order-1": 1}
    assert servicer.calls == 2


async def test_an_open_breaker_ends_the_attempts_with_what_was_met_before(client: Client) -> None:
    breakers, servicer = Breakers(), Flaky()
    servicer.always = unavailable
    async with (
        serving(servicer) as address,
        calling(address, {Place.RETRY: client.retries.hook, Place.BREAKER: breakers.hook}) as stub,
    ):
        reasons = []
        for _ in range(3):
            with pytest.raises(FxError) as caught:
                await stub.Unary(Request())
            reasons.append(caught.value.reason)
    # Attempts 1 to 3, then 4 and 5, of which the fifth opens the breaker; the third call is not sent.
    assert reasons == ["STORE_UNAVAILABLE", "STORE_UNAVAILABLE", "CIRCUIT_OPEN"]
    assert servicer.calls == 5


async def test_the_numbers_are_shown(client: Client) -> None:
    registry = CollectorRegistry()
    ClientMetrics(registry, client.retries, Breakers(), None)
    client.servicer.orders.extend([unavailable, fine, pushing_back("-1")])
    await client.stub.Unary(Request())
    with pytest.raises(FxError):
        await client.stub.Unary(Request())
    method = {"grpc_service": SERVICE, "grpc_method": "Unary"}
    value = registry.get_sample_value
    assert value("fxmesh_client_retries_total", {**method, "outcome": "ok"}) == 1
    assert value("fxmesh_client_retries_withheld_total", {**method, "reason": "pushback"}) == 1
    assert value("fxmesh_client_retry_tokens", {"grpc_service": SERVICE}) == 8.1
