"""Protobuf ↔ domain of the workbench, both ways, and nowhere else."""

from __future__ import annotations

from fxmesh.workbench.v1 import events_pb2, service_pb2, workbench_pb2
from google.protobuf.message import Message

from services.ml_workbench.domain.models import Deployment, Endpoint, Model, default_name
from services.ml_workbench.domain.runs import ModelMetrics, TrainingRun, TrainingSpec, TrainingState
from services.ml_workbench.handlers.registry import NamedVersion
from services.quant.timeframes import Timeframe
from services.wire.timeframes import TIMEFRAME, timeframe_of
from services.wire.times import time_ns, timestamp

STATE = {
    TrainingState.QUEUED: workbench_pb2.TRAINING_STATE_QUEUED,
    TrainingState.RUNNING: workbench_pb2.TRAINING_STATE_RUNNING,
    TrainingState.COMPLETED: workbench_pb2.TRAINING_STATE_COMPLETED,
    TrainingState.FAILED: workbench_pb2.TRAINING_STATE_FAILED,
    TrainingState.CANCELLED: workbench_pb2.TRAINING_STATE_CANCELLED,
}
DEFAULT_HORIZON = 4
DEFAULT_ROUNDS = 300
DEFAULT_VALIDATION_SHARE = 0.2


def training_spec(request: service_pb2.StartTrainingRequest) -> TrainingSpec:
    """What a request asks for, defaults filled in."""
    frame = timeframe_of(request.timeframe, Timeframe.H1)
    return TrainingSpec(
        model_name=request.model_name or default_name(request.symbol, frame),
        symbol=request.symbol,
        timeframe=frame,
        start_ns=time_ns(request, "start"),
        end_ns=time_ns(request, "end"),
        horizon=request.horizon or DEFAULT_HORIZON,
        rounds=request.rounds or DEFAULT_ROUNDS,
        validation_share=request.validation_share or DEFAULT_VALIDATION_SHARE,
        parameters=dict(sorted(request.parameters.items())),
        seed=request.seed,
        deploy_to=request.deploy_to,
    )


def spec(value: TrainingSpec) -> workbench_pb2.TrainingSpec:
    """A spec."""
    return workbench_pb2.TrainingSpec(
        model_name=value.model_name,
        symbol=value.symbol,
        timeframe=TIMEFRAME[value.timeframe],
        start=timestamp(value.start_ns),
        end=timestamp(value.end_ns),
        horizon=value.horizon,
        rounds=value.rounds,
        validation_share=value.validation_share,
        parameters=value.parameters,
        seed=value.seed,
    )


def metrics(value: ModelMetrics | None) -> workbench_pb2.ModelMetrics | None:
    """Figures; absent until there are any."""
    if value is None:
        return None
    return workbench_pb2.ModelMetrics(
        training_rows=value.training_rows,
        validation_rows=value.validation_rows,
        log_loss=value.log_loss,
        baseline_log_loss=value.baseline_log_loss,
        auc=value.auc,
        accuracy=value.accuracy,
        baseline_accuracy=value.baseline_accuracy,
        best_round=value.best_round,
    )


def run(value: TrainingRun) -> workbench_pb2.TrainingRun:
    """A run and its progress."""
    return workbench_pb2.TrainingRun(
        run_id=value.run_id,
        spec=spec(value.spec),
        state=STATE[value.state],
        rounds_done=value.rounds_done,
        dataset_id=value.dataset_id,
        metrics=metrics(value.metrics),
        model_name=value.spec.model_name,
        model_version=value.model_version,
        started_at=timestamp(value.started_ns),
        ended_at=timestamp(value.ended_ns),
        failure_reason=value.failure_reason,
        failure=value.failure,
    )


def run_event(event: str, value: TrainingRun) -> Message:
    """The event of a run: "started", "completed", "failed"."""
    content = run(value)
    if event == "started":
        return events_pb2.ModelTrainingStarted(run_id=value.run_id, run=content)
    if event == "completed":
        return events_pb2.ModelTrainingCompleted(run_id=value.run_id, run=content)
    return events_pb2.ModelTrainingFailed(run_id=value.run_id, run=content)


def model(value: Model) -> workbench_pb2.Model:
    """A model as listed."""
    return workbench_pb2.Model(
        name=value.name,
        latest_version=value.latest_version,
        symbol=value.symbol,
        timeframe=TIMEFRAME[value.timeframe],
        aliases=value.aliases,
    )


def version(value: NamedVersion) -> workbench_pb2.ModelVersion:
    """A version with its aliases and feature profile."""
    content = value.version
    return workbench_pb2.ModelVersion(
        name=content.name,
        version=content.version,
        run_id=content.run_id,
        symbol=content.symbol,
        timeframe=TIMEFRAME[content.timeframe],
        horizon=content.horizon,
        feature_names=content.feature_names,
        feature_set_version=content.feature_set_version,
        dataset_id=content.dataset_id,
        dataset_hash=content.dataset_hash,
        artifact_hash=content.artifact_hash,
        artifact_bytes=content.artifact_bytes,
        metrics=metrics(content.metrics),
        aliases=value.aliases,
        created_at=timestamp(content.created_ns),
        profile=[
            workbench_pb2.FeatureProfile(feature=name, deciles=deciles)
            for name, deciles in zip(content.feature_names, content.deciles, strict=True)
        ],
    )


def endpoint(value: Endpoint) -> workbench_pb2.Endpoint:
    """An endpoint."""
    return workbench_pb2.Endpoint(
        name=value.name,
        symbol=value.symbol,
        timeframe=TIMEFRAME[value.timeframe],
        model_name=value.model_name,
        model_version=value.model_version,
        revision=value.revision,
        deployed_at=timestamp(value.deployed_ns),
    )


def deployment(value: Deployment) -> workbench_pb2.Deployment:
    """A deployment."""
    return workbench_pb2.Deployment(
        endpoint=value.endpoint,
        revision=value.revision,
        model_name=value.model_name,
        model_version=value.model_version,
        previous_version=value.previous_version,
        previous_model=value.previous_model,
        deployed_at=timestamp(value.deployed_ns),
    )


def deployed_event(where: Endpoint, what: Deployment) -> events_pb2.ModelDeployed:
    """An endpoint serves another version from now on."""
    return events_pb2.ModelDeployed(
        endpoint_name=where.name,
        revision=where.revision,
        endpoint=endpoint(where),
        deployment=deployment(what),
    )
