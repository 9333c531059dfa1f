"""Protobuf ↔ domain of inference, both ways, and nowhere else."""

from __future__ import annotations

import numpy as np
from fxmesh.inference.v1 import events_pb2, inference_pb2, service_pb2
from fxmesh.pipeline.v1 import service_pb2 as pipeline_pb2
from fxmesh.types.v1 import market_pb2 as types_pb2
from fxmesh.workbench.v1 import events_pb2 as workbench_events
from fxmesh.workbench.v1 import workbench_pb2
from google.protobuf.message import Message

from services.market.instruments import instrument
from services.ml_integration.domain.models import Endpoint, ModelVersion
from services.ml_integration.domain.performance import Close
from services.ml_integration.domain.predictions import Prediction
from services.ml_integration.domain.watch import DriftReport, PerformanceReport
from services.ml_integration.handlers import (
    BatchQuestion,
    BatchScores,
    Importance,
    Question,
    SentFeatures,
    Served,
    TrainingNews,
)
from services.ml_integration.ports import DriftUpdate, Event, FeatureVector, PerformanceUpdate
from services.money.decimals import parse_decimal
from services.wire.timeframes import TIMEFRAME, TIMEFRAME_OF, timeframe_of
from services.wire.times import nanoseconds, time_ns, timestamp

TRAINING_STATE = {
    workbench_events.ModelTrainingStarted: "began",
    workbench_events.ModelTrainingCompleted: "completed",
    workbench_events.ModelTrainingFailed: "failed",
}


def question(request: service_pb2.PredictRequest) -> Question:
    """What is asked."""
    sent = None
    if request.HasField("features"):
        values = np.array(request.features.values, dtype=np.float64)
        sent = SentFeatures(values, request.features.feature_set_version)
    return Question(
        symbol=request.symbol,
        timeframe=timeframe_of(request.timeframe, None),
        endpoint=request.endpoint,
        features=sent,
        open_ns=time_ns(request, "bar_open_time"),
        time_ns=time_ns(request, "time"),
        contributions=request.contributions,
        prediction_id=request.prediction_id,
        signal_id=request.signal_id,
    )


def batch_question(request: service_pb2.BatchPredictRequest) -> BatchQuestion:
    """Many rows, by column."""
    return BatchQuestion(
        request.symbol,
        timeframe_of(request.timeframe, None),
        request.endpoint,
        [np.array(column.values, dtype=np.float64) for column in request.columns],
        len(request.bar_open_time_ns),
        request.feature_set_version,
    )


def prediction(value: Prediction) -> inference_pb2.Prediction:
    """A prediction."""
    return inference_pb2.Prediction(
        prediction_id=value.prediction_id,
        endpoint=value.endpoint,
        model_name=value.model_name,
        model_version=value.model_version,
        symbol=value.symbol,
        timeframe=TIMEFRAME[value.timeframe],
        bar_open_time=timestamp(value.open_ns),
        probability_up=value.probability_up,
        contributions=[
            types_pb2.Contribution(feature=each.feature, value=each.value, contribution=each.contribution)
            for each in value.contributions
        ],
        signal_id=value.signal_id,
        features_fetched=value.features_fetched,
    )


def batch_scores(value: BatchScores) -> service_pb2.BatchPredictResponse:
    """Probabilities of many rows."""
    return service_pb2.BatchPredictResponse(
        probability_up=value.probability_up,
        endpoint=value.served.endpoint.name,
        model_name=value.served.version.name,
        model_version=value.served.version.version,
    )


def importance(value: Importance) -> service_pb2.GetFeatureImportanceResponse:
    """What a model goes by."""
    return service_pb2.GetFeatureImportanceResponse(
        endpoint=value.served.endpoint.name,
        model_name=value.served.version.name,
        model_version=value.served.version.version,
        importance=[
            service_pb2.FeatureImportance(feature=name, gain=gain, splits=splits)
            for name, gain, splits in value.features
        ],
    )


def served_model(value: Served) -> inference_pb2.ServedModel:
    """A model in memory."""
    of, version = value.endpoint, value.version
    return inference_pb2.ServedModel(
        endpoint=of.name,
        model_name=version.name,
        model_version=version.version,
        symbol=of.symbol,
        timeframe=TIMEFRAME[of.timeframe],
        horizon=version.horizon,
        feature_set_version=version.feature_set_version,
        artifact_hash=version.artifact_hash,
        loaded_at=timestamp(value.loaded_ns),
    )


