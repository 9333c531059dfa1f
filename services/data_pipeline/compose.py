"""Builds the pipeline from its surroundings; used by the process and by services/replay alike."""

from __future__ import annotations

from fxmesh.pipeline.v1.service_pb2_grpc import add_PipelineServiceServicer_to_server

from services.data_pipeline.adapters.catalogue import DuckCatalogue
from services.data_pipeline.adapters.duck import Duck
from services.data_pipeline.adapters.event_store import DuckEventStore
from services.data_pipeline.adapters.files import FolderUploads, ParquetExports
from services.data_pipeline.adapters.history import DuckHistory
from services.data_pipeline.adapters.peers import InferenceScorer
from services.data_pipeline.adapters.publisher import BusPublisher
from services.data_pipeline.config import Settings
from services.data_pipeline.consumers import subscriptions
from services.data_pipeline.handlers import Datasets, Executions, Imports, Ingest, Queries, Scoring
from services.data_pipeline.metrics import register_metrics
from services.data_pipeline.servicer import PipelineServicer
from services.quant.timeframes import Timeframe
from services.requests import Requests
from services.runtime.mesh import Dependency, Mesh, Service

QUOTE_EVENTS = ("fxmesh.marketdata.v1.MarketDataUpdated", "fxmesh.marketdata.v1.OrderBookUpdated")
FORGET_EVERY_S = 600.0


def compose(settings: Settings, mesh: Mesh) -> Service:
    """The database, stores on it, handlers on those, the servicer on top."""
    duck = Duck(mesh.data_dir / "pipeline.duckdb", settings.memory_mb)
    store, history = DuckEventStore(duck), DuckHistory(duck)
    catalogue = DuckCatalogue(duck, mesh.data_dir / "datasets")
    exports = ParquetExports(duck, mesh.data_dir / "exports")
    executions = Executions(catalogue, BusPublisher(mesh.bus), mesh.clock, mesh.ids)
    requests = Requests(catalogue)
    timeframes = frozenset(Timeframe.parse(text) for text in settings.score_timeframes)
    scorer = InferenceScorer(mesh.channels)
    scoring = Scoring(history, catalogue, scorer, exports, executions, requests, timeframes)
    ingest = Ingest(store, scoring.offer)
    register_metrics(mesh.metrics, ingest, history)

    async def forget() -> None:
        while True:
            await mesh.clock.sleep(FORGET_EVERY_S)
            before_ns = mesh.clock.now_ns() - int(settings.keep_quotes_hours * 3600e9)
            await store.forget_quotes(QUOTE_EVENTS, before_ns)

    async def start() -> None:
        await store.load()
        await executions.recover()

    async def close() -> None:
        await executions.close()
        await duck.close()

    return Service(
        servicer=PipelineServicer(
            Queries(history),
            Imports(FolderUploads(mesh.data_dir / "uploads"), store, executions),
            executions,
            Datasets(history, catalogue, executions, requests, mesh.clock),
            scoring,
        ),
        add_to_server=add_PipelineServiceServicer_to_server,
        dependencies=[Dependency("store", store.check)],
        start=start,
        subscriptions=subscriptions(
            mesh.service.consumes, ingest, settings.commit_events, settings.commit_seconds
        ),
        background=[scoring.run, forget],
        close=close,
    )
