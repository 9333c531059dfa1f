"""What a service may rely on, whichever registry it was handed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio

from services.runtime.bus import Link
from services.runtime.clock import WallClock
from services.runtime.memory_registry import MemoryRegistry
from services.runtime.ports import Instance, Registry
from services.runtime.registry import NatsRegistry
from tests.kit.events import quiet_log
from tests.kit.nats import NatsServer, until, wipe

pytestmark = pytest.mark.integration

TRADING = "fxmesh.trading.v1.TradingService"
ANALYSIS = "fxmesh.analysis.v1.AnalysisService"


def instance(number: int, service: str = TRADING, name: str = "trading_gateway") -> Instance:
    return Instance(
        id=f"i{number}",
        service=service,
        name=name,
        grpc_address=f"127.0.0.1:{number}",
        http_address=f"127.0.0.1:{number + 1000}",
        started_ns=number,
        version="0.1.0",
    )


@dataclass
class World:
    """One process that announces itself and one that follows."""

    announcer: Registry
    follower: Registry


@pytest_asyncio.fixture(params=["nats", "memory"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        registry = MemoryRegistry()
        yield World(registry, registry)
        return
    server: NatsServer = request.getfixturevalue("shared_nats")
    await wipe(server)
    links, registries = [], []
    for _ in range(2):
        link = Link(server.url, "test", quiet_log())
        link.open()
        registry_on_nats = NatsRegistry(link, WallClock(), quiet_log())
        registry_on_nats.open()
        links.append(link)
        registries.append(registry_on_nats)
    yield World(registries[0], registries[1])
    for each in registries:
        await each.close()
    for link in links:
        await link.close()


async def seen(registry: Registry, condition: Callable[[], bool]) -> None:
    """Follow changes until the condition holds."""
    async with asyncio.timeout(10):
        while not condition():
            await registry.changed()


async def test_an_announced_instance_is_found_by_its_service(world: World) -> None:
    await world.announcer.register(instance(1))
    await seen(world.follower, lambda: bool(world.follower.endpoints(TRADING)))

    assert world.follower.instances() == (instance(1),)
    assert world.follower.endpoints(TRADING) == ("127.0.0.1:1",)
    assert world.follower.endpoints(ANALYSIS) == ()


async def test_endpoints_keep_their_order(world: World) -> None:
    for number in (3, 1, 2):
        await world.announcer.register(instance(number))
    await seen(world.follower, lambda: len(world.follower.endpoints(TRADING)) == 3)

    assert world.follower.endpoints(TRADING) == ("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3")


async def test_a_withdrawn_instance_is_gone_at_once(world: World) -> None:
    await world.announcer.register(instance(1))
    await world.announcer.register(instance(2, ANALYSIS, "analysis_engine"))
    await seen(world.follower, lambda: len(world.follower.instances()) == 2)

    await world.announcer.deregister()

    async with asyncio.timeout(1):
        await until(lambda: not world.follower.instances())


async def test_waiting_for_a_change_ends_with_the_change_and_not_before(world: World) -> None:
    waiting = asyncio.create_task(world.follower.changed())
    await asyncio.sleep(0)
    assert not waiting.done()
    await world.announcer.register(instance(1))

    async with asyncio.timeout(10):
        await waiting


async def test_an_abandoned_wait_does_not_end_that_of_others(world: World) -> None:
    one = asyncio.create_task(world.follower.changed())
    other = asyncio.create_task(world.follower.changed())
    await asyncio.sleep(0)
    one.cancel()
    await asyncio.wait((one,))
    await world.announcer.register(instance(1))

    async with asyncio.timeout(10):
        await other


async def test_priority_addresses_are_those_of_the_instances_that_have_one(world: World) -> None:
    await world.announcer.register(instance(1))
    await world.announcer.register(replace(instance(2), priority_address="127.0.0.1:3002"))
    await until(lambda: len(world.follower.endpoints(TRADING)) == 2)
    assert world.follower.priority_endpoints(TRADING) == ("127.0.0.1:3002",)
    assert world.follower.priority_endpoints(ANALYSIS) == ()
    await world.announcer.deregister()
    await until(lambda: not world.follower.endpoints(TRADING))
    assert world.follower.priority_endpoints(TRADING) == ()
