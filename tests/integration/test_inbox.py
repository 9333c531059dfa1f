"""Every consumer of every service, handed each event of the contracts once and, in another run, twice: the
state that it keeps and what it publishes are the same.

The events are those recorded from running platforms; ticks come cut into other batches the second time.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from fxmesh.marketdata.v1.events_pb2 import PriceTickReceived
from google.protobuf.message import Message

from services.market.ticks import TickBatch
from services.replay.platform import Platform
from services.runtime.bus.envelope import Envelope
from services.runtime.bus.events import event_type_named, message_class
from services.runtime.memory_bus import _Stored
from services.runtime.policy import service_policies
from services.wire.ticks import tick_batch, tick_columns
from tests.kit.events import quiet_log

pytestmark = pytest.mark.integration

SAMPLES = Path(__file__).parents[1] / "recorded_events"
CONSUMERS = [policy for policy in service_policies() if policy.consumes]
PASSING_TIME = ("_s", "_ns", "_id", "token")
"""Ends of the names of values that differ from run to run."""
WATCHED = {"service_down", "service_degraded"}
"""Alerts about the health of services, which come with time and not with events."""


def samples(name: str) -> list[Message]:
    return [
        message_class(name).FromString(path.read_bytes()) for path in sorted((SAMPLES / name).glob("*.binpb"))
    ]


def cut(event: PriceTickReceived) -> Iterator[PriceTickReceived]:
    """The same ticks in batches that overlap."""
    whole = tick_batch(event.session_id, event.symbol, event.first_sequence, event.ticks)
    size = len(whole)
    for first, last in ((0, size // 2), (size // 3, size), (0, size)):
        part: TickBatch = whole[first:last]
        if len(part):
            copy = PriceTickReceived()
            copy.CopyFrom(event)
            copy.first_sequence, copy.last_sequence = part.first_sequence, part.last_sequence
            copy.ticks.CopyFrom(tick_columns(part))
            yield copy


def envelope(event: Message) -> Envelope:
    kind = event_type_named(event.DESCRIPTOR.full_name)
    address = kind.address(event)
    headers = {
        "Nats-Msg-Id": address.id,
        "ce-id": address.id,
        "ce-type": kind.name,
        "ce-source": "/fxmesh/recorded",
        "ce-time": "2026-01-05T00:00:00.000000Z",
        "correlation-id": "story",
    }
    return Envelope(address.subject, headers, event.SerializeToString(), address.id, address.key, kind.stream)


async def state_after(folder: Path, consumer: str, events: Sequence[Message]) -> tuple[Any, Any]:
    """What a service keeps once it was handed these events, and what the platform published meanwhile."""
    async with Platform(folder, quiet_log()) as platform:
        (bus,) = (each for each in platform.broker._buses if each.name == consumer)
        for number, event in enumerate(events, 1):
            bus.offer(_Stored(envelope(event), number))
            platform.broker.check_idle()
            await platform.broker.drain()
        published = {stream.name: frozenset(ids) for stream, ids in platform.broker._ids.items()}
        letters = Counter(each.delivery.id for each in platform.broker.dead_letters)
    return dump(folder / consumer), (published, set(letters))


def dump(folder: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        head = path.read_bytes()[:16]
        if head.startswith(b"SQLite format 3"):
            with sqlite3.connect(path) as database:
                tables = [
                    name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type='table'")
                ]
                for table in tables:
                    rows = database.execute(f"SELECT * FROM {table}")
                    found[f"{path.name}/{table}"] = plain(rows.description, rows.fetchall())
        elif head[8:12] == b"DUCK":
            with duckdb.connect(str(path), read_only=True) as store:
                for (table,) in store.execute("SELECT table_name FROM information_schema.tables").fetchall():
                    columns = store.execute(f"SELECT * FROM {table}")
                    found[f"{path.name}/{table}"] = plain(columns.description, columns.fetchall())
    return found


def plain(columns: Any, rows: Sequence[Sequence[Any]]) -> list[str]:
    """Rows as text, without what the passing of time makes different."""
    names = [column[0] for column in columns]
    rows = [row for row in rows if not WATCHED.intersection(map(str, row))]
    return sorted(
        repr([timeless(value) for name, value in zip(names, row, strict=True) if not is_time(name)])
        for row in rows
    )


def timeless(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("{"):
        return {name: each for name, each in json.loads(value).items() if not is_time(name)}
    return value


def is_time(name: str) -> bool:
    return name.endswith(PASSING_TIME)


@pytest.mark.parametrize("consumer", [policy.name for policy in CONSUMERS])
async def test_an_event_delivered_twice_has_one_effect(tmp_path: Path, consumer: str) -> None:
    (policy,) = (each for each in CONSUMERS if each.name == consumer)
    events = [event for name in sorted(policy.consumes) for event in samples(name)]
    assert {each.DESCRIPTOR.full_name for each in events} == set(policy.consumes)
    twice: list[Message] = []
    for event in events:
        parts = list(cut(event)) if isinstance(event, PriceTickReceived) else []
        twice += [*parts, event, event]
    twice += events  # and late

    once_state, once_told = await state_after(tmp_path / "once", consumer, events)
    state, told = await state_after(tmp_path / "twice", consumer, twice)

    assert any(once_state.values()) or consumer == "ml_integration", "nothing is kept that could be doubled"
    assert state == once_state
    assert told == once_told
