"""Real ticks through the whole platform: seven processes, one nats-server, nothing lost, nothing doubled."""

import csv
import gzip
import uuid
from decimal import Decimal
from pathlib import Path

import pytest
from fxmesh.marketdata.v1 import market_pb2
from fxmesh.pipeline.v1 import pipeline_pb2
from fxmesh.pipeline.v1 import service_pb2 as pipeline
from fxmesh.pipeline.v1.service_pb2_grpc import PipelineServiceStub
from fxmesh.trading.v1 import service_pb2 as trading
from fxmesh.trading.v1.service_pb2_grpc import TradingServiceStub
from fxmesh.types.v1 import market_pb2 as types_pb2
from fxmesh.workbench.v1 import service_pb2 as workbench
from fxmesh.workbench.v1 import workbench_pb2
from fxmesh.workbench.v1.service_pb2_grpc import WorkbenchServiceStub

from services.quant.bars import BAR_PRICES
from tests.kit.live import LivePlatform, eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

TICKS = "ticks/oanda_eurusd_ticks_20140501-09_truefx.csv.gz"
M1 = "bars_m1/oanda_eurusd_m1_bidask_20140501-09.csv.gz"
H1 = "bars_h1/oanda_eurusd_h1_bidask_2007-2014.csv.gz"
FXCM = "ticks/fxcm_eurusd_ticks_20140501-09_truefx.csv.gz"


async def test_a_model_is_trained_on_imported_bars_and_a_whole_file_of_ticks_goes_through(
    live: LivePlatform, shared_data: Path
) -> None:
    imported = await live.import_file(shared_data / H1, symbol="EURUSD")
    # Another test may have imported the same content before; then nothing is written twice.
    assert (imported.state, imported.rows_read) == (pipeline_pb2.EXECUTION_STATE_COMPLETED, 49_806)
    run = await _trained(live)
    assert run.metrics.validation_rows > 5_000

    replay = await live.replay(shared_data / TICKS, market_pb2.REPLAY_PACE_UNPACED)
    assert (replay.state, replay.failure) == (market_pb2.REPLAY_STATE_COMPLETED, "")
    assert (replay.ticks_published, len(replay.rejects)) == (321_559, 0)

    async def all_bars() -> bool:
        counts = await live.stored(replay.replay_id)
        return counts["ticks"] == 321_559 and counts["bars"] >= 12_736

    await eventually(all_bars, 300)
    counts = await live.stored(replay.replay_id)
    assert counts["ticks"] == 321_559
    assert counts["SignalGenerated"] > 100
    assert await _sequences(live, replay.replay_id) == 321_559
    await _bars_equal(live, replay.replay_id, shared_data / M1)

    async def served() -> float:
        return live.metric(
            "ml_integration", "grpc_server_handled_total", grpc_method="Predict", grpc_code="OK"
        )

    await eventually(served)
    account_id = f"replay-{replay.replay_id}"
    async with live.channel("trading_gateway") as channel:
        stub = TradingServiceStub(channel)

        async def proven() -> bool:
            """All its fills were listed, and prove the books. What the last ticks led to may still trade."""
            fills = await _fills(stub, account_id)
            books = await stub.ReconcileAccount(trading.ReconcileAccountRequest(account_id=account_id))
            assert books.reconciled
            return 0 < books.fills == fills

        await eventually(proven)


async def _fills(stub: TradingServiceStub, account_id: str) -> int:
    listed, page = 0, ""
    while True:
        answer = await stub.ListFills(trading.ListFillsRequest(account_id=account_id, page_token=page))
        listed, page = listed + len(answer.fills), answer.next_page_token
        if not page:
            return listed


async def _trained(live: LivePlatform) -> workbench_pb2.TrainingRun:
    async with live.channel("ml_workbench") as channel:
        stub = WorkbenchServiceStub(channel)
        request = workbench.StartTrainingRequest(
            request_id=uuid.uuid4().hex, symbol="EURUSD", deploy_to="eurusd-1h", seed=1
        )
        run = (await stub.StartTraining(request)).run
        async for answer in stub.StreamTrainingRun(workbench.StreamTrainingRunRequest(run_id=run.run_id)):
            run = answer.run
    assert (run.state, run.failure) == (workbench_pb2.TRAINING_STATE_COMPLETED, "")
    return run


async def _sequences(live: LivePlatform, session_id: str) -> int:
    """How many ticks are stored, having seen that their sequences run from 1 without gap or repeat."""
    expected = 1
    async with live.channel("data_pipeline") as channel:
        request = pipeline.ReadTicksRequest(symbol="EURUSD", source_id=session_id)
        async for chunk in PipelineServiceStub(channel).ReadTicks(request):
            assert chunk.first_sequence == expected
            expected += len(chunk.ticks.bid)
    return expected - 1


async def _bars_equal(live: LivePlatform, session_id: str, path: Path) -> None:
    """All stored one-minute bars of the session equal the file's, in all eight prices."""
    with gzip.open(path, "rt") as file:
        rows = list(csv.DictReader(file))
    stored: list[tuple[int, ...]] = []
    async with live.channel("data_pipeline") as channel:
        request = pipeline.ReadBarsRequest(
            symbol="EURUSD", timeframe=types_pb2.TIMEFRAME_M1, source_id=session_id
        )
        async for chunk in PipelineServiceStub(channel).ReadBars(request):
            columns = [list(getattr(chunk.bars, name)) for name in BAR_PRICES]
            stored += zip(*columns, strict=True)
    expected = [tuple(int(Decimal(row[name]).scaleb(5)) for name in BAR_PRICES) for row in rows]
    assert len(expected) == 9_552
    assert stored == expected


async def test_crossed_ticks_are_stored_flagged_and_not_traded_on(
    live: LivePlatform, shared_data: Path
) -> None:
    with gzip.open(shared_data / FXCM, "rt") as file:
        crossed = {number for number, line in enumerate(file, 1) if _crossed(line)}
    assert len(crossed) > 60_000
    replay = await live.replay(shared_data / FXCM, market_pb2.REPLAY_PACE_UNPACED)
    assert (replay.state, replay.failure) == (market_pb2.REPLAY_STATE_COMPLETED, "")
    assert (replay.ticks_published, replay.crossed) == (675_401, len(crossed))

    async def stored() -> bool:
        return (await live.stored(replay.replay_id))["ticks"] == 675_401

    await eventually(stored, 300)
    async with live.channel("trading_gateway") as channel:
        trades, session_id = TradingServiceStub(channel), replay.replay_id

        async def over() -> bool:
            progress = await trades.GetSessionProgress(
                trading.GetSessionProgressRequest(session_id=session_id)
            )
            return [(each.sequence, each.session_ended) for each in progress.feeds] == [(675_401, True)]

        await eventually(over, 300)
        request = trading.ListFillsRequest(account_id=f"replay-{session_id}", page_size=1000)
        fills = (await trades.ListFills(request)).fills
    assert fills
    assert not {fill.tick_sequence for fill in fills} & crossed


def _crossed(line: str) -> bool:
    _, _, bid, ask = line.split(",")
    return Decimal(bid) > Decimal(ask)
