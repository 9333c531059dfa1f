"""Builds trading from its surroundings; used by the process and by services/replay alike."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from fxmesh.trading.v1.service_pb2_grpc import add_TradingServiceServicer_to_server

from services.runtime.database import lease_on, open_database
from services.runtime.leaders import show_leader
from services.runtime.mesh import Dependency, Mesh, Service
from services.runtime.moved import require_here
from services.runtime.outbox import OutboxRelay
from services.trading_gateway.adapters.metrics import PrometheusMeter
from services.trading_gateway.adapters.peers import AnalysisPeer, MarketDataPeer, gateways
from services.trading_gateway.adapters.schema import Schema
from services.trading_gateway.adapters.simulated_venue import SimulatedVenue
from services.trading_gateway.adapters.store import TradingStore
from services.trading_gateway.config import Settings
from services.trading_gateway.consumers import subscriptions
from services.trading_gateway.handlers import (
    Accounts,
    Adopting,
    Decisions,
    Desk,
    Flattening,
    Following,
    Halting,
    Interleaving,
    Lockstep,
    Orders,
    Progress,
    Reading,
    RiskLimits,
    Roles,
    Signals,
    Storms,
    Trailing,
    VenueLinks,
)
from services.trading_gateway.servicer import TradingServicer

DATABASE_SETTING = "FXMESH_TRADING_GATEWAY_DATABASE_URL"
TAKE_BACK = "fxmesh database copy --undo"


def open_venues(settings: Settings, folder: Path) -> dict[str, SimulatedVenue]:
    """Venues outside, by name."""
    name = settings.simulated_venue
    if not name:
        return {}
    return {name: SimulatedVenue(folder / f"{name}.venue.db", settings.conditions(), settings.funds())}


def compose(settings: Settings, mesh: Mesh) -> Service:
    """Store and peers, the desk and its handlers on them, the servicer on those."""
    schema, address = Schema(), settings.database_url.get_secret_value()
    database = open_database(address, mesh.data_dir / "trading.db", schema.metadata, mesh.log)
    lease = lease_on(database, mesh, settings.lease_seconds)
    relay = OutboxRelay(schema.outbox.store(database), mesh.bus, mesh.log, mesh.metrics)
    meter = PrometheusMeter(mesh.metrics)
    market, analysis = MarketDataPeer(mesh.channels), AnalysisPeer(mesh.channels)

    store = TradingStore(database, schema)
    desk = Desk(store, relay, mesh.clock, meter, settings.conduct(), mesh.log, mesh.tracer, lease)
    orders, accounts, limits = Orders(desk, market), Accounts(desk), RiskLimits(desk)
    storms = Storms(desk)
    venues = open_venues(settings, mesh.data_dir)
    links = VenueLinks(desk, venues, settings.patience())
    signals = Signals(
        desk, orders, analysis, settings.signal_wait_seconds, drift_reduces=settings.drift_reduces
    )
    reading = Reading(desk, settings.replay_accounts(), [each.quote for each in venues.values()])
    interleaving = Interleaving(signals, reading)
    trailing = Trailing(desk, analysis, signals, interleaving)
    lockstep = Lockstep(desk, market, signals, reading, interleaving, trailing)
    following = Following(desk, market, orders, reading, lockstep)

    async def begin() -> None:
        await require_here(database, DATABASE_SETTING, TAKE_BACK)
        for venue in venues.values():
            await venue.open()
        signals.begin_anew()
        following.begin_anew()
        await desk.start()
        await accounts.open_first(settings.first_account())

    async def mark() -> None:
        await following.mark(settings.mark_seconds)

    async def close() -> None:
        await storms.finish()
        desk.orders.close()
        await links.stand_down()
        await desk.finish()
        for venue in venues.values():
            await venue.close()
        if lease.held:
            await relay.finish()
        await lease.close()
        await database.close()

    loops = (
        relay.run,
        following.run,
        lockstep.run,
        trailing.run,
        signals.run,
        desk.recover,
        mark,
        storms.run,
        *([links.run] if venues else []),
    )
    leaders = gateways(mesh, lease)
    alone = Service(
        servicer=TradingServicer(
            accounts,
            orders,
            Flattening(desk, orders),
            limits,
            Progress(desk, trailing),
            Decisions(desk),
            Adopting(desk, links),
            Halting(desk, accounts),
            leaders,
        ),
        add_to_server=add_TradingServiceServicer_to_server,
        dependencies=(
            Dependency("store", database.check),
            Dependency("outbox", relay.check, required=False),
        ),
        start=begin,
        subscriptions=subscriptions(signals),
        background=loops,
        close=close,
    )
    if not address:
        return alone
    # Several may share the database: all of this begins with the lease, and ends with it.
    consume = partial(mesh.bus.subscribe, *alone.subscriptions)
    roles = Roles(lease, desk, begin, loops, consume, mesh.bus.drain, storms.finish)
    shown = partial(show_leader, lease, mesh.health)
    return replace(alone, start=roles.join, subscriptions=(), background=(roles.run, shown))
