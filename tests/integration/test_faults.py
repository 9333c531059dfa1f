"""Killed processes and bad requests on the running platform: nothing lost, nothing doubled, clear answers."""

import asyncio
import gzip
import json
import os
import signal
import uuid
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from fxmesh.analysis.v1 import service_pb2 as analysis
from fxmesh.analysis.v1.service_pb2_grpc import AnalysisServiceStub
from fxmesh.marketdata.v1 import market_pb2
from fxmesh.marketdata.v1 import service_pb2 as marketdata
from fxmesh.marketdata.v1.service_pb2_grpc import MarketDataServiceStub
from fxmesh.pipeline.v1 import service_pb2 as pipeline
from fxmesh.pipeline.v1.service_pb2_grpc import PipelineServiceStub
from fxmesh.trading.v1 import service_pb2 as trading
from fxmesh.trading.v1 import trading_pb2
from fxmesh.trading.v1.service_pb2_grpc import TradingServiceStub
from fxmesh.types.v1 import market_pb2 as types_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.kit.live import LivePlatform, eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

TICKS = "ticks/oanda_eurusd_ticks_20140501-09_truefx.csv.gz"
COUNT = 60_000


@pytest.fixture
def ticks(shared_data: Path, tmp_path: Path) -> Path:
    with gzip.open(shared_data / TICKS, "rt") as file:
        lines = [line for _, line in zip(range(COUNT), file, strict=False)]
    path = tmp_path / "ticks.csv"
    path.write_text("".join(lines))
    return path


def processes(live: LivePlatform) -> dict[str, dict[str, Any]]:
    """What `fxmesh status` shows, by process; it exits with 1 while one of them does not serve."""
    answer = json.loads(live.command("status", "--json").stdout)
    return {each["name"]: each for each in answer["data"]["processes"]}


async def test_storage_killed_in_the_middle_of_a_replay_loses_and_doubles_nothing(
    live: LivePlatform, ticks: Path
) -> None:
    before = processes(live)["data_pipeline"]
    session = f"kill-{uuid.uuid4().hex[:12]}"
    running = asyncio.create_task(live.replay(ticks, market_pb2.REPLAY_PACE_UNPACED, session_id=session))

    async def some_stored() -> bool:
        return (await live.stored(session))["ticks"] > 2_000

    await eventually(some_stored, 120)
    os.kill(before["pid"], signal.SIGKILL)
    replay = await running
    assert (replay.state, replay.ticks_published) == (market_pb2.REPLAY_STATE_COMPLETED, COUNT)

    async def restarted() -> bool:
        now = await asyncio.to_thread(processes, live)
        return bool(now["data_pipeline"]["restarts"] == before["restarts"] + 1) and now["data_pipeline"][
            "condition"
        ] in ("serving", "degraded")

    await eventually(restarted, 120)
    expected = 1
    async with live.channel("data_pipeline") as channel:
        stub = PipelineServiceStub(channel)

        async def all_stored() -> bool:
            return (await live.stored(session))["ticks"] >= COUNT

        await eventually(all_stored, 240)
        request = pipeline.ReadTicksRequest(symbol="EURUSD", source_id=session)
        async for chunk in stub.ReadTicks(request):
            assert chunk.first_sequence == expected
            expected += len(chunk.ticks.bid)
    assert expected - 1 == COUNT


async def test_a_session_that_died_with_market_data_is_over_for_everybody(
    live: LivePlatform, ticks: Path
) -> None:
    session = f"died-{uuid.uuid4().hex[:12]}"
    account = {"account_id": f"replay-{session}"}
    synthetic = await _synthetic(live)
    command = asyncio.to_thread(live.command, "replay", str(ticks), "--speed", "60", "--session-id", session)
    running = asyncio.create_task(command)
    async with live.channel("trading_gateway") as channel:
        stub = TradingServiceStub(channel)

        async def bought() -> bool:
            with suppress(grpc.aio.AioRpcError):  # no account before its first tick
                placed = await stub.PlaceOrder(order(**account))
                return placed.order.status == trading_pb2.ORDER_STATUS_FILLED
            return False

        await eventually(bought, 120)
        before = processes(live)["market_data"]
        os.kill(before["pid"], signal.SIGKILL)

        async def over() -> bool:
            asked = trading.GetSessionProgressRequest(session_id=session)
            return all(each.session_ended for each in (await stub.GetSessionProgress(asked)).feeds)

        await eventually(over, 60)
        with pytest.raises(grpc.aio.AioRpcError, match=f"session {session} of EURUSD is over"):
            await stub.PlaceOrder(order(**account, side=types_pb2.SIDE_SELL))

    ended = await running
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "market_data restarted while it played: at least " in ended.stderr
    assert ended.stderr.count("the stream broke") == 1
    listed = json.loads(live.command("replays", "--json").stdout)["data"]["replays"]
    assert [each["failureReason"] for each in listed if each["replayId"] == session] == ["INTERRUPTED"]
    for each in (session, synthetic):
        await eventually(partial(_analysed_to_its_end, live, each))
    await eventually(partial(_trades_on_another, live, synthetic))


async def _synthetic(live: LivePlatform) -> str:
    async with live.channel("market_data") as channel:
        stub = MarketDataServiceStub(channel)
        quotes = await stub.ListQuotes(marketdata.ListQuotesRequest(symbol=["USDJPY"]))
    return quotes.quotes[0].session_id


