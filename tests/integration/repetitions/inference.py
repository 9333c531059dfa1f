"""Predictions: each is listed, published and counted once."""

from __future__ import annotations

from collections.abc import Mapping

from fxmesh.inference.v1 import service_pb2 as pb
from fxmesh.pipeline.v1 import service_pb2 as pipeline

from tests.integration.repetitions import models
from tests.integration.repetitions.case import Case, Platform, Twice, key


async def predictions(platform: Platform) -> int:
    asked = pb.ListPredictionsRequest(endpoint=models.ENDPOINT, limit=1000)
    return len((await platform.inference.ListPredictions(asked)).predictions)


async def predict(platform: Platform, twice: Twice) -> None:
    await models.served(platform)
    request = pb.PredictRequest(symbol=models.SYMBOL, prediction_id=f"twice-{key()}", contributions=True)
    answer = await twice(request, lambda: predictions(platform))
    again = await platform.inference.Predict(request)
    assert again == answer


async def batch_predict(platform: Platform, twice: Twice) -> None:
    """History: it leaves nothing at all."""
    await models.served(platform)
    asked = pipeline.GetFeaturesRequest(symbol=models.SYMBOL)
    last = await platform.pipeline.GetFeatures(asked)
    request = pb.BatchPredictRequest(
        symbol=models.SYMBOL,
        columns=[pb.BatchColumn(values=[each, each]) for each in last.values],
        bar_open_time_ns=[1, 2],
        feature_set_version=last.feature_set_version,
    )
    answer = await twice(request, lambda: predictions(platform), effects=0)
    assert list((await platform.inference.BatchPredict(request)).probability_up) == list(
        answer.probability_up
    )


CASES: Mapping[str, Case] = {"Predict": predict, "BatchPredict": batch_predict}
