"""Fault injection: only what a rule names, only as often as it says, and nothing while it is off."""

from __future__ import annotations

import asyncio
import inspect
import re
import time
from pathlib import Path

import pytest
import structlog
from prometheus_client import CollectorRegistry

from interceptors import faults
from interceptors.faults import Faults, Rule, parse
from interceptors.plan import Place
from interceptors.standard import server_concerns
from services.errors import FxError, Kind
from services.runtime.fatal import FatalError
from services.runtime.ids import CountedIds
from services.runtime.policy import method_policy
from services.runtime.settings import RuntimeSettings
from tests.fakes.echo.service import Request
from tests.interceptors.conftest import Echo, Serve
from tests.interceptors.test_cancel import CALLS

TRADING = "fxmesh.trading.v1.TradingService"


def injected(echo: Echo, kind: str, method: str = "Unary") -> float | None:
    labels = {"kind": kind, "grpc_service": "echo.v1.EchoService", "grpc_method": method}
    return echo.server_metrics.get_sample_value("fxmesh_faults_injected_total", labels)


def test_the_examples_of_the_documentation_are_rules() -> None:
    settings = Path(inspect.getfile(RuntimeSettings)).read_text(encoding="utf-8")
    for text in (str(faults.__doc__), settings):
        (example,) = re.findall(r"fxmesh\.marketdata\S+ delay=[^;'`]*", text)
        assert len(parse(example)) == 1


def test_rules_are_read_as_they_are_written() -> None:
    text = (
        f"{TRADING}/PlaceOrder delay=200ms abort=UNAVAILABLE percent=10; "
        f"{TRADING}/* delay=1.5s;* abort=INTERNAL;"
    )
    assert parse(text) == (
        Rule(f"{TRADING}/PlaceOrder", 0.2, "UNAVAILABLE", 10.0),
        Rule(f"{TRADING}/*", 1.5),
        Rule("*", 0.0, "INTERNAL"),
    )
    assert parse("") == ()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            f"{TRADING}/PlaceOder abort=UNAVAILABLE",
            rf"cannot be applied: method /.*PlaceOder is not in .*; did you mean {TRADING}/PlaceOrder\?",
        ),
        (
            "fxmesh.trading.v1.Trading/* abort=UNAVAILABLE",
            rf"cannot be applied: service .*; did you mean {TRADING}/\*\?",
        ),
        (
            "PlaceOrder abort=UNAVAILABLE",
            rf"names no package.Service/Method, .*; did you mean {TRADING}/PlaceOrder\?",
        ),
        ("xyzzy abort=UNAVAILABLE", r"names no package.Service/Method, package.Service/\* or \*$"),
        (f"{TRADING}/PlaceOrder", "needs delay= or abort="),
        (f"{TRADING}/PlaceOrder percent=5", "needs delay= or abort="),
        (f"{TRADING}/PlaceOrder delay=200", "has 'delay=200'"),
        (f"{TRADING}/PlaceOrder abort=NOPE", "has 'abort=NOPE'"),
        (f"{TRADING}/PlaceOrder abort=UNAVAILABLE percent=101", "has 'percent=101'"),
        (f"{TRADING}/PlaceOrder delay=1s delay=2s", "says something twice"),
    ],
)
def test_a_wrong_rule_ends_the_start_with_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(FatalError, match=f"FXMESH_FAULTS: the rule for .*{sentence}"):
        parse(text)


@pytest.mark.parametrize(
    "method", ["CancelOrder", "CancelAllOrders", "ClosePosition", "FlattenAccount", "SetTradingState"]
)
def test_what_makes_risk_smaller_is_spared_unless_named_exactly(method: str) -> None:
    policy = method_policy(f"/{TRADING}/{method}")
    wide = Faults(CollectorRegistry(), parse(f"{TRADING}/* abort=UNAVAILABLE; * abort=UNAVAILABLE"))
    assert wide.hook(policy) is None
    assert wide.hook(method_policy(f"/{TRADING}/PlaceOrder")) is not None
    exact = Faults(CollectorRegistry(), parse(f"{TRADING}/{method} abort=UNAVAILABLE"))
    assert exact.hook(policy) is not None


def test_without_a_drill_there_is_no_such_place() -> None:
    assert Place.FAULTS not in server_concerns(CountedIds("s"), CollectorRegistry())


@pytest.mark.parametrize("shape", CALLS)
async def test_calls_fail_as_the_rule_says(serve: Serve, shape: str) -> None:
    async with serve(drill="echo.v1.EchoService/* abort=ABORTED") as echo:
        with pytest.raises(FxError) as failed:
            await CALLS[shape](echo.stub)
        assert (failed.value.kind, failed.value.reason) == (Kind.ABORTED, "FAULT_INJECTED")
        assert echo.servicer.finished == []
        assert echo.server_metrics.get_sample_value("fxmesh_fault_rules") == 1


async def test_only_the_named_method_is_hit_and_only_in_its_share_of_the_calls(serve: Serve) -> None:
    # A refusal that no breaker counts: one that does opens it by chance, and the server is not reached then.
    async with serve(drill="echo.v1.EchoService/Unary abort=FAILED_PRECONDITION percent=30") as echo:
        calls = [echo.stub.Unary(Request()) for _ in range(400)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        failures = [each for each in outcomes if isinstance(each, FxError)]
        assert {each.reason for each in failures} == {"FAULT_INJECTED"}
        assert 60 <= len(failures) <= 180  # 120 expected, standard deviation 9
        assert injected(echo, "abort") == len(failures)
        assert (await echo.stub.Gather(iter([Request()]))).number == 1


async def test_a_drill_can_feign_a_defect(serve: Serve) -> None:
    async with serve(drill="echo.v1.EchoService/Unary abort=INTERNAL") as echo:
        with pytest.raises(FxError) as failed:
            await echo.stub.Unary(Request())
        assert (failed.value.kind, failed.value.reason) == (Kind.UNAVAILABLE, "INTERNAL")
        assert echo.servicer.finished == []


async def test_a_delay_holds_the_call_up_and_lets_it_go_on(serve: Serve) -> None:
    async with serve(drill="echo.v1.EchoService/Unary delay=150ms") as echo:
        began = time.monotonic()
        await echo.stub.Unary(Request())
        assert time.monotonic() - began >= 0.15
        assert injected(echo, "delay") == 1


async def test_a_delay_beyond_the_deadline_ends_at_the_deadline(serve: Serve) -> None:
    async with serve(drill="echo.v1.EchoService/Unary delay=60s") as echo:
        with pytest.raises(FxError) as failed:
            await echo.stub.Unary(Request(), timeout=0.2)
        assert failed.value.kind is Kind.DEADLINE_EXCEEDED
        labels = {
            "grpc_type": "unary",
            "grpc_service": "echo.v1.EchoService",
            "grpc_method": "Unary",
            "grpc_code": "DEADLINE_EXCEEDED",
        }
        async with asyncio.timeout(5):
            while not echo.server_metrics.get_sample_value("grpc_server_handled_total", labels):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        assert echo.servicer.finished == []


def test_a_drill_is_loud() -> None:
    with structlog.testing.capture_logs() as lines:
        Faults(CollectorRegistry(), parse(f"{TRADING}/PlaceOrder abort=UNAVAILABLE percent=1"))
    assert [(each["log_level"], each["target"], each["percent"]) for each in lines] == [
        ("warning", f"{TRADING}/PlaceOrder", 1.0)
    ]
    assert lines[0]["event"].startswith("DRILL")
