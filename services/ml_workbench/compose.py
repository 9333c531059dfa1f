"""Builds the workbench from its surroundings; used by the process and by services/replay alike."""

from __future__ import annotations

from fxmesh.workbench.v1.service_pb2_grpc import add_WorkbenchServiceServicer_to_server

from services.ml_workbench.adapters.artifacts import FolderArtifacts
from services.ml_workbench.adapters.peers import PipelineDatasets
from services.ml_workbench.adapters.store import OUTBOX, SCHEMA, SqliteWorkbench
from services.ml_workbench.adapters.trainer import LightGbmTrainer
from services.ml_workbench.config import Settings
from services.ml_workbench.consumers import subscriptions
from services.ml_workbench.handlers import Registry, Serving, Training
from services.ml_workbench.servicer import WorkbenchServicer
from services.requests import Requests
from services.runtime.mesh import Dependency, Mesh, Service
from services.runtime.outbox import OutboxRelay
from services.runtime.store import SqliteStore


def compose(settings: Settings, mesh: Mesh) -> Service:
    """The database and its outbox, handlers on them, the servicer on top."""
    database = SqliteStore.open(mesh.data_dir / "workbench.sqlite", SCHEMA)
    relay = OutboxRelay(OUTBOX.store(database), mesh.bus, mesh.log, mesh.metrics)
    store = SqliteWorkbench(database, relay.wake)
    artifacts = FolderArtifacts(mesh.data_dir / "artifacts")
    requests = Requests(store)
    registry = Registry(store, artifacts, requests)
    serving = Serving(store, registry, requests, mesh.clock)
    training = Training(
        store,
        PipelineDatasets(mesh.channels),
        LightGbmTrainer(settings.threads, settings.early_stopping_rounds),
        artifacts,
        serving,
        requests,
        mesh.clock,
    )

    async def close() -> None:
        await relay.finish()
        await database.close()

    return Service(
        servicer=WorkbenchServicer(training, registry, serving),
        add_to_server=add_WorkbenchServiceServicer_to_server,
        dependencies=[
            Dependency("store", database.check),
            Dependency("outbox", relay.check, required=False),
        ],
        start=training.recover,
        subscriptions=subscriptions(),
        background=[training.run, relay.run],
        close=close,
    )
