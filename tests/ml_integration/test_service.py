"""The composed service between the real pipeline and workbench, over channels with the whole plan."""

from pathlib import Path
from typing import Any

import pytest
from fxmesh.inference.v1 import events_pb2
from fxmesh.inference.v1 import service_pb2 as pb
from fxmesh.pipeline.v1 import service_pb2 as pipeline_pb2
from fxmesh.types.v1 import market_pb2 as types_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from prometheus_client import generate_latest

from services.errors import FxError, Kind
from services.quant.features import FEATURE_NAMES, FEATURE_SET_VERSION
from tests.ml_integration.composed import Platform, platform
from tests.ml_integration.world import until

H1 = types_pb2.TIMEFRAME_H1
BARS = 1500


async def served_version(stub: Any) -> int:
    models = (await stub.ListServedModels(pb.ListServedModelsRequest())).models
    return int(models[0].model_version) if models else 0


async def wait_for_version(stub: Any, version: int) -> None:
    while await served_version(stub) != version:
        await stub.ListPredictions(pb.ListPredictionsRequest())


async def predict_stored(world: Platform, shared: int) -> list[Any]:
    """Predictions for some stored bars, features sent as analysis does."""
    request = pipeline_pb2.ListBarsRequest(symbol="EURUSD", timeframe=H1, page_size=shared, latest=True)
    answers = []
    for bar in (await world.pipeline_stub.ListBars(request)).bars:
        closed = Timestamp(seconds=bar.open_time.seconds + 3600)
        features = await world.pipeline_stub.GetFeatures(
            pipeline_pb2.GetFeaturesRequest(symbol="EURUSD", timeframe=H1, time=closed)
        )
        answer = await world.stub.Predict(
            pb.PredictRequest(
                symbol="EURUSD",
                timeframe=H1,
                features=pb.Features(values=features.values, feature_set_version=FEATURE_SET_VERSION),
                bar_open_time=bar.open_time,
                contributions=True,
            )
        )
        answers.append(answer.prediction)
    return answers


async def test_from_training_to_predictions_reports_and_a_restart_alone(
    tmp_path: Path, shared_data: Path
) -> None:
    async with platform(tmp_path, outcome_seconds=0.05, outcomes_per_report=20) as world:
        await world.import_bars(shared_data, BARS)
        async with world.workbench(), world.inference() as mesh:
            await world.train("first")
            await wait_for_version(world.stub, 1)
            made = await predict_stored(world, 30)
            assert {len(each.contributions) for each in made} == {5}
            fetched = await world.stub.Predict(pb.PredictRequest(symbol="EURUSD"))
            assert fetched.prediction.features_fetched
            assert fetched.prediction.probability_up == made[-1].probability_up

            stream = world.stub.StreamPredictions(pb.StreamPredictionsRequest(symbol=["EURUSD"]))
            messages = aiter(stream)
            assert not (await anext(messages)).HasField("prediction")
            earlier = Timestamp(seconds=made[0].bar_open_time.seconds)
            answer = await world.stub.Predict(pb.PredictRequest(symbol="EURUSD", time=earlier))
            message = await anext(messages)
            assert message.prediction == answer.prediction
            assert message.stream_sequence == 2
            stream.cancel()

            # The last four bars have no outcome yet.
            report: Any = None
            while report is None or report.resolved < 27:
                answer = await world.stub.GetPerformanceReport(
                    pb.GetPerformanceReportRequest(endpoint="eurusd-1h")
                )
                report = answer.report
            assert (report.predictions, report.resolved, report.feature_skew) == (31, 27, 0.0)
            assert 0 < report.accuracy < 1
            assert report.validation_log_loss > 0

            drift = (await world.stub.GetDriftReport(pb.GetDriftReportRequest(endpoint="eurusd-1h"))).report
            assert (drift.observations, drift.drifted, len(drift.features)) == (31, False, len(FEATURE_NAMES))
            importance = await world.stub.GetFeatureImportance(
                pb.GetFeatureImportanceRequest(symbol="EURUSD")
            )
            assert sum(each.gain for each in importance.importance) == pytest.approx(1.0)

            kinds = [type(each) for each in world.published]
            assert kinds.count(events_pb2.ModelPredictionCompleted) == 31
            assert kinds.count(events_pb2.ModelPerformanceUpdated) == 1

            await world.train("second", seed=2)
            await wait_for_version(world.stub, 2)
            heard = 'fxmesh_inference_trainings_heard_total{state="completed"} 2.0'
            await until(lambda: heard in generate_latest(mesh.metrics).decode())
            metrics = generate_latest(mesh.metrics).decode()
            assert 'fxmesh_inference_predictions_total{endpoint="eurusd-1h"} 32.0' in metrics
            assert "fxmesh_inference_models_loaded 1.0" in metrics
            second = (await world.stub.Predict(pb.PredictRequest(symbol="EURUSD"))).prediction
        async with world.inference():  # no workbench
            assert (await world.stub.Predict(pb.PredictRequest(symbol="EURUSD"))).prediction == second
            assert await served_version(world.stub) == 2
        await until(lambda: not world.surroundings.broker.dead_letters)


