"""Builds market data from its surroundings; used by the process and by services/replay alike."""

from __future__ import annotations

from functools import partial
from itertools import chain

from fxmesh.marketdata.v1.service_pb2_grpc import add_MarketDataServiceServicer_to_server

from services.market_data.adapters.files import FolderFiles
from services.market_data.adapters.leader import LeaderPeer, leaders_of
from services.market_data.adapters.publisher import BusPublisher
from services.market_data.adapters.sessions import FolderSessions
from services.market_data.config import Settings
from services.market_data.consumers import subscriptions
from services.market_data.handlers import (
    Feed,
    Mirror,
    Prices,
    Replays,
    Roles,
    Uploads,
    recover,
    run_synthetic,
)
from services.market_data.handlers.replays import ReplayLimits
from services.market_data.metrics import register_metrics
from services.market_data.servicer import MarketDataServicer
from services.runtime.leaders import show_leader
from services.runtime.mesh import Mesh, Service


def compose(settings: Settings, mesh: Mesh) -> Service:
    """Publisher and files, handlers on them, the servicer on those."""
    clock, leadership = mesh.clock, mesh.leadership
    files, records = FolderFiles(mesh.data_dir), FolderSessions(mesh.data_dir, mesh.log)
    feed = Feed(BusPublisher(mesh.bus), clock, settings.history_ticks, leadership)
    prices = Prices(feed, clock)
    limits = ReplayLimits(settings.backlog_bound, settings.consumer_timeout_seconds)
    replays = Replays(feed, files, records, clock, limits)
    leaders = leaders_of(mesh)
    register_metrics(mesh.metrics, feed)
    session_ids = chain([mesh.ids.new()], iter(mesh.ids.new, ""))  # another one each time that we lead

    async def synthetic() -> None:
        await run_synthetic(
            feed,
            records,
            clock,
            f"synthetic-{next(session_ids)[-12:]}",
            settings.symbols,
            settings.seed,
            settings.ticks_per_second,
            settings.flush_seconds,
        )

    mirror = Mirror(feed, replays, leadership, lambda address: LeaderPeer(leaders.at(address)), clock)
    roles = Roles(leadership, feed, replays, mirror, clock, synthetic if settings.synthetic else None)

    async def start() -> None:
        await recover(records, feed, replays, clock)
        await roles.join()

    return Service(
        servicer=MarketDataServicer(feed, prices, replays, Uploads(files), clock, leaders),
        add_to_server=add_MarketDataServiceServicer_to_server,
        subscriptions=subscriptions(),
        start=start,
        background=[feed.publish_updates, roles.run, partial(show_leader, leadership, mesh.health)],
        close=replays.close,
    )
