"""A process on the real runtime that publishes orders from an outbox, or consumes them into an inbox.

Run as `python -m tests.kit.event_process publisher|consumer`. A call `Unary(text="<key> <number>")` to the
publisher commits that order with its event and then answers. The consumer commits each event once, in the
order in which it came; `effects` reads that from its folder, also when the process is dead.
"""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from fxmesh.trading.v1.events_pb2 import OrderPlaced

from services.runtime import crash, logs, settings
from services.runtime.mesh import Mesh, Service
from services.runtime.outbox import Outbox, OutboxRelay
from services.runtime.ports import Delivery, Subscription
from services.runtime.process import Process
from services.runtime.settings import RuntimeSettings
from services.runtime.store import SqliteStore
from services.runtime.wiring import connect
from tests.fakes.echo import service_pb2_grpc
from tests.fakes.echo.service import EchoServicer, Response
from tests.kit.events import order, service

FILE = "events.db"
_METADATA = sa.MetaData()
_OUTBOX = Outbox(_METADATA)
_ORDERS = sa.Table("orders", _METADATA, sa.Column("id", sa.String, primary_key=True))
_INBOX = sa.Table("inbox", _METADATA, sa.Column("id", sa.String, primary_key=True))
_EFFECTS = sa.Table(
    "effects",
    _METADATA,
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("key", sa.String),
    sa.Column("id", sa.String),
)


class Orders(EchoServicer):
    """Places the order that a call names; the same one again is known."""

    def __init__(self, store: SqliteStore, relay: OutboxRelay) -> None:
        super().__init__()
        self._store, self._relay = store, relay

    async def Unary(self, request: Any, _: Any) -> Any:  # noqa: N802 the contract's name
        key, number = request.text.split()
        placed = order(int(number), key)

        def commit(connection: sa.Connection) -> None:
            inserted = sa.text("INSERT OR IGNORE INTO orders VALUES (:id)")
            if connection.execute(inserted, {"id": placed.order_id}).rowcount:
                _OUTBOX.append(connection, placed)

        await self._store.write(commit)
        self._relay.wake()
        return Response(text=placed.order_id)


class Effects:
    """Commits event and effect together; a repetition has none."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def handle(self, deliveries: Sequence[Delivery]) -> None:
        def commit(connection: sa.Connection) -> None:
            for delivery in deliveries:
                known = sa.text("INSERT OR IGNORE INTO inbox VALUES (:id)")
                if connection.execute(known, {"id": delivery.id}).rowcount:
                    placed: Any = delivery.event
                    connection.execute(_EFFECTS.insert().values(key=placed.account_id, id=placed.order_id))

        await self._store.write(commit)


def _publisher(mesh: Mesh) -> Service:
    store = SqliteStore.open(mesh.data_dir / FILE, _METADATA)
    relay = OutboxRelay(_OUTBOX.store(store), mesh.bus, mesh.log)

    async def close() -> None:
        await relay.finish()
        await store.close()

    return Service(
        Orders(store, relay),
        service_pb2_grpc.add_EchoServiceServicer_to_server,
        background=(relay.run,),
        close=close,
    )


def _consumer(mesh: Mesh) -> Service:
    store = SqliteStore.open(mesh.data_dir / FILE, _METADATA)
    return Service(
        EchoServicer(),
        service_pb2_grpc.add_EchoServiceServicer_to_server,
        subscriptions=(Subscription((OrderPlaced,), Effects(store).handle, max_batch=8),),
        close=store.close,
    )


def effects(folder: Path) -> list[tuple[str, str]]:
    """Key and order id of every effect committed in the consumer's folder, in order."""
    if not (folder / FILE).exists():
        return []
    with sqlite3.connect(f"file:{folder / FILE}?mode=ro", uri=True) as connection:
        try:
            return connection.execute("SELECT key, id FROM effects ORDER BY position").fetchall()
        except sqlite3.OperationalError:  # it has not made its tables yet
            return []


async def _run(role: str) -> None:
    runtime = settings.load(RuntimeSettings)
    log = logs.configure(role, runtime.log_level, runtime.log_format)
    crash.arm(runtime.crash_at, log)
    compose = {"publisher": _publisher, "consumer": _consumer}[role]
    process = Process(service(role), runtime, compose, connect, log)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, process.stop)
    await process.run()


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1]))
