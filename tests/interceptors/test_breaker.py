"""A target that fails is left alone, and found again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry

from interceptors.breaker import OPEN_S, Breaker, Breakers, State
from interceptors.calls import ClientCall
from interceptors.client_metrics import ClientMetrics
from interceptors.endpoints import Endpoint
from interceptors.plan import Place
from interceptors.retry import Retries
from services.errors import FxError, Kind
from services.runtime.channels import registry_channels, static_channels
from services.runtime.memory_registry import MemoryRegistry
from services.runtime.policy import method_policy
from tests.fakes.echo import SERVICE
from tests.fakes.echo.service import Request
from tests.interceptors.flaky import (
    Flaky,
    Order,
    broken,
    calling,
    concerns,
    fine,
    hang,
    not_found,
    serving,
    stub,
    unavailable,
)
from tests.kit.nats import until


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Client:
    """A servicer and a stub behind a breaker on a clock of its own."""

    def __init__(self) -> None:
        self.servicer = Flaky()
        self.clock = Clock()
        self.breakers = Breakers(self.clock)
        self.stub: Any = None

    @property
    def breaker(self) -> Breaker:
        return self.breakers.by_target[SERVICE]

    async def fail(self, times: int, order: Order = unavailable) -> None:
        """So many calls that are sent and fail."""
        for _ in range(times):
            self.servicer.orders.append(order)
            assert await reason(self.stub.Unary(Request())) not in ("", "CIRCUIT_OPEN")

    async def answer(self, times: int) -> None:
        for _ in range(times):
            await self.stub.Unary(Request())


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    made = Client()
    async with (
        serving(made.servicer) as address,
        calling(address, {Place.BREAKER: made.breakers.hook}) as made.stub,
    ):
        yield made


async def reason(call: Awaitable[Any]) -> str:
    """Why a call fails, "" when it does not."""
    try:
        await call
    except FxError as failure:
        return failure.reason
    return ""


async def test_five_failures_in_a_row_open_it_on_a_quiet_edge(client: Client) -> None:
    await client.fail(5)
    with pytest.raises(FxError) as caught:
        await client.stub.Unary(Request())
    assert (caught.value.kind, caught.value.reason) == (Kind.UNAVAILABLE, "CIRCUIT_OPEN")
    assert caught.value.retry_after_s == OPEN_S
    assert client.servicer.calls == 5


async def test_a_good_answer_in_between_keeps_a_quiet_edge_closed(client: Client) -> None:
    for _ in range(3):
        await client.fail(4)
        await client.answer(1)
    assert client.breaker.state is State.CLOSED


async def test_half_of_twenty_calls_open_it(client: Client) -> None:
    for _ in range(9):
        await client.answer(1)
        await client.fail(1)
    await client.answer(1)
    assert client.breaker.state is State.CLOSED
    await client.fail(1)
    assert client.breaker.state is State.OPEN


async def test_failures_of_more_than_ten_seconds_ago_are_forgotten(client: Client) -> None:
    for _ in range(9):
        await client.answer(1)
        await client.fail(1)
    client.clock.now += 11
    await client.answer(1)
    await client.fail(4)
    assert client.breaker.state is State.CLOSED


async def test_a_busy_edge_that_fails_totally_opens_within_two_seconds(client: Client) -> None:
    for _ in range(10):  # ten good seconds at 20 calls a second
        await client.answer(20)
        client.clock.now += 1
    began = client.clock.now
    while client.breaker.state is State.CLOSED:
        await client.fail(1)
        client.clock.now += 0.05
    assert client.clock.now - began <= 2


@pytest.mark.parametrize("order", [broken, unavailable])
async def test_failures_of_the_peer_count(client: Client, order: Order) -> None:
    await client.fail(5, order)
    assert client.breaker.state is State.OPEN


async def test_business_refusals_are_answers(client: Client) -> None:
    for _ in range(3):
        await client.fail(3)
        await client.fail(3, not_found)
    assert client.breaker.state is State.CLOSED


async def test_an_expired_call_counts_when_it_had_a_fair_time(client: Client) -> None:
    # Append may take 20 s; a quarter of a second says nothing of a peer, 5 s would.
    for _ in range(6):
        client.servicer.orders.append(hang)
        assert await reason(client.stub.Append(Request(), timeout=0.25)) == "DEADLINE_EXCEEDED"
    assert client.breaker.state is State.CLOSED
    for _ in range(5):  # Unary may take 5 s
        client.servicer.orders.append(hang)
    expired = (reason(client.stub.Unary(Request(), timeout=2.5)) for _ in range(5))
    assert set(await asyncio.gather(*expired)) == {"DEADLINE_EXCEEDED"}
    assert client.breaker.state is State.OPEN


async def test_a_call_its_caller_cancels_says_nothing(client: Client) -> None:
    await client.fail(4)
    client.servicer.orders.append(hang)
    call = asyncio.ensure_future(client.stub.Unary(Request()))
    await until(lambda: client.servicer.calls == 5)
    call.cancel()
    await asyncio.wait((call,))
    assert client.breaker.state is State.CLOSED
    await client.fail(1)  # and it does not break the row either
    assert client.breaker.state is State.OPEN


async def test_three_good_probes_close_it(client: Client) -> None:
    await client.fail(5)
    client.clock.now += OPEN_S - 0.1
    assert await reason(client.stub.Unary(Request())) == "CIRCUIT_OPEN"
    client.clock.now += 0.2
    await client.answer(2)
    assert client.breaker.state is State.HALF_OPEN
    await client.answer(1)
    assert client.breaker.state is State.CLOSED
    await client.fail(4)  # the past is forgotten
    assert client.breaker.state is State.CLOSED
    counted = {state.name: count for state, count in client.breaker.transitions.items()}
    assert counted == {"OPEN": 1, "HALF_OPEN": 1, "CLOSED": 1}


async def test_a_failed_probe_opens_it_again(client: Client) -> None:
    await client.fail(5)
    client.clock.now += OPEN_S
    await client.answer(2)
    await client.fail(1)
    assert client.breaker.state is State.OPEN
    client.clock.now += OPEN_S - 0.1
    assert await reason(client.stub.Unary(Request())) == "CIRCUIT_OPEN"


async def test_no_more_than_three_probes_are_out_at_once(client: Client) -> None:
    await client.fail(5)
    client.clock.now += OPEN_S
    go = asyncio.Event()

    async def held(_: Any) -> None:
        await go.wait()

    client.servicer.always = held
    probes = [asyncio.ensure_future(client.stub.Unary(Request())) for _ in range(3)]
    await until(lambda: client.servicer.calls == 8)
    assert await reason(client.stub.Unary(Request())) == "CIRCUIT_OPEN"
    probes[0].cancel()  # says nothing: another may go in its place
    await asyncio.wait((probes[0],))
    probes[0] = asyncio.ensure_future(client.stub.Unary(Request()))
    await until(lambda: client.servicer.calls == 9)
    go.set()
    await asyncio.gather(*probes)
    assert client.breaker.state is State.CLOSED


async def test_probes_that_hang_give_way_to_others(client: Client) -> None:
    await client.fail(5)
    client.clock.now += OPEN_S
    client.servicer.orders.extend([hang, hang, hang])
    hanging = [asyncio.ensure_future(client.stub.Unary(Request())) for _ in range(3)]
    await until(lambda: client.servicer.calls == 8)
    client.clock.now += OPEN_S
    await client.answer(3)
    assert client.breaker.state is State.CLOSED
    for call in hanging:
        call.cancel()
    await asyncio.wait(hanging)


async def test_a_peer_that_is_back_is_used_within_ten_seconds(client: Client) -> None:
    await client.fail(5)
    client.clock.now += OPEN_S
    await client.fail(1)  # a probe just before the peer is back
    back = client.clock.now
    while client.breaker.state is not State.CLOSED:
        client.clock.now += 0.1
        await reason(client.stub.Unary(Request()))
    assert client.clock.now - back <= 10


async def test_a_stream_counts_when_it_begins_and_not_for_its_length(client: Client) -> None:
    await client.fail(5)
    client.clock.now += OPEN_S
    streams = [client.stub.Follow(Request(count=1, text="hang")) for _ in range(3)]
    for stream in streams:
        await stream.read()
    assert client.breaker.state is State.CLOSED
    for stream in streams:
        stream.cancel()


@pytest.mark.parametrize("method", ["Unary", "Follow", "Gather", "Converse"])
async def test_every_shape_is_counted_and_refused(client: Client, method: str) -> None:
    async def read(stream: Any) -> None:
        async for _ in stream:
            pass

    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "Unary": lambda: client.stub.Unary(Request()),
        "Follow": lambda: read(client.stub.Follow(Request(count=1))),
        "Gather": lambda: client.stub.Gather(iter([Request(text="key")])),
        "Converse": lambda: read(client.stub.Converse(iter([Request()]))),
    }
    client.servicer.always = unavailable
    reasons = [await reason(calls[method]()) for _ in range(6)]
    assert reasons == ["STORE_UNAVAILABLE"] * 5 + ["CIRCUIT_OPEN"]


async def test_nobody_to_send_to_is_not_the_peers_failure() -> None:
    breakers = Breakers()
    made = registry_channels(MemoryRegistry(), concerns({Place.BREAKER: breakers.hook}))
    for _ in range(6):
        assert await reason(stub(made).Unary(Request(), timeout=0.01)) == "PEER_UNAVAILABLE"
    assert breakers.by_target[SERVICE].state is State.CLOSED
    await made.close()


async def test_health_has_no_breaker(client: Client) -> None:
    async with serving(Flaky()) as address:
        found = static_channels(
            {"grpc.health.v1.Health": address},
            concerns({Place.BREAKER: client.breakers.hook, Place.RETRY: Retries().hook}),
        )
        health: Any = health_pb2_grpc.HealthStub(found.to("grpc.health.v1.Health"))
        await health.Check(health_pb2.HealthCheckRequest())
        await found.close()
    assert set(client.breakers.by_target) == {SERVICE}


async def test_its_state_is_shown(client: Client) -> None:
    registry = CollectorRegistry()
    ClientMetrics(registry, Retries(), client.breakers, None)
    value, service = registry.get_sample_value, {"grpc_service": SERVICE}
    client.servicer.orders.append(fine)
    await client.answer(1)
    assert value("fxmesh_client_breaker_state", service) == 0
    await client.fail(5)
    assert value("fxmesh_client_breaker_state", service) == 2
    assert value("fxmesh_client_breaker_transitions_total", {**service, "to": "open"}) == 1


async def test_orders_that_fail_leave_the_way_of_cancels_open() -> None:
    trading, breakers = "fxmesh.trading.v1.TradingService", Breakers()
    orders, cancels = (
        breakers.hook(method_policy(f"/{trading}/{method}")) for method in ("PlaceOrder", "CancelOrder")
    )
    assert orders is not None
    assert cancels is not None
    assert orders.enter is not None
    assert orders.leave is not None
    assert cancels.enter is not None
    for _ in range(20):
        call = ClientCall(method_policy(f"/{trading}/PlaceOrder"), None, None)
        call.code, call.endpoint = grpc.StatusCode.UNAVAILABLE, Endpoint(None)  # type: ignore[arg-type]  # not called
        orders.leave(call)
    with pytest.raises(FxError, match="CIRCUIT_OPEN"):
        orders.enter(ClientCall(method_policy(f"/{trading}/PlaceOrder"), None, None))
    cancels.enter(ClientCall(method_policy(f"/{trading}/CancelOrder"), None, None))
    states = {target: breaker.state for target, breaker in breakers.by_target.items()}
    assert states == {trading: State.OPEN, f"{trading}/cancels": State.CLOSED}
