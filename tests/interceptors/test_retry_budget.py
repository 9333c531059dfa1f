"""Retries never make a bad day much worse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import grpc
import pytest

from interceptors.calls import ClientCall
from interceptors.retry import Retries
from interceptors.retry_budget import Budgets, Share
from services.errors import FxError
from services.runtime.policy import method_policy
from tests.fakes.echo import SERVICE
from tests.fakes.echo.service import Request
from tests.interceptors.flaky import unavailable
from tests.interceptors.retrying import SEED, Client, in_memory, networked


@pytest.fixture(params=[networked, in_memory], ids=["network", "memory"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    async with request.param() as made:
        yield made


async def test_a_storm_is_amplified_by_a_tenth_at_most(client: Client) -> None:
    random = Random(SEED)
    client.servicer.always = unavailable
    calls = 1000

    async def one() -> None:
        await asyncio.sleep(random.random() / 100)
        with pytest.raises(FxError):
            await client.stub.Unary(Request())

    for _ in range(calls // 50):
        await asyncio.gather(*(one() for _ in range(50)))
    assert client.servicer.calls <= 1.1 * calls
    assert client.withheld("tokens") > 0.9 * calls


async def test_a_target_that_fails_now_and_then_is_amplified_by_a_tenth_at_most(client: Client) -> None:
    random = Random(SEED)

    async def now_and_then(context: Any) -> None:
        if random.random() < 0.08:
            await unavailable(context)

    client.servicer.always = now_and_then
    calls = 1500
    for _ in range(calls // 50):
        await asyncio.gather(*(client.stub.Unary(Request()) for _ in range(50)), return_exceptions=True)
    assert calls < client.servicer.calls <= 1.1 * calls


async def test_a_few_good_answers_restore_the_budget(client: Client) -> None:
    client.servicer.always = unavailable
    for _ in range(10):
        with pytest.raises(FxError):
            await client.stub.Unary(Request())
    assert client.retries.budgets.buckets[SERVICE].tokens == 0
    client.servicer.always = None
    for _ in range(51):
        await client.stub.Unary(Request())
    assert client.retries.budgets.buckets[SERVICE].tokens == 5.1
    client.servicer.orders.append(unavailable)
    with pytest.raises(FxError):  # one failure more and it is below the floor again
        await client.stub.Unary(Request())


async def test_orders_that_fail_leave_cancels_their_retries() -> None:
    """2,000 orders fail until neither tokens nor share are left; a cancel that fails then is sent again."""
    trading, paused = "fxmesh.trading.v1.TradingService", 0

    async def pause(seconds: float) -> None:
        nonlocal paused
        paused += 1

    retries = Retries(now=lambda: 0.0, sleep=pause, random=Random(SEED))

    async def calls(name: str, count: int) -> int:
        """How often so many failing calls were sent."""
        sent, method = 0, method_policy(f"/{trading}/{name}")

        async def failing(call: ClientCall, payload: object) -> None:
            nonlocal sent
            sent += 1
            call.attempts += 1
            raise grpc.aio.AioRpcError(
                grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(("by", "the server"))
            )

        hook = retries.hook(method)
        assert hook is not None
        assert hook.wrap is not None
        attempts = hook.wrap(failing)
        for _ in range(count):
            with pytest.raises(grpc.aio.AioRpcError):
                await attempts(ClientCall(method, None, None), None)
        return sent

    await calls("PlaceOrder", 2_000)
    left = {target: bucket.tokens for target, bucket in retries.budgets.buckets.items()}
    assert left == {trading: 0}
    assert await calls("PlaceOrder", 1) == 1
    assert await calls("CancelOrder", 1) == 3


def test_orders_and_cancels_have_shares_of_their_own() -> None:
    budgets = Budgets()
    orders, cancels, quotes = (
        budgets.of(method_policy(path)).share
        for path in (
            "/fxmesh.trading.v1.TradingService/PlaceOrder",
            "/fxmesh.trading.v1.TradingService/CancelOrder",
            "/fxmesh.marketdata.v1.MarketDataService/ListQuotes",
        )
    )
    while orders.allows(0.0):
        orders.retried(0.0)
    assert not quotes.allows(0.0)  # of all targets together
    assert cancels.allows(0.0)


def test_of_all_targets_together_a_tenth_of_the_calls_is_repeated() -> None:
    share = Share()
    for _ in range(1000):
        share.called(0.5)
    retries = 0
    while share.allows(0.5):
        share.retried(0.5)
        retries += 1
    assert retries == 100
    assert not share.allows(9.9)
    assert share.allows(10.5)  # ten seconds later they are forgotten, calls and retries


def test_a_quiet_client_may_retry_at_all() -> None:
    share = Share()
    share.called(0.0)
    for _ in range(10):
        assert share.allows(0.0)
        share.retried(0.0)
    assert not share.allows(0.0)
