"""Which instance gets the next attempt: with two or three of them, some of which fail, hang or are gone."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from random import Random
from types import MappingProxyType
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from interceptors.plan import Place
from interceptors.retry import Retries
from services.errors import FxError
from services.runtime.channels import MeshChannels, registry_channels
from services.runtime.ejection import FIRST_S, LONGEST_S, Rotations
from services.runtime.memory_registry import MemoryRegistry
from services.runtime.ports import Instance
from tests.fakes.echo import SERVICE
from tests.fakes.echo.service import Request
from tests.interceptors.flaky import Flaky, broken, concerns, hang, not_found, serving, stub, unavailable


class Fleet:
    """Instances of the echo service, in the registry, and a client of them on a clock of its own."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.registry = MemoryRegistry()
        self.metrics = CollectorRegistry()
        self.rotations = Rotations(self.metrics, lambda: self.now)
        self.channels: list[MeshChannels] = []
        self.stack = AsyncExitStack()

    async def instance(self, name: str) -> Flaky:
        servicer = Flaky()
        address = await self.stack.enter_async_context(serving(servicer, name))
        await self.announce(name, address)
        return servicer

    async def announce(self, name: str, address: str) -> None:
        await self.registry.register(Instance(name, SERVICE, "echo", address, "", 0))

    def retrying(self, turns: int = 0) -> Any:
        """A caller whose retries do not wait; so many other calls take their turn in between."""

        async def others(_: float) -> None:
            for _ in range(turns):
                await caller.Append(Request())

        caller = self.stub({Place.RETRY: Retries(sleep=others, random=Random(1)).hook})
        return caller

    def stub(self, extra: Any = MappingProxyType({})) -> Any:
        found = registry_channels(self.registry, concerns(extra), self.rotations)
        self.channels.append(found)
        return stub(found)

    def out(self) -> float | None:
        return self.metrics.get_sample_value("fxmesh_client_ejected", {"grpc_service": SERVICE})

    async def warm(self, caller: Any, *servicers: Flaky) -> None:
        """Call until each has answered. Before any is connected, a call takes what comes."""
        async with asyncio.timeout(20):
            while not all(each.calls for each in servicers):
                await _try(caller, 1)
        for each in servicers:
            each.metadata.clear()


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    made = Fleet()
    async with made.stack:
        yield made
        for each in made.channels:
            await each.close()


async def _try(caller: Any, times: int, **options: Any) -> int:
    """So many calls; gives how many failed."""
    failed = 0
    for _ in range(times):
        try:
            await caller.Unary(Request(), **options)
        except FxError:
            failed += 1
    return failed


async def test_five_failures_in_a_row_put_an_instance_out(fleet: Fleet) -> None:
    good, bad = await fleet.instance("a"), await fleet.instance("b")
    caller = fleet.stub()
    await fleet.warm(caller, good, bad)
    bad.always = unavailable
    assert await _try(caller, 20) == 5
    assert (bad.calls, good.calls) == (5, 15)
    assert fleet.out() == 1
    assert fleet.metrics.get_sample_value("fxmesh_client_ejections_total", {"grpc_service": SERVICE}) == 1


async def test_an_instance_that_hangs_is_put_out_too(fleet: Fleet) -> None:
    good, bad = await fleet.instance("a"), await fleet.instance("b")
    caller = fleet.stub()
    await fleet.warm(caller, good, bad)
    bad.always = hang
    calls = [asyncio.ensure_future(_try(caller, 1, timeout=2.5)) for _ in range(10)]
    assert sum(await asyncio.gather(*calls)) == 5
    assert fleet.out() == 1


@pytest.mark.parametrize("order", [not_found, broken])
async def test_an_instance_that_answers_stays(fleet: Fleet, order: Any) -> None:
    good, bad = await fleet.instance("a"), await fleet.instance("b")
    caller = fleet.stub()
    await fleet.warm(caller, good, bad)
    bad.always = order
    await _try(caller, 20)
    assert bad.calls == 10
    assert fleet.out() == 0


async def test_it_comes_back_after_a_time_that_doubles_while_it_fails(fleet: Fleet) -> None:
    good, bad = await fleet.instance("a"), await fleet.instance("b")
    caller = fleet.stub()
    await fleet.warm(caller, good, bad)
    bad.always = unavailable
    await _try(caller, 12)
    expected_s = FIRST_S
    for _ in range(6):
        fleet.now += expected_s - 0.01
        assert await _try(caller, 4) == 0
        fleet.now += 0.02
        assert await _try(caller, 4) == 1  # one failure is enough now
        expected_s = min(LONGEST_S, expected_s * 2)
    assert expected_s == LONGEST_S
    bad.always = None
    fleet.now += LONGEST_S + 0.01
    bad.metadata.clear()
    assert await _try(caller, 4) == 0
    assert bad.calls == 2
    assert fleet.out() == 0


