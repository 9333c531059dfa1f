"""InferenceService: decode, call the handler, encode."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from fxmesh.inference.v1 import service_pb2 as pb
from fxmesh.inference.v1 import service_pb2_grpc
from typing_extensions import override

from services.ml_integration import wire
from services.ml_integration.handlers import Models, Outcomes, Predictions, Reports
from services.wire.timeframes import timeframe_of

Context = grpc.aio.ServicerContext[Any, Any]

LOOK_UP_S = 1.0
"""How long a performance report waits for the pipeline before it tells what is known already."""


class InferenceServicer(service_pb2_grpc.InferenceServiceServicer):
    """The gRPC face of the handlers."""

    def __init__(
        self, models: Models, predictions: Predictions, reports: Reports, outcomes: Outcomes
    ) -> None:
        self._models = models
        self._predictions = predictions
        self._reports = reports
        self._outcomes = outcomes

    @override
    async def Predict(self, request: pb.PredictRequest, context: Context) -> pb.PredictResponse:
        prediction = await self._predictions.predict(wire.question(request))
        return pb.PredictResponse(prediction=wire.prediction(prediction))

    @override
    async def BatchPredict(
        self, request: pb.BatchPredictRequest, context: Context
    ) -> pb.BatchPredictResponse:
        return wire.batch_scores(await self._predictions.batch(wire.batch_question(request)))

    @override
    async def GetFeatureImportance(
        self, request: pb.GetFeatureImportanceRequest, context: Context
    ) -> pb.GetFeatureImportanceResponse:
        frame = timeframe_of(request.timeframe, None)
        return wire.importance(await self._reports.importance(request.symbol, frame, request.endpoint))

    @override
    async def ListServedModels(
        self, request: pb.ListServedModelsRequest, context: Context
    ) -> pb.ListServedModelsResponse:
        return pb.ListServedModelsResponse(models=[wire.served_model(each) for each in self._models.all()])

    @override
    async def ListPredictions(
        self, request: pb.ListPredictionsRequest, context: Context
    ) -> pb.ListPredictionsResponse:
        found = await self._predictions.list(request.symbol, request.endpoint, request.limit)
        return pb.ListPredictionsResponse(predictions=[wire.prediction(each) for each in found])

    @override
    async def StreamPredictions(
        self, request: pb.StreamPredictionsRequest, context: Context
    ) -> AsyncIterator[pb.StreamPredictionsResponse]:
        number = 0
        async for each in self._predictions.stream(request.symbol):
            number += 1
            prediction = None if each is None else wire.prediction(each)
            yield pb.StreamPredictionsResponse(stream_sequence=number, prediction=prediction)

    @override
    async def GetDriftReport(
        self, request: pb.GetDriftReportRequest, context: Context
    ) -> pb.GetDriftReportResponse:
        return pb.GetDriftReportResponse(
            report=wire.drift_report(await self._reports.drift(request.endpoint))
        )

    @override
    async def GetPerformanceReport(
        self, request: pb.GetPerformanceReportRequest, context: Context
    ) -> pb.GetPerformanceReportResponse:
        await self._outcomes.at(request.endpoint, LOOK_UP_S)
        report = await self._reports.performance(request.endpoint)
        return pb.GetPerformanceReportResponse(report=wire.performance_report(report))
