"""What a person finds in Jaeger: the services, and an order's trace by its correlation id."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit import jaeger
from tests.kit.jaeger import Jaeger
from tests.kit.live import eventually, started, stopped

pytestmark = [pytest.mark.integration, pytest.mark.jaeger, pytest.mark.timeout(300)]

HANDLE_ORDERS = {"trading_gateway", "data_pipeline", "monitoring_alerting"}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Jaeger]:
    program = jaeger.find()
    if program is None:
        pytest.fail("no jaeger-all-in-one: `make jaeger` builds it, with Go", pytrace=False)
    started_one = Jaeger(program, tmp_path / "jaeger.log")
    yield started_one
    started_one.stop()


async def test_an_orders_trace_is_found_by_its_correlation_id(running: Jaeger, tmp_path: Path) -> None:
    platform = started(tmp_path / "home", "--symbols", "EURUSD", "--otlp", running.endpoint)
    try:
        assert platform.command("order", "buy", "EURUSD", "10000").returncode == 0
    finally:
        stopped(platform)
    (call,) = await _spans(running, "fxmesh.trading.v1.TradingService/PlaceOrder")

    async def whole() -> dict[str, Any] | None:
        """The trace, once all that handled the order are in it: Jaeger stores span by span."""
        found = await _traces(running, tags=json.dumps({"fxmesh.correlation_id": _tag(call)}))
        (trace,) = (each for each in found if each["traceID"] == call["traceID"])
        handled_by = {each["serviceName"] for each in trace["processes"].values()}
        filled = any(each["operationName"] == "fill" for each in trace["spans"])
        known = {each["spanID"] for each in trace["spans"]}
        parents = {parent for each in trace["spans"] for parent in _parents(each)}
        return trace if filled and handled_by >= HANDLE_ORDERS and parents <= known else None

    trace = await eventually(whole)

    spans = {each["spanID"]: each for each in trace["spans"]}
    (fill,) = (each for each in spans.values() if each["operationName"] == "fill")
    names = []
    current: dict[str, Any] | None = fill
    while current is not None:
        names.append(current["operationName"])
        parents = _parents(current)
        current = spans[parents[0]] if parents else None
    assert names == ["fill", "order", "fxmesh.trading.v1.TradingService/PlaceOrder"]
    handled_by = {each["serviceName"] for each in trace["processes"].values()}
    assert handled_by <= set(_services(running))


async def _traces(running: Jaeger, **query: str) -> list[dict[str, Any]]:
    async def asked() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = running.get("traces", service="trading_gateway", limit="1500", **query)
        return found

    answer: list[dict[str, Any]] = await eventually(asked)
    return answer


async def _spans(running: Jaeger, operation: str) -> list[dict[str, Any]]:
    traces = await _traces(running, operation=operation)
    return [each for trace in traces for each in trace["spans"] if each["operationName"] == operation]


def _parents(span: dict[str, Any]) -> list[str]:
    return [each["spanID"] for each in span["references"] if each["refType"] == "CHILD_OF"]


def _tag(span: dict[str, Any]) -> str:
    (value,) = (each["value"] for each in span["tags"] if each["key"] == "fxmesh.correlation_id")
    return str(value)


def _services(running: Jaeger) -> list[str]:
    found: list[str] = running.get("services")
    return found