def features(count: int = len(FEATURE_NAMES), version: int = FEATURE_SET_VERSION, value: float = 0.0) -> Any:
    return pb.Features(values=[value] * count, feature_set_version=version)


def batch(columns: int, rows: int, times: int) -> Any:
    return pb.BatchPredictRequest(
        symbol="EURUSD",
        columns=[pb.BatchColumn(values=[0.0] * rows)] * columns,
        bar_open_time_ns=range(times),
        feature_set_version=FEATURE_SET_VERSION,
    )


WRONG = [
    ("Predict", pb.PredictRequest(symbol="eurusd"), Kind.INVALID_ARGUMENT, "VALIDATION_FAILED"),
    (
        "Predict",
        pb.PredictRequest(symbol="EURUSD", endpoint="a b"),
        Kind.INVALID_ARGUMENT,
        "VALIDATION_FAILED",
    ),
    (
        "Predict",
        pb.PredictRequest(symbol="EURUSD", features=features(value=float("nan"))),
        Kind.INVALID_ARGUMENT,
        "VALIDATION_FAILED",
    ),
    ("Predict", pb.PredictRequest(symbol="ABCDEF"), Kind.INVALID_ARGUMENT, "UNKNOWN_SYMBOL"),
    ("Predict", pb.PredictRequest(symbol="GBPUSD"), Kind.FAILED_PRECONDITION, "NO_MODEL"),
    (
        "Predict",
        pb.PredictRequest(symbol="EURUSD", features=features(3)),
        Kind.INVALID_ARGUMENT,
        "FEATURES_MISMATCH",
    ),
    (
        "Predict",
        pb.PredictRequest(symbol="EURUSD", features=features(version=9)),
        Kind.INVALID_ARGUMENT,
        "FEATURES_MISMATCH",
    ),
    (
        "Predict",
        pb.PredictRequest(symbol="EURUSD", time=Timestamp(seconds=1)),
        Kind.FAILED_PRECONDITION,
        "NO_FEATURES",
    ),
    ("BatchPredict", batch(len(FEATURE_NAMES), 5001, 5001), Kind.INVALID_ARGUMENT, "VALIDATION_FAILED"),
    ("BatchPredict", batch(len(FEATURE_NAMES), 4, 5), Kind.INVALID_ARGUMENT, "FEATURES_MISMATCH"),
    ("BatchPredict", batch(2, 5, 5), Kind.INVALID_ARGUMENT, "FEATURES_MISMATCH"),
    ("GetFeatureImportance", pb.GetFeatureImportanceRequest(), Kind.INVALID_ARGUMENT, "VALIDATION_FAILED"),
    ("GetDriftReport", pb.GetDriftReportRequest(endpoint="nowhere"), Kind.NOT_FOUND, "UNKNOWN_ENDPOINT"),
    (
        "GetPerformanceReport",
        pb.GetPerformanceReportRequest(endpoint="nowhere"),
        Kind.NOT_FOUND,
        "UNKNOWN_ENDPOINT",
    ),
    (
        "ListPredictions",
        pb.ListPredictionsRequest(symbol=["ABCDEF"]),
        Kind.INVALID_ARGUMENT,
        "UNKNOWN_SYMBOL",
    ),
    ("ListPredictions", pb.ListPredictionsRequest(limit=1001), Kind.INVALID_ARGUMENT, "VALIDATION_FAILED"),
]


async def test_wrong_calls_are_refused_with_their_reason(tmp_path: Path, shared_data: Path) -> None:
    async with platform(tmp_path) as world:
        async with world.inference():
            with pytest.raises(FxError, match="NO_MODEL"):  # and no workbench: it serves all the same
                await world.stub.Predict(pb.PredictRequest(symbol="EURUSD", features=features()))
        await world.import_bars(shared_data, BARS)
        async with world.workbench(), world.inference():
            await world.train("only")
            await wait_for_version(world.stub, 1)
            full = await world.stub.BatchPredict(batch(len(FEATURE_NAMES), 5000, 5000))
            assert len(full.probability_up) == 5000
            for method, request, kind, reason in WRONG:
                with pytest.raises(FxError) as caught:
                    await getattr(world.stub, method)(request)
                assert (method, caught.value.kind, caught.value.reason) == (method, kind, reason)
