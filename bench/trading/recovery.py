"""A restart of the real process on a database with 100,000 orders, and its journal replayed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sqlalchemy as sa

from bench.trading.filling import POLICY, RULES, Filled, fill, ticks_of
from bench.trading.surroundings import Trading, surroundings, trading
from services.runtime.store import SqliteStore
from services.trading_gateway import wire
from services.trading_gateway.adapters.rows import Rows
from services.trading_gateway.adapters.schema import Schema
from services.trading_gateway.adapters.store import TradingStore
from services.trading_gateway.domain import plain
from services.trading_gateway.domain.changes import Changes, JournalEntry
from services.trading_gateway.domain.engine import Engine
from services.trading_gateway.domain.inputs import SessionStarted, TicksRead
from services.trading_gateway.domain.replaying import parse, replay

HISTORIES: Mapping[str, Mapping[str, int]] = {
    "mixed": {"filled": 45, "working": 20, "cancelled": 20, "bracket": 15},
    "ended": {"filled": 60, "cancelled": 40},
    "open": {"working": 100},
}
"""Of a hundred orders, how many of each kind; a bracket is three orders."""
MIB = 1 << 20
PAGE = 20_000


@dataclass(frozen=True, slots=True)
class Loaded:
    """Seconds of processor that reading the database and building the books take, and orders in memory."""

    load_s: float
    build_s: float
    orders: int


async def measure(orders: int, rounds: int, names: Iterable[str]) -> None:
    """Measure and print."""
    with TemporaryDirectory(prefix="fxmesh-bench-") as folder:
        async with surroundings(Path(folder)) as nats:
            print(f"{'history':<10}{'orders':>9}{'open':>9}{'µs each':>9}{'load s':>8}{'build s':>9}", end="")
            print(f"{'serves s':>10}{'trades s':>10}{'cpu s':>8}{'MiB':>7}")
            async with trading(Path(folder, "empty"), nats) as running:
                _show("empty", None, None, running)
            for name in names:
                of = Path(folder, name)
                data = of / "trading"
                filled = await fill(data, orders, HISTORIES[name])
                replayed = await _replayed(data, filled)
                loaded = await _loaded(data)
                for _ in range(rounds):
                    async with trading(of, nats) as running:
                        _show(name, filled, loaded, running)
                print(replayed, flush=True)


def _show(name: str, filled: Filled | None, loaded: Loaded | None, running: Trading) -> None:
    """One start, as the wall clock and the processor saw it until the first order was taken."""
    print(f"{name:<10}", end="")
    if filled is None or loaded is None:
        print(f"{'':>44}", end="")
    else:
        print(f"{filled.orders:>9,}{loaded.orders:>9,}{filled.cpu_s * 1e6:>9.0f}", end="")
        print(f"{loaded.load_s:>8.2f}{loaded.build_s:>9.2f}", end="")
    print(f"{running.serves_s:>10.2f}{running.trades_s:>10.2f}{running.cpu_s:>8.2f}", end="")
    print(f"{running.process.memory_info().rss / MIB:>7.0f}", flush=True)


@asynccontextmanager
async def _opened(data: Path) -> AsyncIterator[tuple[TradingStore, Schema, SqliteStore]]:
    schema = Schema()
    database = SqliteStore.open(data / "trading.db", schema.metadata)
    try:
        yield TradingStore(database, schema), schema, database
    finally:
        await database.close()


async def _loaded(data: Path) -> Loaded:
    """The two parts of recovery that grow with orders, in this process."""
    async with _opened(data) as (store, _, _):
        began = time.process_time()
        saved = await store.load()
        await store.stories()
        loaded = time.process_time()
        engine = Engine(RULES, POLICY, saved)
        return Loaded(loaded - began, time.process_time() - loaded, len(engine.book.orders))


async def _replayed(data: Path, filled: Filled) -> str:
    """The journal made into books again: how long, and whether each row and event is the same. A sentence."""
    async with _opened(data) as (store, schema, database):
        journal: list[JournalEntry] = []
        while page := await store.journal(len(journal), PAGE):
            journal += page
        stored = await database.read(lambda connection: _rows_stored(connection, schema))
        before = time.process_time()
        engine = replay(RULES, POLICY, journal, _ticks(journal))
        took = time.process_time() - before
    changes = engine.take_changes()
    different = [name for name, digest in _rows_made(changes).items() if digest != stored[name]]
    if _events_made(changes) != filled.events:
        different.append("events")
    if different:
        raise SystemExit(f"the journal gives other {', '.join(different)}")
    figures = (
        f"{len(journal):,} journal entries in {took:.1f} s of processor, {took / len(journal) * 1e6:.0f} µs"
    )
    return f"{figures} each: orders, fills, books and events come out as the same bytes"


def _ticks(journal: Iterable[JournalEntry]) -> Callable[[TicksRead], Any]:
    began_ns = next(asked.time_ns for asked in map(parse, journal) if isinstance(asked, SessionStarted))
    return lambda asked: ticks_of(asked.symbol, asked.first, asked.last, began_ns)


_ROWS = ("orders", "fills", "ledger", "positions", "accounts")


def _rows_stored(connection: sa.Connection, schema: Schema) -> dict[str, str]:
    """A digest of each table."""
    found = {}
    for name in _ROWS:
        rows: Rows[Any] = getattr(schema, name)
        found[name] = _digest(map(plain.dump, rows.read(connection, sa.select(rows.table))))
    found["transactions"] = _digest(connection.scalars(sa.select(schema.transactions.c.body)))
    return found


def _rows_made(changes: Changes) -> dict[str, str]:
    """The same of what a replay made."""
    made: dict[str, Iterable[object]] = {
        "orders": changes.orders.values(),
        "fills": changes.fills,
        "ledger": changes.ledger,
        "positions": changes.positions.values(),
        "accounts": changes.accounts.values(),
        "transactions": changes.transactions,
    }
    return {name: _digest(map(plain.dump, values)) for name, values in made.items()}


def _events_made(changes: Changes) -> str:
    digest = hashlib.sha256()
    for event in map(wire.event, changes.events):
        digest.update(event.DESCRIPTOR.full_name.encode() + event.SerializeToString(deterministic=True))
    return digest.hexdigest()


def _digest(texts: Iterable[str]) -> str:
    """Of texts in no order."""
    return hashlib.sha256("\n".join(sorted(texts)).encode()).hexdigest()
