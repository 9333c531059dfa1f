"""The transactional outbox: an event commits together with the state it tells of, and a relay publishes it
after.

`Outbox` writes and reads the rows in a service's own database; `OutboxRelay` publishes them in order
until the bus has acknowledged each, however long that takes. A crash between publish and removal publishes
again: the stream knows the id.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import sqlalchemy as sa
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry, Gauge
from structlog.typing import FilteringBoundLogger

from services.crash import crash_point
from services.errors import FxError, Kind
from services.runtime import context
from services.runtime.bus.events import message_class
from services.runtime.ports import Bus
from services.runtime.row_writer import RowWriter
from services.runtime.store import Database
from services.runtime.traces import current
from services.tracing import Story

_WRITTEN = ("type", "payload", "causation_id", "correlation_id", "traceparent")
_BATCH = 256  # rows read at once; they are published by story, money one at a time within a key
_FIRST_DELAY_S = 0.1
_LONGEST_DELAY_S = 5.0
_REMOVE_S = 0.1  # a removal is a commit: as many rows as possible share one
_COUNT_S = 1.0  # a publish that waits for the bus can take half a minute, in which the backlog grows
_STUCK_S = (
    10.0  # an event is stored within milliseconds; a stream that was deleted is back after three seconds
)
_FINISH_S = 2.0
_FULL = "STREAM_FULL"


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One event that waits to be published. `position` grows with each; `type` is the full message name."""

    position: int
    type: str
    payload: bytes
    causation_id: str | None
    correlation_id: str | None
    traceparent: str | None

    @property
    def story(self) -> tuple[str | None, str | None, str | None]:
        """What it shares with the rows of the same request or event."""
        return self.causation_id, self.correlation_id, self.traceparent


class OutboxStore(Protocol):
    """Where the relay finds rows."""

    async def unpublished(self, limit: int, after: int = 0) -> Sequence[OutboxRow]:
        """The oldest rows behind a position, in order."""

    async def published(self, through: int) -> None:
        """Everything up to this position is stored on the bus, and may go."""

    async def backlog(self, after: int = 0) -> int:
        """How many rows there are behind a position."""


class Outbox:
    """The outbox table of one database. Construct it before the schema is created."""

    def __init__(self, metadata: sa.MetaData) -> None:
        self._table = sa.Table(
            "outbox",
            metadata,
            # AUTOINCREMENT: a position is never used twice, so "through" means the same for ever.
            sa.Column(
                "position",
                sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
                primary_key=True,
                autoincrement=True,
            ),
            sa.Column("type", sa.String, nullable=False),
            sa.Column("payload", sa.LargeBinary, nullable=False),
            sa.Column("causation_id", sa.String),
            sa.Column("correlation_id", sa.String),
            sa.Column("traceparent", sa.String),
            sqlite_autoincrement=True,
        )
        self._writer = RowWriter(self._table, _WRITTEN)

    def append(
        self,
        connection: sa.Connection,
        event: Message,
        causation_id: str | None = None,
        story: Story | None = None,
    ) -> None:
        """Add an event to the transaction at hand, with correlation, trace and cause of `story`, else of the
        work in hand.

        Call `OutboxRelay.wake` after the commit.
        """
        self.append_all(connection, [(event, causation_id, story)])

    def append_all(
        self, connection: sa.Connection, events: Iterable[tuple[Message, str | None, Story | None]]
    ) -> None:
        """The same of several events in order, each with its cause and story."""
        self._writer.write(connection, [_row(*each) for each in events])

    def store(self, database: Database) -> OutboxStore:
        """The rows of this table in an open database, for the relay."""
        return _TableOutbox(self._table, database)


def _row(event: Message, causation_id: str | None, story: Story | None) -> tuple[object, ...]:
    """The columns that are written, in their order."""
    of = current() if story is None else story
    return (
        event.DESCRIPTOR.full_name,
        event.SerializeToString(deterministic=True),
        causation_id or of.causation_id or None,
        of.correlation_id or None,
        of.traceparent or None,
    )


class _TableOutbox:
    def __init__(self, table: sa.Table, database: Database) -> None:
        self._database = database
        position, after = table.c.position, sa.bindparam("after", type_=sa.BigInteger)
        rows = sa.bindparam("rows", type_=sa.Integer)
        self._oldest = sa.select(table).where(position > after).order_by(position).limit(rows)
        self._removal = table.delete().where(position <= sa.bindparam("through", type_=sa.BigInteger))
        self._count = sa.select(sa.func.count()).select_from(table).where(position > after)

    async def unpublished(self, limit: int, after: int = 0) -> Sequence[OutboxRow]:
        given = {"after": after, "rows": limit}
        return await self._database.read(
            lambda connection: [OutboxRow(*row) for row in connection.execute(self._oldest, given)]
        )

    async def published(self, through: int) -> None:
        crash_point("outbox.after_publish")
        await self._database.write(
            lambda connection: connection.execute(self._removal, {"through": through}).rowcount
        )
        crash_point("outbox.after_removal")

    async def backlog(self, after: int = 0) -> int:
        return await self._database.read(
            lambda connection: connection.execute(self._count, {"after": after}).scalar_one()
        )


