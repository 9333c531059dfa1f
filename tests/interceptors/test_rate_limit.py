"""Rate limits: by principal, by cost, exact to the moment, and never for what makes risk smaller."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from interceptors import rate_limit
from interceptors.errors import PUSHBACK_KEY
from interceptors.rate_limit import RateLimit
from services.errors import FxError, Kind
from services.runtime.fatal import FatalError
from services.runtime.identity import ANONYMOUS, Principal, PrincipalKind
from services.runtime.limits import Limits, Rate, parse_rate
from services.runtime.policy import method_policies, method_policy, service_policies
from tests.fakes.echo.service import Request
from tests.interceptors.conftest import networked, outside

UNARY = method_policy("/echo.v1.EchoService/Unary")
GATHER = method_policy("/echo.v1.EchoService/Gather")  # costs 3
ALICE = Principal("alice", PrincipalKind.KEY)
TRADING = Principal("alice", PrincipalKind.SERVICE)


class Bench:
    """A rate limit on a clock that is set, and callers of it."""

    def __init__(self, **rates: Rate) -> None:
        self.now = 100.0
        self.registry = CollectorRegistry()
        self.limit = RateLimit(self.registry, Limits(**rates), lambda: self.now)  # type: ignore[arg-type]

    def call(self, method: Any, principal: Principal = ALICE, peer: str = "ipv4:10.0.0.1:4242") -> None:
        hook = self.limit.hook(method)
        assert hook is not None and hook.enter is not None

        class Call:
            context = type("Context", (), {"peer": staticmethod(lambda: peer)})

        given: Any = Call()
        given.method, given.principal = method, principal
        hook.enter(given)

    def wait(self, method: Any, principal: Principal = ALICE, peer: str = "ipv4:10.0.0.1:4242") -> float:
        """Seconds that a refused call is told to wait."""
        with pytest.raises(FxError) as refused:
            self.call(method, principal, peer)
        assert (refused.value.kind, refused.value.reason) == (Kind.RESOURCE_EXHAUSTED, "RATE_LIMITED")
        assert refused.value.retry_after_s is not None
        return refused.value.retry_after_s


def test_a_burst_is_let_through_and_then_the_rate() -> None:
    bench = Bench(keys=Rate(10, 5))
    for _ in range(5):
        bench.call(UNARY)
    assert bench.wait(UNARY) == pytest.approx(0.1)
    bench.now += 0.1
    bench.call(UNARY)
    assert bench.wait(UNARY) == pytest.approx(0.1)


def test_a_call_takes_the_cost_of_its_method_and_is_told_the_exact_time() -> None:
    bench = Bench(keys=Rate(10, 5))
    bench.call(GATHER)
    wait = bench.wait(GATHER)  # two left, three needed
    assert wait == pytest.approx(0.1)
    bench.now += wait - 0.001
    assert bench.wait(GATHER) == pytest.approx(0.001)
    bench.now += 0.001
    bench.call(GATHER)


def test_a_refused_call_costs_nothing() -> None:
    bench = Bench(keys=Rate(10, 3))
    bench.call(GATHER)
    for _ in range(100):
        bench.wait(UNARY)
    bench.now += 0.1
    bench.call(UNARY)


def test_no_more_than_the_burst_is_saved_up() -> None:
    bench = Bench(keys=Rate(10, 5))
    bench.call(UNARY)
    bench.now += 3600
    for _ in range(5):
        bench.call(UNARY)
    bench.wait(UNARY)


def test_each_principal_has_its_own_bucket_and_its_kind_of_rate() -> None:
    bench = Bench(keys=Rate(10, 3), services=Rate(10, 6))
    bench.call(GATHER)
    bench.wait(UNARY)
    bench.call(UNARY, Principal("bob", PrincipalKind.KEY))
    bench.call(GATHER, TRADING)  # of the same name, but another kind
    bench.call(GATHER, TRADING)
    bench.wait(UNARY, TRADING)


@pytest.mark.parametrize("kind", PrincipalKind)
def test_there_is_a_rate_for_callers_of_every_kind(kind: PrincipalKind) -> None:
    bench = Bench(keys=Rate(1, 1), services=Rate(1, 1), anonymous=Rate(1, 1))
    bench.call(UNARY, Principal("somebody", kind))
    assert bench.wait(UNARY, Principal("somebody", kind)) == pytest.approx(1.0)


def test_callers_without_credentials_are_told_apart_by_host() -> None:
    bench = Bench(anonymous=Rate(10, 3))
    bench.call(GATHER, ANONYMOUS, "ipv4:10.0.0.1:1111")
    bench.wait(UNARY, ANONYMOUS, "ipv4:10.0.0.1:2222")
    bench.call(UNARY, ANONYMOUS, "ipv4:10.0.0.2:1111")
    bench.call(UNARY, ANONYMOUS, "ipv6:%5B::1%5D:1111")


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("ipv4:127.0.0.1:50051", "ipv4:127.0.0.1"),
        ("ipv6:%5B::1%5D:50051", "ipv6:%5B::1%5D"),
        ("memory", "memory"),
    ],
)
def test_the_host_of_a_peer(peer: str, host: str) -> None:
    assert rate_limit.host(peer) == host


def test_buckets_are_bounded_and_full_ones_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "MAX_BUCKETS", 50)
    bench = Bench(keys=Rate(10, 5))
    for number in range(200):
        bench.call(UNARY, Principal(f"k{number}", PrincipalKind.KEY))
    assert bench.limit.buckets == 50
    bench.now += 10
    for number in range(40):
        bench.call(UNARY, Principal(f"later{number}", PrincipalKind.KEY))
    assert bench.limit.buckets == 40


def test_a_bucket_in_use_outlives_those_that_came_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "MAX_BUCKETS", 50)
    bench = Bench(keys=Rate(1, 3))
    bench.call(GATHER)
    for number in range(200):  # four times as many as are kept
        bench.call(UNARY, Principal(f"k{number}", PrincipalKind.KEY))
        bench.wait(UNARY)
    assert bench.limit.buckets == 50


def test_whoever_has_used_up_its_rate_can_still_make_its_risk_smaller() -> None:
    limit = RateLimit(CollectorRegistry(), Limits(keys=Rate(10, 20)))
    trading = "/fxmesh.trading.v1.TradingService"
    for name in ("CancelOrder", "CancelAllOrders", "ClosePosition", "FlattenAccount", "SetTradingState"):
        assert limit.hook(method_policy(f"{trading}/{name}")) is None
    assert limit.hook(method_policy("/grpc.health.v1.Health/Check")) is None
    assert limit.hook(method_policy(f"{trading}/PlaceOrder")) is not None


def test_a_key_may_less_than_the_platforms_own_services_which_with_identity_off_are_anonymous() -> None:
    standard = Limits()
    assert standard.keys.per_second * 2 <= standard.services.per_second
    assert standard.anonymous == standard.services


def test_every_method_of_the_contracts_can_be_paid() -> None:
    limit = RateLimit(CollectorRegistry(), Limits())
    for service in service_policies():
        for method in method_policies(service.full_name):
            limit.hook(method)


def test_a_cost_that_no_bucket_can_pay_is_refused_at_start() -> None:
    limit = RateLimit(CollectorRegistry(), Limits(keys=Rate(10, 2)))
    with pytest.raises(FatalError, match="costs 3 tokens, more than the burst of key: raise"):
        limit.hook(GATHER)


async def test_a_server_refuses_with_the_time_to_wait_and_asks_not_to_be_retried() -> None:
    async with networked(limits=Limits(anonymous=Rate(0.5, 3))) as echo, outside(echo.address) as channel:
        await echo.stub.Gather(iter([Request()]))
        with pytest.raises(FxError) as refused:
            await echo.stub.Unary(Request())
        assert refused.value.reason == "RATE_LIMITED"
        assert refused.value.retry_after_s is not None
        assert 0.0 < refused.value.retry_after_s <= 2.0
        with pytest.raises(grpc.aio.AioRpcError) as raw:
            await channel.unary_unary("/echo.v1.EchoService/Unary")(b"")
        assert dict(raw.value.trailing_metadata() or ())[PUSHBACK_KEY] == "-1"
        labels = {"kind": "anonymous", "grpc_service": "echo.v1.EchoService", "grpc_method": "Unary"}
        assert echo.server_metrics.get_sample_value("fxmesh_rate_limited_total", labels) == 2


async def test_a_default_server_lets_a_burst_of_a_thousand_calls_through() -> None:
    async with networked() as echo:
        answers = await asyncio.gather(*(echo.stub.Unary(Request()) for _ in range(1000)))
        assert len(answers) == 1000
        assert echo.server_metrics.get_sample_value("fxmesh_rate_limit_buckets") == 1


@pytest.mark.parametrize("text", ["fast", "0/5", "10/0.5", "10", "-1/5"])
def test_a_wrong_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="TOKENS_A_SECOND/BURST"):
        parse_rate(text)


def test_a_rate_is_written_as_tokens_a_second_and_burst() -> None:
    assert parse_rate("0.5/10") == Rate(0.5, 10)
