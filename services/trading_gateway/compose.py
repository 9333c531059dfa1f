"""Builds trading from its surroundings; used by the process and by services/replay alike."""

from __future__ import annotations

from fxmesh.trading.v1.service_pb2_grpc import add_TradingServiceServicer_to_server

from services.runtime.mesh import Dependency, Mesh, Service
from services.runtime.outbox import OutboxRelay
from services.runtime.store import SqliteStore
from services.trading_gateway.adapters.metrics import PrometheusMeter
from services.trading_gateway.adapters.peers import AnalysisPeer, MarketDataPeer
from services.trading_gateway.adapters.schema import Schema
from services.trading_gateway.adapters.store import SqliteTradingStore
from services.trading_gateway.config import Settings
from services.trading_gateway.consumers import subscriptions
from services.trading_gateway.handlers import (
    Accounts,
    Decisions,
    Desk,
    Flattening,
    Following,
    Interleaving,
    Lockstep,
    Orders,
    Progress,
    Reading,
    RiskLimits,
    Signals,
    Storms,
    Trailing,
)
from services.trading_gateway.servicer import TradingServicer


def compose(settings: Settings, mesh: Mesh) -> Service:
    """Store and peers, the desk and its handlers on them, the servicer on those."""
    schema = Schema()
    database = SqliteStore.open(mesh.data_dir / "trading.db", schema.metadata)
    relay = OutboxRelay(schema.outbox.store(database), mesh.bus, mesh.log, mesh.metrics)
    meter = PrometheusMeter(mesh.metrics)
    market, analysis = MarketDataPeer(mesh.channels), AnalysisPeer(mesh.channels)

    store = SqliteTradingStore(database, schema)
    desk = Desk(store, relay, mesh.clock, meter, settings.conduct(), mesh.log, mesh.tracer)
    orders, accounts, limits = Orders(desk, market), Accounts(desk), RiskLimits(desk)
    storms = Storms(desk)
    signals = Signals(
        desk, orders, analysis, settings.signal_wait_seconds, drift_reduces=settings.drift_reduces
    )
    reading = Reading(desk, settings.replay_accounts())
    interleaving = Interleaving(signals, reading)
    trailing = Trailing(desk, analysis, signals, interleaving)
    lockstep = Lockstep(desk, market, signals, reading, interleaving, trailing)
    following = Following(desk, market, orders, reading, lockstep)

    async def start() -> None:
        await desk.start()
        await accounts.open_first(settings.first_account())

    async def mark() -> None:
        await following.mark(settings.mark_seconds)

    async def close() -> None:
        desk.orders.close()
        await desk.finish()
        await database.close()

    return Service(
        servicer=TradingServicer(
            accounts, orders, Flattening(desk, orders), limits, Progress(desk, trailing), Decisions(desk)
        ),
        add_to_server=add_TradingServiceServicer_to_server,
        dependencies=(Dependency("store", database.check),),
        start=start,
        subscriptions=subscriptions(signals),
        background=(
            relay.run,
            following.run,
            lockstep.run,
            trailing.run,
            signals.run,
            desk.recover,
            mark,
            storms.run,
        ),
        close=close,
    )