async def test_after_a_quiet_time_it_begins_at_the_shortest_again(fleet: Fleet) -> None:
    good, bad = await fleet.instance("a"), await fleet.instance("b")
    caller = fleet.stub()
    await fleet.warm(caller, good, bad)
    for _ in range(2):
        bad.always = unavailable
        await _try(caller, 12)
        assert fleet.out() == 1
        bad.always = None
        fleet.now += FIRST_S + 0.01
        await _try(caller, 4)
        assert fleet.out() == 0
        fleet.now += 2 * LONGEST_S


async def test_the_last_one_is_never_put_out(fleet: Fleet) -> None:
    first, second = await fleet.instance("a"), await fleet.instance("b")
    caller = fleet.stub()
    await fleet.warm(caller, first, second)
    first.always = second.always = unavailable
    assert await _try(caller, 30) == 30
    assert fleet.out() == 1
    first.always = second.always = None
    assert await _try(caller, 4) == 0


async def test_a_single_instance_is_called_whatever_it_does(fleet: Fleet) -> None:
    only = await fleet.instance("a")
    only.always = unavailable
    caller = fleet.stub()
    assert await _try(caller, 10) == 10
    assert only.calls == 10


async def test_when_the_good_ones_are_withdrawn_those_put_out_are_called(fleet: Fleet) -> None:
    good, bad = await fleet.instance("a"), await fleet.instance("b")
    caller = fleet.stub()
    await fleet.warm(caller, good, bad)
    bad.always = unavailable
    await _try(caller, 12)
    left = next(each for each in fleet.registry.instances() if each.id == "b")
    await fleet.registry.deregister()
    await fleet.registry.register(left)
    bad.always = None
    assert await _try(caller, 3) == 0


async def test_a_retry_goes_to_another_instance(fleet: Fleet) -> None:
    servicers = [await fleet.instance(name) for name in "abc"]
    caller = fleet.retrying()
    await fleet.warm(caller, *servicers)
    for each in servicers:
        each.orders.append(unavailable)
    with pytest.raises(FxError):
        await caller.Unary(Request())
    assert [each.calls for each in servicers] == [1, 1, 1]


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_whoever_else_takes_a_turn_a_retry_avoids_the_instance_that_failed(
    fleet: Fleet, turns: int
) -> None:
    first, second = await fleet.instance("a"), await fleet.instance("b")
    caller = fleet.retrying(turns)
    await fleet.warm(caller, first, second)
    for servicer, other in ((first, second), (second, first)):
        servicer.orders.append(unavailable)
        while servicer.orders:
            await caller.Unary(Request())
        # Repeated once and answered: by the other one.
        assert any("grpc-previous-rpc-attempts" in each for each in other.metadata)
        assert not any("grpc-previous-rpc-attempts" in each for each in servicer.metadata)
        first.metadata.clear()
        second.metadata.clear()


async def test_with_two_instances_a_second_retry_leaves_the_one_that_just_failed(fleet: Fleet) -> None:
    servicers = [await fleet.instance(name) for name in "ab"]
    caller = fleet.retrying()
    await fleet.warm(caller, *servicers)
    for each in servicers:
        each.always = unavailable
    with pytest.raises(FxError):
        await caller.Unary(Request())
    assert sorted(each.calls for each in servicers) == [1, 2]


async def test_an_address_that_cannot_be_reached_gets_no_calls_while_another_can(fleet: Fleet) -> None:
    good = await fleet.instance("a")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        await fleet.announce("b", f"127.0.0.1:{unused.getsockname()[1]}")  # bound, nobody listens
        caller = fleet.stub()
        await fleet.warm(caller, good)
        assert await _try(caller, 30) == 0
    assert good.calls == 30


async def test_an_instance_that_appears_gets_its_share(fleet: Fleet) -> None:
    first = await fleet.instance("a")
    caller = fleet.stub()
    await fleet.warm(caller, first)
    second = await fleet.instance("b")
    await fleet.warm(caller, second)
    await _try(caller, 20)
    assert second.calls == 10