def drift_report(value: DriftReport) -> inference_pb2.DriftReport:
    """Drift, strongest feature first."""
    figures = value.figures
    return inference_pb2.DriftReport(
        endpoint=value.endpoint,
        model_name=value.model_name,
        model_version=value.model_version,
        features=[
            inference_pb2.FeatureDrift(
                feature=name, population_stability_index=index, observations=figures.observations
            )
            for name, index in figures.features
        ],
        worst_index=figures.worst,
        drifted=figures.drifted,
        observations=figures.observations,
        minimum_observations=figures.minimum,
    )


def performance_report(value: PerformanceReport) -> inference_pb2.PerformanceReport:
    """Performance beside validation."""
    figures = value.figures
    return inference_pb2.PerformanceReport(
        endpoint=value.endpoint,
        model_name=value.model_name,
        model_version=value.model_version,
        predictions=figures.predictions,
        resolved=figures.resolved,
        accuracy=figures.accuracy,
        log_loss=figures.log_loss,
        brier_score=figures.brier_score,
        validation_log_loss=value.validation_log_loss,
        validation_accuracy=value.validation_accuracy,
        feature_skew=value.feature_skew,
    )


def event(value: Event) -> Message:
    """An event of inference."""
    if isinstance(value, Prediction):
        return events_pb2.ModelPredictionCompleted(
            prediction_id=value.prediction_id,
            model_version=value.model_version,
            symbol=value.symbol,
            prediction=prediction(value),
        )
    if isinstance(value, DriftUpdate):
        return events_pb2.ModelDriftDetected(
            endpoint=value.report.endpoint,
            model_version=value.report.model_version,
            report_number=value.report_number,
            instance_id=value.instance_id,
            report=drift_report(value.report),
        )
    return _performance_event(value)


def _performance_event(value: PerformanceUpdate) -> events_pb2.ModelPerformanceUpdated:
    return events_pb2.ModelPerformanceUpdated(
        endpoint=value.report.endpoint,
        model_version=value.report.model_version,
        report_number=value.report_number,
        instance_id=value.instance_id,
        report=performance_report(value.report),
    )


def training_news(event: Message) -> TrainingNews:
    """A training event of the workbench."""
    run: workbench_pb2.TrainingRun = getattr(event, "run")  # noqa: B009  # all three have it; mypy sees Message
    return TrainingNews(
        TRAINING_STATE[type(event)], run.run_id, run.model_name, run.model_version, run.failure_reason
    )


def endpoint(message: workbench_pb2.Endpoint) -> Endpoint:
    """An endpoint of the workbench."""
    return Endpoint(
        message.name,
        message.symbol,
        TIMEFRAME_OF[message.timeframe],
        message.model_name,
        message.model_version,
        message.revision,
        nanoseconds(message.deployed_at),
    )


def model_version(message: workbench_pb2.ModelVersion) -> ModelVersion:
    """A model version of the workbench; deciles in the order of its features."""
    profile = {each.feature: tuple(each.deciles) for each in message.profile}
    return ModelVersion(
        name=message.name,
        version=message.version,
        symbol=message.symbol,
        timeframe=TIMEFRAME_OF[message.timeframe],
        horizon=message.horizon,
        feature_names=tuple(message.feature_names),
        feature_set_version=message.feature_set_version,
        artifact_hash=message.artifact_hash,
        deciles=tuple(profile.get(name, ()) for name in message.feature_names),
        validation_log_loss=message.metrics.log_loss,
        validation_accuracy=message.metrics.accuracy,
    )


def feature_vector(message: pipeline_pb2.GetFeaturesResponse) -> FeatureVector:
    """Features of a stored bar."""
    return FeatureVector(
        nanoseconds(message.bar_open_time),
        tuple(message.feature_names),
        np.array(message.values, dtype=np.float64),
        message.feature_set_version,
    )


def close(message: types_pb2.Bar) -> Close:
    """A bar's close: bid plus ask in points."""
    digits = instrument(message.symbol).digits
    bid = parse_decimal(message.bid_close, digits, field="bid_close")
    ask = parse_decimal(message.ask_close, digits, field="ask_close")
    return Close(nanoseconds(message.open_time), bid + ask)
