"""Every synchronous edge that the architecture demands is really called in the running platform."""

import gzip
import uuid
from pathlib import Path

import pytest
from fxmesh.inference.v1 import service_pb2 as inference
from fxmesh.inference.v1.service_pb2_grpc import InferenceServiceStub
from fxmesh.marketdata.v1 import market_pb2
from fxmesh.pipeline.v1 import pipeline_pb2
from fxmesh.pipeline.v1 import service_pb2 as pipeline
from fxmesh.pipeline.v1.service_pb2_grpc import PipelineServiceStub
from fxmesh.trading.v1 import service_pb2 as trading
from fxmesh.trading.v1 import trading_pb2
from fxmesh.trading.v1.service_pb2_grpc import TradingServiceStub
from fxmesh.types.v1 import market_pb2 as types_pb2
from fxmesh.workbench.v1 import service_pb2 as workbench
from fxmesh.workbench.v1.service_pb2_grpc import WorkbenchServiceStub

from services.runtime.policy import service_policies
from tests.kit.live import LivePlatform, eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

H1 = "bars_h1/oanda_eurusd_h1_bidask_2007-2014.csv.gz"
TICKS = "ticks/oanda_eurusd_ticks_20140501-09_truefx.csv.gz"
EDGES = [
    (policy.name, *call.split("/"))
    for policy in service_policies()
    for call in policy.calls
    # Only where there are several instances: tests/integration/test_discovery.py.
    if not call.startswith(policy.full_name)
]


async def test_every_edge_of_the_contracts_is_called(
    live: LivePlatform, shared_data: Path, tmp_path: Path
) -> None:
    """Rare edges need a push: an import, a training, a prediction without features, a scoring run, replays of
    both kinds.
    """
    await live.import_file(shared_data / H1, symbol="EURUSD")
    await _train(live)
    async with live.channel("ml_integration") as channel:
        stub = InferenceServiceStub(channel)

        async def predicted() -> bool:
            served = await stub.ListServedModels(inference.ListServedModelsRequest())
            return any(each.symbol == "EURUSD" for each in served.models)

        await eventually(predicted)
        answer = await stub.Predict(inference.PredictRequest(symbol="EURUSD", contributions=True))
        assert answer.prediction.features_fetched
        assert len(answer.prediction.contributions) == 5
    await _score(live)
    await _order_beyond_the_top_of_the_book(live)
    with gzip.open(shared_data / TICKS, "rt") as file:
        lines = [line for _, line in zip(range(40_000), file, strict=False)]
    path = tmp_path / "ticks.csv"
    path.write_text("".join(lines))
    for pace in (market_pb2.REPLAY_PACE_LOCKSTEP, market_pb2.REPLAY_PACE_UNPACED):
        replay = await live.replay(path, pace)
        assert replay.state == market_pb2.REPLAY_STATE_COMPLETED

    async def all_called() -> bool:
        return not _silent(live)

    try:
        await eventually(all_called, 90)
    except TimeoutError:
        pytest.fail(f"never called: {_silent(live)}")


def _silent(live: LivePlatform) -> list[tuple[str, str, str]]:
    return [
        (caller, service, method)
        for caller, service, method in EDGES
        if not live.metric(caller, "grpc_client_started_total", grpc_service=service, grpc_method=method)
    ]


async def _train(live: LivePlatform) -> None:
    async with live.channel("ml_workbench") as channel:
        stub = WorkbenchServiceStub(channel)
        request = workbench.StartTrainingRequest(
            request_id=uuid.uuid4().hex, symbol="EURUSD", rounds=30, deploy_to="eurusd-1h"
        )
        run = (await stub.StartTraining(request)).run
        async for answer in stub.StreamTrainingRun(workbench.StreamTrainingRunRequest(run_id=run.run_id)):
            run = answer.run
        assert run.failure == ""


async def _order_beyond_the_top_of_the_book(live: LivePlatform) -> None:
    async with live.channel("trading_gateway") as channel:
        stub = TradingServiceStub(channel)
        account_id = f"big-{uuid.uuid4().hex[:8]}"
        opening = trading.OpenAccountRequest(
            request_id=account_id, account_id=account_id, currency="USD", deposit="1000000"
        )
        await stub.OpenAccount(opening)
        order = trading.PlaceOrderRequest(
            account_id=account_id,
            client_order_id="first",
            symbol="EURUSD",
            side=types_pb2.SIDE_BUY,
            type=trading_pb2.ORDER_TYPE_MARKET,
            size="1800000",
        )
        await stub.PlaceOrder(order)


async def _score(live: LivePlatform) -> None:
    async with live.channel("data_pipeline") as channel:
        stub = PipelineServiceStub(channel)
        request = pipeline.StartPipelineExecutionRequest(
            request_id=uuid.uuid4().hex,
            kind=pipeline_pb2.PIPELINE_KIND_SCORE,
            symbol="EURUSD",
            timeframe=types_pb2.TIMEFRAME_H1,
        )
        execution = (await stub.StartPipelineExecution(request)).execution
        watch = pipeline.StreamPipelineExecutionRequest(execution_id=execution.execution_id)
        async for answer in stub.StreamPipelineExecution(watch):
            execution = answer.execution
        assert execution.failure == ""
        assert execution.state == pipeline_pb2.EXECUTION_STATE_COMPLETED
