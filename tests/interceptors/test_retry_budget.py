"""Retries never make a bad day much worse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest

from interceptors.retry_budget import Share
from services.errors import FxError
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
    assert client.retries.buckets[SERVICE].tokens == 0
    client.servicer.always = None
    for _ in range(51):
        await client.stub.Unary(Request())
    assert client.retries.buckets[SERVICE].tokens == 5.1
    client.servicer.orders.append(unavailable)
    with pytest.raises(FxError):  # one failure more and it is below the floor again
        await client.stub.Unary(Request())


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
