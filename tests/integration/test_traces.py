"""`fxmesh up --otlp`: what a collector gets of a user's order and of signals that are traded."""

import asyncio
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from fxmesh.marketdata.v1 import market_pb2
from fxmesh.trading.v1 import service_pb2 as trading
from fxmesh.trading.v1 import trading_pb2
from fxmesh.trading.v1.service_pb2_grpc import TradingServiceStub
from fxmesh.types.v1 import market_pb2 as types
from google.protobuf import json_format

from tests.kit.collector import Collector, Span
from tests.kit.edge import Answer, ask
from tests.kit.live import LivePlatform, started, stopped

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

TICKS = "ticks/oanda_eurusd_ticks_20140501-09_truefx.csv.gz"
REST_CALLER = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
CALLER = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
PLACE = "fxmesh.trading.v1.TradingService/PlaceOrder"
PREDICT = "fxmesh.inference.v1.InferenceService/Predict"
SIGNAL = "fxmesh.analysis.v1.SignalGenerated"
FILLED = "fxmesh.trading.v1.TradeExecuted"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    collector = Collector()
    collector.start()
    yield collector
    collector.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def correlation_id(
    collector: Collector, shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """One platform's life: an order by command, two by traced callers, a traded replay. Of the first order.

    Spans are looked at once all processes have ended: then none may be missing.
    """
    folder = tmp_path_factory.mktemp("traced")
    ticks = folder / "ticks.csv"
    with gzip.open(shared_data / TICKS, "rt") as file:
        ticks.write_text("".join(line for _, line in zip(range(25_000), file, strict=False)))
    platform = started(folder / "home", "--symbols", "USDJPY", "--otlp", collector.endpoint)
    try:
        ordered = platform.command("order", "buy", "USDJPY", "10000", "--json")
        assert ordered.returncode == 0, ordered.stderr
        async with platform.channel("trading_gateway") as channel:
            request = trading.PlaceOrderRequest(
                account_id="demo",
                client_order_id="traced",
                symbol="USDJPY",
                side=types.SIDE_BUY,
                type=trading_pb2.ORDER_TYPE_MARKET,
                size="10000",
            )
            metadata = (("traceparent", "-".join(("00", *CALLER, "01"))), ("x-correlation-id", "mine"))
            await TradingServiceStub(channel).PlaceOrder(request, metadata=metadata)
            request.client_order_id = "unsampled"
            await TradingServiceStub(channel).PlaceOrder(
                request, metadata=(("traceparent", "-".join(("00", *CALLER, "00"))),)
            )
            await TradingServiceStub(channel).ListAccounts(trading.ListAccountsRequest())
        request.client_order_id = "rest"
        placed = await asyncio.to_thread(by_rest, platform, request)
        assert placed.headers["x-correlation-id"] == "mine-by-rest", placed.content
        replay = await platform.replay(ticks, market_pb2.REPLAY_PACE_LOCKSTEP, session_id="traced")
        assert replay.state == market_pb2.REPLAY_STATE_COMPLETED
    finally:
        stopped(platform)
    found = collector.of(PLACE)
    assert len(found) == 4, json.dumps(sorted({each.name for each in collector.spans}))
    (own,) = (each for each in found if not (each.parent or each.links))
    return str(own.facts["fxmesh.correlation_id"])


def by_rest(platform: LivePlatform, order: trading.PlaceOrderRequest) -> Answer:
    """The order through the edge, as a traced program that knows no gRPC places it."""
    content = json_format.MessageToJson(order).encode()
    headers = {"traceparent": "-".join(("00", *REST_CALLER, "01")), "x-correlation-id": "mine-by-rest"}
    headers["authorization"] = f"Bearer {platform.token}"
    return ask(platform.ports["edge"]["edge"], "POST", "/api/v1/trading/orders", content, headers)


def path_of(collector: Collector, span: Span) -> list[tuple[str, str]]:
    return [(each.service, each.name) for each in reversed([span, *collector.ancestors(span)])]


def test_an_order_is_a_trace_from_the_call_to_the_fill(collector: Collector, correlation_id: str) -> None:
    (call,) = (each for each in collector.of(PLACE) if not (each.parent or each.links))
    (fill,) = (each for each in collector.of("fill") if each.trace == call.trace)
    (risk,) = (each for each in collector.of("check risk") if each.trace == call.trace)
    assert path_of(collector, fill) == [
        ("trading_gateway", PLACE),
        ("trading_gateway", "order"),
        ("trading_gateway", "fill"),
    ]
    assert (risk.parent, risk.facts["fxmesh.outcome"]) == (call.id, "PASSED")
    assert call.facts["rpc.system.name"] == "grpc"
    assert call.facts["rpc.method"] == PLACE
    assert call.facts["rpc.response.status_code"] == "OK"
    assert fill.facts["fxmesh.correlation_id"] == correlation_id
    assert (fill.facts["fxmesh.symbol"], fill.facts["fxmesh.size"]) == ("USDJPY", "10000")
    published = {each.name for each in collector.spans if each.parent == fill.id}
    assert f"publish {FILLED}" in published


def test_a_callers_own_trace_is_gone_on_with(collector: Collector, correlation_id: str) -> None:
    assert_gone_on_with(collector, CALLER, "mine")


def test_a_trace_is_gone_on_with_through_the_edge(collector: Collector, correlation_id: str) -> None:
    assert_gone_on_with(collector, REST_CALLER, "mine-by-rest")


def assert_gone_on_with(collector: Collector, caller: tuple[str, str], correlation_id: str) -> None:
    (call,) = (each for each in collector.of(PLACE) if each.trace == caller[0])
    (fill,) = (each for each in collector.of("fill") if each.trace == caller[0])
    assert call.parent == caller[1]
    assert path_of(collector, fill)[0] == ("trading_gateway", PLACE)
    assert {each.facts["fxmesh.correlation_id"] for each in (call, fill)} == {correlation_id}


def test_an_order_of_an_unsampled_caller_is_a_trace_linked_to_it(
    collector: Collector, correlation_id: str
) -> None:
    (call,) = (each for each in collector.of(PLACE) if each.links)
    assert (call.parent, call.links) == ("", (CALLER,))
    assert call.trace != CALLER[0]
    assert [each.name for each in collector.of("fill") if each.trace == call.trace] == ["fill"]


def test_one_trace_reads_signal_prediction_risk_order_fill(collector: Collector, correlation_id: str) -> None:
    fills = [each for each in collector.of("fill") if each.facts["fxmesh.session_id"] == "traced"]
    assert len(fills) > 5
    for fill in fills:
        start = path_of(collector, fill)[:3]
        assert start == [
            ("analysis_engine", "signal"),
            ("analysis_engine", f"publish {SIGNAL}"),
            ("trading_gateway", "decide"),
        ]
    predicted = {each.trace for each in collector.of(PREDICT, "ml_integration")}
    trace = predicted & {each.trace for each in fills}
    assert trace, "no fill followed from a signal that a model was asked about"
    one = min(trace)
    assert {
        ("analysis_engine", "client", PREDICT),
        ("ml_integration", "server", PREDICT),
        ("trading_gateway", "client", "fxmesh.analysis.v1.AnalysisService/ListSignals"),
        ("analysis_engine", "server", "fxmesh.analysis.v1.AnalysisService/ListSignals"),
        ("trading_gateway", "internal", "check risk"),
        ("trading_gateway", "internal", "order"),
        ("trading_gateway", "producer", f"publish {FILLED}"),
    } <= {(each.service, each.kind, each.name) for each in collector.spans if each.trace == one}


def test_consumers_are_linked_to_the_publisher(collector: Collector, correlation_id: str) -> None:
    published = {each.id for each in collector.spans if each.kind == "producer"}
    handled = [each for each in collector.spans if each.kind == "consumer"]
    assert {"trading_gateway", "data_pipeline", "monitoring_alerting"} <= {each.service for each in handled}
    for each in handled:
        assert each.links, each
        assert {span for _, span in each.links} <= published, each
        if each.parent:
            assert each.parent in published, each
    assert {span for each in handled for _, span in each.links} == published


def test_no_span_lacks_its_parent_and_each_names_its_process(
    collector: Collector, correlation_id: str
) -> None:
    known = {each.id for each in collector.spans} | {CALLER[1], REST_CALLER[1]}
    assert [each for each in collector.spans if each.parent and each.parent not in known] == []
    assert {each.resource["service.namespace"] for each in collector.spans} == {"fxmesh"}
    instances = {(each.service, each.resource["service.instance.id"]) for each in collector.spans}
    assert len(instances) == len({each.service for each in collector.spans})


def test_other_calls_and_market_data_are_not_recorded(collector: Collector, correlation_id: str) -> None:
    names = " ".join({each.name for each in collector.spans})
    assert "ListAccounts" not in names
    assert "PriceTickReceived" not in names
