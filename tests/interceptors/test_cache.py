"""Answers kept at the caller: never longer than they are true, never for somebody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fxmesh.workbench.v1.events_pb2 import ModelDeployed
from prometheus_client import CollectorRegistry

from interceptors.breaker import Breakers
from interceptors.cache import SETTLE_S, Cache
from interceptors.client_metrics import ClientMetrics
from interceptors.plan import Place
from interceptors.retry import Retries
from services.errors import FxError
from services.runtime import context
from services.runtime.identity import Principal
from services.runtime.identity.principal import PrincipalKind
from tests.fakes.echo import SERVICE
from tests.fakes.echo.service import Request
from tests.interceptors.flaky import Flaky, calling, not_found, serving, unavailable
from tests.kit.nats import until

DEPLOYED = ModelDeployed.DESCRIPTOR.full_name
LOOK = f"/{SERVICE}/Look"


class Client:
    """A servicer, and a stub with a cache on a clock of its own."""

    def __init__(self, **sizes: int) -> None:
        self.now = 1000.0
        self.cache = Cache(lambda: self.now, **sizes)
        self.servicer = Flaky()
        self.gate = asyncio.Event()
        self.stub: Any = None

    async def hold(self, _: Any) -> None:
        """An order: answer when the gate opens."""
        await self.gate.wait()

    async def look(self, text: str = "", **options: Any) -> int:
        return int((await self.stub.Look(Request(text=text), **options)).number)

    def start(self, text: str = "", **options: Any) -> asyncio.Task[int]:
        return asyncio.ensure_future(self.look(text, **options))


@asynccontextmanager
async def made(**sizes: int) -> AsyncIterator[Client]:
    client = Client(**sizes)
    extra = {Place.CACHE: client.cache.hook, Place.RETRY: Retries().hook}
    async with serving(client.servicer) as address, calling(address, extra) as client.stub:
        client.cache.turn_on()
        client.now += SETTLE_S
        yield client


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with made() as client:
        yield client


async def test_an_answer_is_kept_for_its_lifetime(client: Client) -> None:
    assert [await client.look() for _ in range(3)] == [1, 1, 1]
    client.now += 59
    assert await client.look() == 1
    client.now += 1
    assert await client.look() == 2
    assert client.servicer.calls == 2


async def test_each_request_has_its_own_answer(client: Client) -> None:
    assert await client.look("a") == 1
    assert await client.look("b") == 2
    assert await client.look("a") == 1


async def test_each_principal_has_its_own_answer(client: Client) -> None:
    assert await client.look() == 1
    token = context.principal.set(Principal("alice", PrincipalKind.KEY))
    assert await client.look() == 2
    context.principal.set(Principal("alice", PrincipalKind.SERVICE))
    assert await client.look() == 3
    context.principal.reset(token)
    assert await client.look() == 1


async def test_a_call_with_metadata_of_its_own_is_asked_itself(client: Client) -> None:
    assert await client.look() == 1
    assert await client.look(metadata=(("x-mine", "1"),)) == 2
    assert await client.look() == 1


async def test_what_a_caller_does_to_its_answer_is_its_own_affair(client: Client) -> None:
    answer = await client.stub.Look(Request())
    answer.number = 99
    assert await client.look() == 1


async def test_equal_calls_at_the_same_time_share_one(client: Client) -> None:
    client.servicer.always = client.hold
    calls = [client.start() for _ in range(5)]
    await until(lambda: client.servicer.calls == 1)
    client.gate.set()
    assert await asyncio.gather(*calls) == [1, 1, 1, 1, 1]
    assert client.servicer.calls == 1
    assert client.cache.usage[LOOK].shared == 4


async def test_whoever_gives_up_takes_nobody_along(client: Client) -> None:
    client.servicer.always = client.hold
    leader, follower = client.start(), client.start()
    await until(lambda: client.servicer.calls == 1)
    leader.cancel()
    await asyncio.wait((leader,))
    client.gate.set()
    assert await follower == 1
    assert client.servicer.calls == 1


async def test_the_server_learns_when_all_have_given_up(client: Client) -> None:
    calls = [client.start("hang") for _ in range(2)]
    await client.servicer.until_running(1)
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    assert await client.servicer.until_finished(1) == ["CancelledError"]
    assert await client.look("") == 2


async def test_a_follower_with_more_time_than_the_leader_asks_itself(client: Client) -> None:
    client.servicer.orders.append(client.hold)
    hasty = client.start(timeout=1)
    patient = client.start(timeout=15)
    with pytest.raises(FxError, match="DEADLINE_EXCEEDED"):
        await hasty
    assert await patient >= 1
    assert client.servicer.calls == 2


async def test_a_follower_with_less_time_gives_up_at_its_own_deadline(client: Client) -> None:
    client.servicer.orders.append(client.hold)
    patient = client.start(timeout=15)
    await until(lambda: client.servicer.calls == 1)
    with pytest.raises(FxError, match="DEADLINE_EXCEEDED"):
        await client.look(timeout=0.1)
    client.gate.set()
    assert await patient == 1


async def test_failures_are_not_kept(client: Client) -> None:
    client.servicer.orders.append(not_found)
    with pytest.raises(FxError, match="UNKNOWN_ORDER"):
        await client.look()
    assert await client.look() == 1


async def test_a_failed_attempt_behind_the_cache_is_tried_again(client: Client) -> None:
    client.servicer.orders.append(unavailable)
    assert await client.look() == 1
    assert client.servicer.calls == 2


async def test_the_event_that_changes_the_value_drops_it(client: Client) -> None:
    assert await client.look() == 1
    client.cache.hear("fxmesh.trading.v1.OrderPlaced")
    assert await client.look() == 1
    client.cache.hear(DEPLOYED)
    assert await client.look() == 2
    assert client.cache.usage[LOOK].invalidated == 1


async def test_an_answer_under_way_when_the_event_came_is_not_kept(client: Client) -> None:
    client.servicer.orders.append(client.hold)
    before = client.start()
    await until(lambda: client.servicer.calls == 1)
    client.cache.hear(DEPLOYED)
    after = client.start()  # and who asks afterwards does not get it
    await until(lambda: client.servicer.calls == 2)
    client.gate.set()
    await asyncio.gather(before, after)
    client.now += SETTLE_S
    await client.look()
    assert client.servicer.calls == 3
    await client.look()
    assert client.servicer.calls == 3


async def test_an_answer_just_after_the_event_is_not_kept(client: Client) -> None:
    client.cache.hear(DEPLOYED)
    client.now += SETTLE_S - 0.1
    assert [await client.look(), await client.look()] == [1, 2]
    client.now += 0.1
    assert [await client.look(), await client.look()] == [3, 3]


async def test_nothing_is_kept_or_served_while_events_pass_unheard(client: Client) -> None:
    assert await client.look() == 1
    client.cache.turn_off()
    assert (client.cache.kept, client.cache.kept_bytes) == (0, 0)
    assert [await client.look(), await client.look()] == [2, 3]
    client.cache.turn_on()
    client.now += SETTLE_S
    assert [await client.look(), await client.look()] == [4, 4]


async def test_what_was_used_longest_ago_makes_room() -> None:
    async with made(most_entries=2) as client:
        await client.look("a")
        await client.look("b")
        await client.look("a")
        await client.look("c")
        assert client.servicer.calls == 3
        await client.look("a")
        assert client.servicer.calls == 3
        await client.look("b")
        assert client.servicer.calls == 4
        assert client.cache.usage[LOOK].evictions == 2


async def test_memory_is_bounded_too() -> None:
    async with made(most_bytes=5_000) as client:
        await client.look("x" * 4_000)
        await client.look("y" * 4_000)
        assert client.cache.kept == 1
        assert 4_000 < client.cache.kept_bytes <= 5_000
        await client.look("z" * 6_000)  # larger than all there is: not kept, and nothing makes room for it
        assert client.cache.kept == 1
        await client.look("y" * 4_000)
        assert client.servicer.calls == 3


async def test_its_numbers_are_shown(client: Client) -> None:
    registry = CollectorRegistry()
    ClientMetrics(registry, Retries(), Breakers(), client.cache)
    await client.look()
    await client.look()
    client.cache.hear(DEPLOYED)
    value, method = registry.get_sample_value, {"grpc_service": SERVICE, "grpc_method": "Look"}
    assert value("fxmesh_client_cache_lookups_total", {**method, "result": "hit"}) == 1
    assert value("fxmesh_client_cache_lookups_total", {**method, "result": "miss"}) == 1
    assert value("fxmesh_client_cache_dropped_total", {**method, "reason": "invalidated"}) == 1
    assert value("fxmesh_client_cache_entries") == 0
    assert value("fxmesh_client_cache_on") == 1
