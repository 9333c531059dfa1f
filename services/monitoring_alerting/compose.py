"""Builds monitoring from its surroundings; used by the process and by services/replay alike."""

from __future__ import annotations

from fxmesh.monitoring.v1.service_pb2_grpc import add_MonitoringServiceServicer_to_server

from services.monitoring_alerting.adapters.directory import RegistryDirectory
from services.monitoring_alerting.adapters.scraper import HttpScraper
from services.monitoring_alerting.adapters.store import SCHEMA, SqliteAlerts
from services.monitoring_alerting.config import Settings
from services.monitoring_alerting.consumers import subscriptions
from services.monitoring_alerting.domain.series import SeriesStore
from services.monitoring_alerting.handlers import Alerts, Queries, Watching
from services.monitoring_alerting.metrics import register_metrics
from services.monitoring_alerting.servicer import MonitoringServicer
from services.runtime.mesh import Dependency, Mesh, Service
from services.runtime.store import SqliteStore


def compose(settings: Settings, mesh: Mesh) -> Service:
    """The database, the scraper, handlers on them, the servicer on top."""
    database = SqliteStore.open(mesh.data_dir / "monitoring.sqlite", SCHEMA)
    scraper = HttpScraper(settings.scrape_timeout_seconds)
    directory = RegistryDirectory(mesh.registry)
    series = SeriesStore(settings.keep_minutes * 60)
    alerts = Alerts(SqliteAlerts(database), mesh.clock, mesh.ids)
    watching = Watching(directory, scraper, series, alerts, mesh.clock)
    count = register_metrics(mesh.metrics, alerts)

    async def watch() -> None:
        await watching.run(settings.scrape_seconds)

    async def close() -> None:
        scraper.close()
        await database.close()

    return Service(
        servicer=MonitoringServicer(Queries(watching, series, directory, mesh.clock), alerts),
        add_to_server=add_MonitoringServiceServicer_to_server,
        dependencies=[Dependency("store", database.check)],
        start=alerts.load,
        subscriptions=subscriptions(mesh.service.consumes, alerts, count),
        background=[watch],
        close=close,
    )
