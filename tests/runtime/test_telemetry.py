"""Spans leave for a collector; one that is away costs a line in the log and a bounded wait at the end."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry
from structlog.testing import LogCapture

from services.runtime import context, telemetry
from services.runtime.settings import RuntimeSettings
from services.runtime.telemetry import Telemetry
from services.runtime.traces import ContextTracer
from tests.kit.collector import Collector
from tests.kit.live import eventually


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    collector.start()
    yield collector
    collector.stop()


@pytest.fixture
def lines() -> LogCapture:
    return LogCapture()


def begun(endpoint: str, lines: LogCapture, metrics: CollectorRegistry | None = None) -> Telemetry:
    log: Any = structlog.wrap_logger(structlog.PrintLogger(), processors=[lines])
    settings = RuntimeSettings(otlp_endpoint=endpoint)
    return telemetry.begin("trading_gateway", "i-1", settings, metrics or CollectorRegistry(), log)


async def test_what_is_left_is_sent_at_the_end_with_the_names_of_the_process(
    collector: Collector, lines: LogCapture
) -> None:
    traces = begun(collector.endpoint, lines)
    context.traceparent.set("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")
    with ContextTracer(traces.spans).begin("signal", symbol="EURUSD"):
        pass
    await traces.close()
    (span,) = collector.spans
    assert (span.name, span.service, span.facts) == ("signal", "trading_gateway", {"fxmesh.symbol": "EURUSD"})
    assert span.links == (("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"),)
    assert span.parent == ""
    assert span.resource["service.instance.id"] == "i-1"
    assert span.resource["service.version"]


async def test_a_collector_that_is_away_is_said_once_and_again_when_it_is_back(
    collector: Collector, lines: LogCapture, capfd: pytest.CaptureFixture[str]
) -> None:
    collector.stop()
    metrics = CollectorRegistry()
    traces = begun(collector.endpoint, lines, metrics)
    tracer = ContextTracer(traces.spans)

    def said(event: str) -> int:
        return sum(each["event"] == event for each in lines.entries)

    async def lost(more_than: float) -> float:
        with tracer.begin("signal"):
            pass
        count = metrics.get_sample_value("fxmesh_trace_spans_lost_total") or 0.0
        return count if count > more_than else 0.0

    first_batch = await eventually(partial(lost, 0.0))
    await eventually(partial(lost, first_batch))
    assert said("traces.not_sent") == 1
    collector.start()

    async def back() -> bool:
        with tracer.begin("signal"):
            pass
        return said("traces.sent_again") == 1

    await eventually(back)
    assert said("traces.not_sent") == 1
    assert collector.spans
    await traces.close()
    assert "opentelemetry" not in capfd.readouterr().err


async def test_the_end_does_not_wait_for_a_collector_that_never_answers(lines: LogCapture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        traces = begun(f"127.0.0.1:{silent.getsockname()[1]}", lines)
        with ContextTracer(traces.spans).begin("signal"):
            pass
        began = time.monotonic()
        await traces.close()
        assert time.monotonic() - began < telemetry.FLUSH_S + 1


async def test_without_an_endpoint_nothing_is_recorded() -> None:
    settings = RuntimeSettings()
    traces = telemetry.begin("trading_gateway", "i-1", settings, CollectorRegistry(), structlog.get_logger())
    assert traces.spans is None
    with ContextTracer(traces.spans).begin("signal") as step:
        assert step.story == ContextTracer().current()
    await traces.close()


def test_an_untraced_process_imports_nothing_of_opentelemetry() -> None:
    code = (
        "import sys, services.runtime.process, services.runtime.wiring, services.trading_gateway.compose; "
        "sys.exit('opentelemetry' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
