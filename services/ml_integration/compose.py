"""Builds inference from its surroundings; used by the process and by services/replay alike."""

from __future__ import annotations

from fxmesh.inference.v1.service_pb2_grpc import add_InferenceServiceServicer_to_server

from services.ml_integration.adapters.loader import LightGbmLoader
from services.ml_integration.adapters.peers import GrpcPipeline, GrpcWorkbench
from services.ml_integration.adapters.publisher import BusPublisher
from services.ml_integration.adapters.store import FolderStore
from services.ml_integration.config import Settings
from services.ml_integration.consumers import subscriptions
from services.ml_integration.domain.drift import DriftRules
from services.ml_integration.handlers import Models, News, Outcomes, Outgoing, Predictions, Reports
from services.ml_integration.metrics import PrometheusMeter, register_metrics
from services.ml_integration.servicer import InferenceServicer
from services.runtime.mesh import Dependency, Mesh, Service


def compose(settings: Settings, mesh: Mesh) -> Service:
    """Store and peers, the models on them, everything else on the models."""
    clock, log = mesh.clock, mesh.log
    store = FolderStore(mesh.data_dir, log)
    pipeline = GrpcPipeline(mesh.channels)
    rules = DriftRules(settings.drift_window, settings.drift_minimum, settings.drift_threshold)
    models = Models(GrpcWorkbench(mesh.channels), LightGbmLoader(), store, rules, clock, log)
    outgoing = Outgoing(BusPublisher(mesh.bus), clock, log, settings.publish_room)
    reports = Reports(models, mesh.ids.new())
    meter = PrometheusMeter(mesh.metrics)
    predictions = Predictions(models, pipeline, reports, outgoing, clock, meter, settings.kept_predictions)
    outcomes = Outcomes(models, pipeline, reports, outgoing, clock, log, settings.outcomes_per_report)
    news = News(models, log)
    register_metrics(mesh.metrics, models, news, outgoing)

    async def keep_models() -> None:
        await models.run(settings.reconcile_seconds)

    async def look_up_outcomes() -> None:
        await outcomes.run(settings.outcome_seconds)

    async def close() -> None:
        predictions.close()
        await outgoing.flush()

    return Service(
        servicer=InferenceServicer(models, predictions, reports, outcomes),
        add_to_server=add_InferenceServiceServicer_to_server,
        dependencies=[Dependency("store", store.check, required=False)],
        start=models.recall,
        background=[outgoing.run, keep_models, look_up_outcomes],
        subscriptions=subscriptions(news),
        close=close,
    )