async def _analysed_to_its_end(live: LivePlatform, session: str) -> bool:
    async with live.channel("analysis_engine") as channel:
        asked = analysis.GetSessionProgressRequest(session_id=session)
        feeds = (await AnalysisServiceStub(channel).GetSessionProgress(asked)).feeds
    return all(each.session_ended for each in feeds)


async def _trades_on_another(live: LivePlatform, session: str) -> bool:
    """Live orders never fill at the prices of the session before."""
    async with live.channel("trading_gateway") as channel:
        stub = TradingServiceStub(channel)
        placed = (await stub.PlaceOrder(order())).order
        fills = await _fills(stub, placed.order_id)
    assert session not in [each.session_id for each in fills]
    return bool(fills)


def order(**fields: Any) -> trading.PlaceOrderRequest:
    """A valid order but for `fields`."""
    content: dict[str, Any] = {
        "account_id": "demo",
        "client_order_id": uuid.uuid4().hex,
        "symbol": "EURUSD",
        "side": types_pb2.SIDE_BUY,
        "type": trading_pb2.ORDER_TYPE_MARKET,
        "size": "1000",
    }
    return trading.PlaceOrderRequest(**content | fields)


async def test_no_order_fills_at_prices_that_stand_still(live: LivePlatform) -> None:
    """The bus hangs: market data cannot hand on its ticks, while connections and processes all live."""
    nats = processes(live)["nats"]["pid"]
    async with live.channel("trading_gateway") as channel:
        stub = TradingServiceStub(channel)

        async def outcome() -> str:
            try:
                placed = await stub.PlaceOrder(order(), timeout=10)
            except grpc.aio.AioRpcError as failure:
                return reason(failure)
            return trading_pb2.OrderStatus.Name(placed.order.status)

        async def filled() -> bool:
            return await outcome() == "ORDER_STATUS_FILLED"

        async def refused() -> bool:
            return await outcome() == "FEED_STALE"

        await eventually(filled)
        os.kill(nats, signal.SIGSTOP)
        try:
            await eventually(refused, 15)
        finally:
            os.kill(nats, signal.SIGCONT)
        await eventually(filled)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"symbol": "XXXYYY"}, "symbol"),
        ({"symbol": "eurusd"}, "symbol"),
        ({"size": "1e5"}, "size"),
        ({"size": "NaN"}, "size"),
        ({"size": "1_000"}, "size"),
        ({"size": "\uff11\uff10\uff10\uff10"}, "size"),
        ({"size": "-1000"}, "size"),
        ({"size": "1000.005"}, "size"),
        ({"account_id": "x" * 300_000}, ""),
        ({"side": 0}, "side"),
    ],
)
async def test_a_bad_order_is_an_invalid_argument_that_names_its_field(
    live: LivePlatform, fields: dict[str, Any], field: str
) -> None:
    async with live.channel("trading_gateway") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await TradingServiceStub(channel).PlaceOrder(order(**fields), timeout=10)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    violations = [each.field for each in _violations(caught.value)]
    assert field == "" or field in violations


def reason(failure: grpc.aio.AioRpcError) -> str:
    """Of a failure of ours; empty for gRPC's own."""
    status = rpc_status.from_call(failure)  # type: ignore[arg-type]
    info = error_details_pb2.ErrorInfo()
    found = status is not None and any(detail.Unpack(info) for detail in status.details)
    return info.reason if found else ""


def _violations(failure: grpc.aio.AioRpcError) -> list[error_details_pb2.BadRequest.FieldViolation]:
    status = rpc_status.from_call(failure)  # type: ignore[arg-type]
    found: list[error_details_pb2.BadRequest.FieldViolation] = []
    for detail in status.details:
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(bad):
            found += bad.field_violations
    return found


async def test_an_order_beyond_the_top_of_the_book_asks_for_the_whole_book(live: LivePlatform) -> None:
    async with live.channel("market_data") as market, live.channel("trading_gateway") as gateway:
        books, stub = MarketDataServiceStub(market), TradingServiceStub(gateway)

        async def top() -> int:
            answer = await books.ListOrderBooks(marketdata.ListOrderBooksRequest(symbol=["EURUSD"]))
            return int(answer.order_books[0].asks[0].size)

        await eventually(top)
        opened = trading.OpenAccountRequest(
            request_id=uuid.uuid4().hex,
            account_id=f"big-{uuid.uuid4().hex[:8]}",
            currency="USD",
            deposit="1000000",
        )
        await stub.OpenAccount(opened)

        async def walked() -> list[trading_pb2.Fill]:
            """The fills of an order that walked the book; none where it got the top only.

            Which is right while market data, killed by a test before, is not to be reached yet.
            """
            size = (await top() // 100_000 + 3) * 100_000
            placed = await stub.PlaceOrder(order(account_id=opened.account_id, size=str(size)))
            fills = await _fills(stub, placed.order.order_id)
            return fills if sum(int(fill.size) for fill in fills) == size else []

        fills = await eventually(walked)
    assert len({fill.price for fill in fills}) > 1


async def _fills(stub: Any, order_id: str) -> list[trading_pb2.Fill]:
    return list((await stub.ListFills(trading.ListFillsRequest(order_id=order_id))).fills)
