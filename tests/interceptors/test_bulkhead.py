"""Bulkheads: a group cannot take the room of another, waits in order, and never loses a slot."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from interceptors.bulkhead import RETRY_AFTER_S, Bulkheads, Pool
from interceptors.errors import PUSHBACK_KEY
from services.errors import FxError, Kind
from services.runtime.limits import CANCELS, MAX_PENDING_CALLS, POOLS, Limits, PoolSize, parse_pools
from services.runtime.policy import MethodPolicy, Shape, method_policies, service_policies
from services.runtime.serve import SERVER_OPTIONS
from tests.fakes.echo.service import Request
from tests.interceptors.conftest import Echo, Serve, outside
from tests.interceptors.test_cancel import CALLS

HANG = Request(text="hang", count=1)
WIDE = Limits()


def narrow(slots: int, queue: int, *groups: str) -> Limits:
    sizes: dict[str, PoolSize] = {**POOLS, **dict.fromkeys(groups or ("default",), PoolSize(slots, queue))}
    sizes["batch"] = sizes["default"]
    return Limits(pools=sizes)


def value(registry: CollectorRegistry, side: str, name: str, group: str = "default") -> float:
    labels = {"grpc_service": "echo.v1.EchoService", "bulkhead": group}
    found = registry.get_sample_value(f"fxmesh_{side}_bulkhead_{name}", labels)
    assert found is not None
    return found


async def until(registry: CollectorRegistry, side: str, wanted: Mapping[str, int], group: str) -> None:
    async with asyncio.timeout(10):
        while {name: value(registry, side, name, group) for name in wanted} != wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def start(echo: Echo, shape: str) -> asyncio.Future[Any]:
    return asyncio.ensure_future(CALLS[shape](echo.stub))


async def stop(*callers: asyncio.Future[Any]) -> None:
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)


@pytest.mark.parametrize("shape", CALLS)
@pytest.mark.parametrize("side", ["server", "client"])
async def test_one_holds_the_slot_one_waits_and_the_next_is_refused(
    serve: Serve, side: str, shape: str
) -> None:
    sides = {"limits": WIDE, "calling": WIDE} | {
        "limits" if side == "server" else "calling": narrow(1, 1, "default", "batch")
    }
    group = "batch" if shape == "client_stream" else "default"
    async with serve(**sides) as echo:
        registry = echo.server_metrics if side == "server" else echo.client_metrics
        first = start(echo, shape)
        await echo.servicer.until_running(1)
        second = start(echo, shape)
        await until(registry, side, {"in_use": 1, "waiting": 1}, group)
        with pytest.raises(FxError) as refused:
            await CALLS[shape](echo.stub)
        assert (refused.value.kind, refused.value.reason) == (Kind.RESOURCE_EXHAUSTED, "BULKHEAD_FULL")
        assert refused.value.retry_after_s == RETRY_AFTER_S
        await stop(first)
        await echo.servicer.until_finished(1)
        await echo.servicer.until_running(1)  # the second has the slot now
        await stop(second)
        await until(registry, side, {"in_use": 0, "waiting": 0, "refused_total": 1}, group)


async def test_a_refused_call_says_when_to_come_back_in_the_metadata_too(network_echo: Echo) -> None:
    from tests.interceptors.conftest import networked

    async with networked(limits=narrow(1, 0)) as echo, outside(echo.address) as channel:
        first = start(echo, "unary")
        await echo.servicer.until_running(1)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary("/echo.v1.EchoService/Unary")(b"")
        trailing = dict(refused.value.trailing_metadata() or ())
        assert trailing[PUSHBACK_KEY] == str(round(RETRY_AFTER_S * 1000))
        await stop(first)


async def test_a_flood_of_one_group_does_not_delay_another(serve: Serve) -> None:
    async with serve(limits=narrow(2, 50)) as echo:
        flood = [start(echo, "unary") for _ in range(40)]
        await until(echo.server_metrics, "server", {"in_use": 2, "waiting": 38}, "default")
        answer = await echo.stub.Gather(iter([Request()]))  # of another group
        assert answer.number == 1
        assert value(echo.server_metrics, "server", "waiting") == 38
        await stop(*flood)
        await until(echo.server_metrics, "server", {"in_use": 0, "waiting": 0}, "default")


async def test_waiting_calls_are_served_in_the_order_they_came() -> None:
    pool, order = Pool(PoolSize(1, 10)), []
    assert pool.take(call()) is None

    async def one(number: int) -> None:
        wait = pool.take(call())
        assert wait is not None
        await wait
        order.append(number)
        pool.release()

    waiting = [asyncio.ensure_future(one(number)) for number in range(5)]
    await asyncio.sleep(0)
    assert pool.waiting == 5
    await stop(waiting[2])
    pool.release()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert order == [0, 1, 3, 4]
    assert (pool.in_use, pool.waiting) == (0, 0)


async def test_a_call_waits_for_half_of_its_time_at_most(serve: Serve) -> None:
    async with serve(limits=narrow(1, 1)) as echo:
        first = start(echo, "unary")
        await echo.servicer.until_running(1)
        began = asyncio.get_running_loop().time()
        with pytest.raises(FxError) as refused:
            await echo.stub.Unary(Request(), timeout=2.0)
        assert refused.value.reason == "BULKHEAD_FULL"
        assert 0.9 < asyncio.get_running_loop().time() - began < 2.0
        await stop(first)
        await until(echo.server_metrics, "server", {"in_use": 0, "waiting": 0}, "default")


async def test_an_abandoned_stream_gives_its_slots_back(serve: Serve) -> None:
    async with serve() as echo:
        stream = echo.stub.Spread(HANG)
        await stream.read()
        assert value(echo.client_metrics, "client", "in_use") == 1
        del stream
        await until(echo.client_metrics, "client", {"in_use": 0}, "default")
        await until(echo.server_metrics, "server", {"in_use": 0}, "default")


async def test_no_slot_is_lost_whatever_becomes_of_the_calls(serve: Serve) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 to play it again
    chance = random.Random(seed)

    async def one(echo: Echo, shape: str, text: str, give_up_s: float, timeout_s: float) -> None:
        request = Request(text=text, count=1)
        await asyncio.sleep(chance.random() / 20)
        with suppress(FxError, asyncio.CancelledError, TimeoutError):
            async with asyncio.timeout(give_up_s):
                if shape == "unary":
                    await echo.stub.Unary(request, timeout=timeout_s)
                elif shape == "client_stream":
                    await echo.stub.Gather(iter([request]), timeout=timeout_s)
                elif shape == "server_stream":
                    await echo.stub.Spread(request, timeout=timeout_s).read()  # and no further
                else:
                    async for _ in echo.stub.Converse(iter([request]), timeout=timeout_s):
                        pass

    limits = narrow(3, 6, "default", "batch")
    async with serve(limits=limits, calling=narrow(6, 12, "default", "batch")) as echo:
        calls = [
            one(
                echo,
                chance.choice(list(CALLS)),
                chance.choice(["", "", "hang", "crash", "refuse", "stray cancel"]),
                chance.uniform(0.001, 0.3),
                chance.uniform(0.05, 0.4),
            )
            for _ in range(400)
        ]
        await asyncio.gather(*calls)
        for group in ("default", "batch"):
            await until(echo.client_metrics, "client", {"in_use": 0, "waiting": 0}, group)
            await until(echo.server_metrics, "server", {"in_use": 0, "waiting": 0}, group)
        assert (await echo.stub.Gather(iter([Request()]))).number == 1


def call() -> Any:
    """As much of a call as a pool looks at."""

    class Call:
        method = MethodPolicy("/echo.v1.EchoService/Unary", Shape.UNARY, 5.0, "echo:read")
        deadline = None

    return Call()


async def test_a_slot_granted_in_the_turn_of_a_cancel_is_passed_on() -> None:
    pool = Pool(PoolSize(1, 2))
    pool.take(call())
    waiting = [asyncio.ensure_future(_wait(pool)) for _ in range(2)]
    await asyncio.sleep(0)
    pool.release()  # to the first, which does not know it yet
    waiting[0].cancel()
    await asyncio.wait(waiting, timeout=5)
    assert waiting[1].done()
    assert waiting[0].cancelled()
    assert not waiting[1].cancelled()
    assert (pool.in_use, pool.waiting) == (1, 0)


async def _wait(pool: Pool) -> None:
    wait = pool.take(call())
    assert wait is not None
    await wait


def test_each_service_and_group_has_a_pool_of_its_own() -> None:
    pools = Bulkheads(CollectorRegistry(), "client", Limits())
    assert pools.pool("a.v1.A", "default") is pools.pool("a.v1.A", "default")
    assert pools.pool("a.v1.A", "default") is not pools.pool("a.v1.A", CANCELS)
    assert pools.pool("a.v1.A", "default") is not pools.pool("b.v1.B", "default")


def test_what_makes_risk_smaller_is_in_the_group_of_cancels_and_nothing_else() -> None:
    groups = {each.method: each.bulkhead for each in method_policies("fxmesh.trading.v1.TradingService")}
    cancels = {method for method, group in groups.items() if group == CANCELS}
    assert cancels == {"CancelOrder", "CancelAllOrders", "ClosePosition", "FlattenAccount", "SetTradingState"}


def test_every_group_of_the_contracts_has_a_size() -> None:
    methods = [each for service in service_policies() for each in method_policies(service.full_name)]
    assert {each.bulkhead for each in methods} <= set(POOLS)


def test_streams_hold_slots_of_their_own_group() -> None:
    methods = [each for service in service_policies() for each in method_policies(service.full_name)]
    assert {each.path for each in methods if each.streams_answers and each.default_deadline_s > 600} == {
        each.path for each in methods if each.bulkhead == "streams"
    }


def test_all_pools_together_stay_below_what_grpc_refuses_at_random() -> None:
    assert sum(size.slots + size.queue for size in POOLS.values()) < MAX_PENDING_CALLS
    assert dict(SERVER_OPTIONS)["grpc.server.max_pending_requests"] == MAX_PENDING_CALLS


def test_sizes_of_single_groups_can_be_set() -> None:
    pools = parse_pools("orders=64/256, bulk=4/0")
    assert isinstance(pools, dict)
    assert (pools["orders"], pools["bulk"]) == (PoolSize(64, 256), PoolSize(4, 0))
    assert pools["default"] == POOLS["default"]


@pytest.mark.parametrize("text", ["orders=0/5", "orders=64", "cancel=1/1", "orders=1/20000", "orders = 1/1"])
def test_wrong_sizes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"orders|cancel"):
        parse_pools(text)