class OutboxRelay:
    """Publishes what the store holds, in order, from `run` until cancelled."""

    def __init__(
        self,
        store: OutboxStore,
        bus: Bus,
        log: FilteringBoundLogger,
        metrics: CollectorRegistry | None = None,
    ) -> None:
        self._store = store
        self._bus = bus
        self._log = log
        self._wake = asyncio.Event()
        self._wake.set()  # rows of an earlier process
        self._empty = asyncio.Event()
        self._removable = asyncio.Event()
        self._waiting = False
        self._waiting_since: float | None = None
        self._failure: FxError | None = None
        self._published = 0
        self._removed = 0
        self.backlog = 0
        """Rows that waited when it was last looked; a service refuses new work above a bound of its own."""
        self.full = False
        """The stream has no room for the oldest row: what is decided now would be heard of by nobody."""
        if metrics is not None:
            name, what = "fxmesh_bus_outbox_backlog", "Events that wait to be published."
            Gauge(name, what, registry=metrics).set_function(lambda: self.backlog)
            name, what = "fxmesh_bus_outbox_stuck_seconds", "For how long the bus has stored none of them."
            Gauge(name, what, registry=metrics).set_function(lambda: self.stuck_s)

    def wake(self) -> None:
        """There are new rows."""
        self._empty.clear()
        self._wake.set()

    @property
    def stuck_s(self) -> float:
        """For how long the oldest row has been on its way to the bus; 0 when none is."""
        since = self._waiting_since
        return 0.0 if since is None else time.monotonic() - since

    async def check(self) -> None:
        """Raises FxError, with a sentence for a person, when events have waited for the bus for long."""
        if self.stuck_s >= _STUCK_S:
            why = "" if self._failure is None else f": {self._failure.detail}"
            waited = f"the bus has stored none for {self.stuck_s:.0f} s{why}"
            raise FxError(
                Kind.UNAVAILABLE, "BUS_UNAVAILABLE", f"{self.backlog} events wait in the outbox; {waited}"
            )

    async def settled(self) -> None:
        """Return once every row there is has been published."""
        await self._empty.wait()

    async def run(self) -> None:
        """Publish for ever."""
        beside = (
            asyncio.create_task(self._count(), name="outbox-count"),
            asyncio.create_task(self._remove_often(), name="outbox-remove"),
        )
        try:
            await self._relay()
        finally:
            for each in beside:
                each.cancel()
            await self._remove()

    async def finish(self) -> None:
        """After `run`, of a process that goes down in order: publish what has come since, as far as the bus
        takes it within two seconds. The rest waits for the next process.
        """
        try:
            async with asyncio.timeout(_FINISH_S):
                await self._publish_all()
        except (FxError, TimeoutError) as failure:
            self._log.warning("outbox.left", error=str(failure) or f"not stored within {_FINISH_S:g} s")
        await self._remove()

    async def _relay(self) -> None:
        delay_s = _FIRST_DELAY_S
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._publish_all()
            except FxError as failure:
                await self._remove()
                self._fail(failure)
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, _LONGEST_DELAY_S)
                self._wake.set()
            else:
                delay_s = _FIRST_DELAY_S

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(_COUNT_S)
            if self._waiting:
                self.backlog = await self._store.backlog(self._published)

    async def _remove_often(self) -> None:
        while True:
            await self._removable.wait()
            await asyncio.sleep(_REMOVE_S)
            self._removable.clear()
            await self._remove()

    async def _remove(self) -> None:
        """Published rows go together, some time after: until then they are read no more, and after a crash
        they are published again, which the stream sees.
        """
        through = self._published
        if through > self._removed:
            try:
                await self._store.published(through)
            except FxError as failure:
                self._log.warning("outbox.not_removed", error=str(failure))
            else:
                self._removed = through

    async def _publish_all(self) -> None:
        more = True
        while more:
            rows = await self._store.unpublished(_BATCH, self._published)
            more = len(rows) == _BATCH  # what comes from now on wakes it again
            self.backlog = await self._store.backlog(self._published) if more else len(rows)
            await self._publish_batch(rows)
        self.backlog = 0
        if not self._wake.is_set():
            self._empty.set()

    async def _publish_batch(self, rows: Sequence[OutboxRow]) -> None:
        for story, group in groupby(rows, key=lambda row: row.story):
            members = list(group)
            await self._publish(story, members)
            self._published = members[-1].position
            crash_point("outbox.after_publish")
            self._removable.set()

    async def _publish(self, story: tuple[str | None, str | None, str | None], rows: list[OutboxRow]) -> None:
        crash_point("outbox.before_publish")
        causation_id, correlation_id, traceparent = story
        context.causation_id.set(causation_id)
        context.correlation_id.set(correlation_id)
        context.traceparent.set(traceparent)
        self._waiting = True
        if self._waiting_since is None:
            self._waiting_since = time.monotonic()
        try:
            await self._bus.publish_many(message_class(row.type).FromString(row.payload) for row in rows)
        finally:
            self._waiting = False
        self._waiting_since = self._failure = None
        self._be_full(full=False)

    def _fail(self, failure: FxError) -> None:
        self._failure = failure
        self._be_full(full=failure.reason == _FULL)
        self._log.warning("outbox.not_published", error=str(failure), backlog=self.backlog)

    def _be_full(self, *, full: bool) -> None:
        if full != self.full:
            self.full = full
            self._log.warning("outbox.stream_full" if full else "outbox.stream_has_room")
