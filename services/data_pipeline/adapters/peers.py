"""Inference, over its stub."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from fxmesh.inference.v1 import service_pb2, service_pb2_grpc

from services.data_pipeline.ports import Scores
from services.quant.timeframes import Timeframe
from services.runtime.ports import Channels
from services.wire.timeframes import TIMEFRAME
from services.wire.times import timestamp


class InferenceScorer:
    """`ports.Scorer`."""

    def __init__(self, channels: Channels) -> None:
        self._stub = service_pb2_grpc.InferenceServiceStub(
            channels.to("fxmesh.inference.v1.InferenceService")
        )

    async def predict(
        self, symbol: str, timeframe: Timeframe, open_ns: int, features: npt.NDArray[np.float64], version: int
    ) -> Scores:
        """One bar's features."""
        answer = await self._stub.Predict(
            service_pb2.PredictRequest(
                symbol=symbol,
                timeframe=TIMEFRAME[timeframe],
                features=service_pb2.Features(values=features, feature_set_version=version),
                bar_open_time=timestamp(open_ns),
            )
        )
        found = answer.prediction
        return Scores(
            symbol,
            timeframe,
            [open_ns],
            [found.probability_up],
            found.endpoint,
            found.model_name,
            found.model_version,
        )

    async def batch_predict(
        self,
        symbol: str,
        timeframe: Timeframe,
        open_ns: Sequence[int],
        features: npt.NDArray[np.float64],
        version: int,
    ) -> Scores:
        """Many bars' features, by column."""
        answer = await self._stub.BatchPredict(
            service_pb2.BatchPredictRequest(
                symbol=symbol,
                timeframe=TIMEFRAME[timeframe],
                columns=[
                    service_pb2.BatchColumn(values=np.ascontiguousarray(features[:, column]))
                    for column in range(features.shape[1])
                ],
                bar_open_time_ns=open_ns,
                feature_set_version=version,
            )
        )
        return Scores(
            symbol,
            timeframe,
            open_ns,
            list(answer.probability_up),
            answer.endpoint,
            answer.model_name,
            answer.model_version,
        )
