"""A signal's and an order's story reaches every event that follows, however late, and over a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.errors import FxError
from services.runtime.outbox import OutboxRow
from services.runtime.traces import ContextTracer, within
from services.tracing import Story
from services.trading_gateway.domain.values import OrderType, Side, TradingState
from tests.kit.spans import recorded
from tests.trading_gateway.domain.test_autotrade import SIGNAL
from tests.trading_gateway.world import World

CALL = Story("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "call-1")
EVENT = Story("00-1af7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01", "event-1", "signal-event")
PLACED = "fxmesh.trading.v1.OrderPlaced"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
async def traced(tmp_path: Path, exporter: InMemorySpanExporter) -> AsyncIterator[World]:
    world = World(tmp_path)
    world.tracer = ContextTracer(recorded(exporter))
    await world.start()
    await world.announce()
    await world.tick(("1.10000", "1.10010"))
    yield world
    await world.stop()


async def told(world: World, event: str) -> list[OutboxRow]:
    rows = await world.schema.outbox.store(world.database).unpublished(1000)
    return [row for row in rows if row.type.endswith(f".{event}")]


def spans(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [each for each in exporter.get_finished_spans() if each.name == name]


def ids(span: ReadableSpan) -> tuple[str, str, str]:
    """(trace, span, parent)"""
    assert span.context is not None
    assert span.parent is not None
    return (
        f"{span.context.trace_id:032x}",
        f"{span.context.span_id:016x}",
        f"{span.parent.span_id:016x}",
    )


async def test_a_fill_after_a_restart_belongs_to_the_call_that_placed_its_order(
    traced: World, exporter: InMemorySpanExporter
) -> None:
    with within(CALL):
        placed = await traced.place("rest", Side.BUY, type_=OrderType.LIMIT, limit="1.09900")
    await traced.restart()
    await traced.tick(("1.09880", "1.09890"))

    (order,), (fill,) = spans(exporter, "order"), spans(exporter, "fill")
    assert ids(order)[0] == ids(fill)[0] == CALL.traceparent.split("-")[1]
    assert ids(fill)[2] == ids(order)[1]
    assert fill.attributes is not None
    assert (fill.attributes["fxmesh.order_id"], fill.attributes["fxmesh.price"]) == (
        placed.order_id,
        "1.09890",
    )
    (first,), (executed,), (moved,) = [
        await told(traced, each) for each in ("OrderPlaced", "TradeExecuted", "PositionChanged")
    ]
    assert {each.correlation_id for each in (first, executed, moved)} == {"call-1"}
    assert executed.traceparent == moved.traceparent == f"00-{ids(fill)[0]}-{ids(fill)[1]}-01"
    assert executed.causation_id == f"{PLACED}/{placed.order_id}/1"
    assert str(moved.causation_id).startswith("fxmesh.trading.v1.TradeExecuted/")


async def test_a_signal_leads_to_decision_risk_order_fill_and_stop_in_its_own_trace(
    traced: World, exporter: InMemorySpanExporter
) -> None:
    with within(EVENT):
        await traced.signals.on_signal(SIGNAL)
    await traced.restart()
    await traced.tick(("1.10000", "1.10010"))
    await traced.signals.decide(SIGNAL)
    await traced.tick(("1.09000", "1.09010"), ("1.09000", "1.09010"))  # through the protective stop

    (decide,), (risk,) = spans(exporter, "decide"), spans(exporter, "check risk")
    entry, stop = spans(exporter, "order")
    bought, stopped = spans(exporter, "fill")
    assert {ids(each)[0] for each in exporter.get_finished_spans()} == {EVENT.traceparent.split("-")[1]}
    assert ids(decide)[2] == EVENT.traceparent.split("-")[2]
    assert ids(risk)[2] == ids(entry)[2] == ids(decide)[1]
    assert risk.attributes is not None
    assert risk.attributes["fxmesh.outcome"] == "ORDERED"
    assert ids(bought)[2] == ids(stop)[2] == ids(entry)[1]
    assert ids(stopped)[2] == ids(stop)[1]
    first, _ = await told(traced, "OrderPlaced")
    assert (first.causation_id, first.correlation_id) == ("signal-event", "event-1")


async def test_a_refused_order_says_why(traced: World, exporter: InMemorySpanExporter) -> None:
    await traced.accounts.set_trading_state("r1", "demo", TradingState.HALTED, "lunch")
    with within(CALL), pytest.raises(FxError):
        await traced.place("a", Side.BUY)
    (risk,) = spans(exporter, "check risk")
    assert risk.attributes is not None
    assert risk.attributes["fxmesh.outcome"] == "TRADING_HALTED"
    assert spans(exporter, "order") == []
    (rejected,) = await told(traced, "OrderRejected")
    assert (rejected.traceparent, rejected.correlation_id) == (CALL.traceparent, "call-1")


async def test_untraced_the_ids_of_a_story_are_kept_all_the_same(world: World) -> None:
    with within(Story(correlation_id="call-2")):
        await world.place("rest", Side.BUY, type_=OrderType.LIMIT, limit="1.09900")
    await world.tick(("1.09880", "1.09890"))
    (executed,) = await told(world, "TradeExecuted")
    assert (executed.traceparent, executed.correlation_id) == (None, "call-2")
