"""Which of several processes on one database does the work: a lease in that database, with a term for each
time that it changes hands.

The holder renews it every second. It expires by the clock of the database alone; then, or when it is given
back, whoever looks first takes it with the next term. Two things keep a holder from acting on after that. By
its own monotonic clock it holds nothing any more a second before the others may take over. And each of its
transactions begins by asking for its term (`guard`): the row stays locked until the commit, so a new holder
waits for a commit under way, and what comes later from the one before is refused by the database itself.

A row a thing that is leased, by account; so far one stands for all accounts (`ALL`).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import sqlalchemy as sa
from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

from services.errors import FxError, Kind
from services.runtime.database import adding
from services.runtime.held_lease import HeldLease
from services.runtime.leadership_metrics import LeadershipMetrics
from services.runtime.ports import Candidate, Clock
from services.runtime.store import Database

ALL = "*"
BEAT_S = 1.0
LEASE_S = 5.0
"""How long after its last renewal, by the clock of the database, the next may take over."""
MARGIN_S = 1.0
"""How much sooner a holder no longer acts."""
LOOK_S = 0.25

METADATA = sa.MetaData()
_LEASES = sa.Table(
    "leases",
    METADATA,
    sa.Column("account_id", sa.Text, primary_key=True),
    sa.Column("term", sa.BigInteger, nullable=False),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("instance", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("expires", sa.DateTime(timezone=True), nullable=False),
)
_NOW = sa.func.clock_timestamp()
_OVER = sa.text("'-infinity'")
_ROW = _LEASES.c.account_id == ALL


@dataclass(frozen=True, slots=True)
class _Lease:
    holder: str
    address: str
    over: bool


class DatabaseLeadership(HeldLease):
    """The Leadership of one process on a database. `database` is for the lease alone: a renewal must not wait
    for a large commit, and `guard` belongs to the one that is written to.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        log: FilteringBoundLogger,
        candidate: Candidate,
        metrics: CollectorRegistry,
        lease_s: float = LEASE_S,
    ) -> None:
        super().__init__(clock)
        self._database = database
        self._hold_s = lease_s - MARGIN_S
        self._expiry = _NOW + sa.func.make_interval(0, 0, 0, 0, 0, 0, lease_s)
        self._log = log
        self._me = candidate
        self._metrics = metrics
        self._mine = (_ROW, _LEASES.c.instance == candidate.instance, _LEASES.c.expires > _NOW)
        self._tasks: list[asyncio.Task[None]] = []

    async def campaign(self) -> None:
        """Hold it from now on whenever nobody else does. Returns after the first attempt."""
        if not self._tasks:
            LeadershipMetrics(self._metrics, self._me.role, self)
            await self._attempt()
            self._tasks = [
                asyncio.create_task(self._run(), name="lease"),
                asyncio.create_task(self._watch(), name="lease-lapse"),
            ]

    async def close(self) -> None:
        """Give it back, so that another process has it within a moment."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._term:
            back = sa.update(_LEASES).where(*self._mine, _LEASES.c.term == self._term)
            with suppress(FxError):
                await self._database.write(lambda each: each.execute(back.values(expires=_OVER)).rowcount)
        self._set(term=0, leader="")
        await self._database.close()

    def guard(self, connection: sa.Connection) -> None:
        """Refuse a transaction unless the lease is ours until its end. Raises FxError UNAVAILABLE
        `LEASE_LOST`.
        """
        asked = sa.select(_LEASES.c.term).where(*self._mine, _LEASES.c.term == self._term)
        if connection.execute(asked.with_for_update(read=True)).first() is None:
            raise lease_lost("another process has the lease of these books, or will: nothing was stored")

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(BEAT_S if self.held else LOOK_S)
            await self._attempt()

    async def _watch(self) -> None:
        """A lease that could not be renewed is over at its time, whatever the database is doing."""
        while True:
            await self.until(lambda: self._term > 0)
            term = self._term
            while self.held and self._term == term:
                await self._clock.sleep(max(0.01, self._until - self._clock.monotonic()))
            if self._term == term:
                self._log.warning("lease.lapsed", role=self._me.role, term=term)
                self._set(term=0, leader="")

    async def _attempt(self) -> None:
        try:
            await (self._renew(self._term) if self._term else self._look())
        except FxError as failure:
            self._log.debug("lease.not_asked", error=str(failure))

    async def _renew(self, term: int) -> None:
        sent = self._clock.monotonic()
        renewed = sa.update(_LEASES).where(*self._mine, _LEASES.c.term == term).values(expires=self._expiry)
        if await self._database.write(lambda connection: connection.execute(renewed).rowcount):
            self._until = sent + self._hold_s
        elif self._term == term:
            self._log.warning("lease.lost", role=self._me.role, term=term)
            self._set(term=0, leader="")

    async def _look(self) -> None:
        lease = await self._database.read(_read)
        if lease is None or lease.over or lease.holder == self._me.holder:
            await self._take()
        else:
            self._set(term=0, leader=lease.address)

    async def _take(self) -> None:
        sent = self._clock.monotonic()
        term = await self._database.write(self._taken)
        if term is None:
            return  # another one was quicker: seen at the next look
        self._until = sent + self._hold_s
        self._log.info("lease.taken", role=self._me.role, term=term)
        self._set(term=term, leader="")

    def _taken(self, connection: sa.Connection) -> int | None:
        # Who has the data folder of the holder knows that the holder is gone.
        free = sa.or_(_LEASES.c.expires <= _NOW, _LEASES.c.holder == self._me.holder)
        me = {"holder": self._me.holder, "instance": self._me.instance, "address": self._me.address}
        taking = (
            sa.update(_LEASES).where(_ROW, free).values(term=_LEASES.c.term + 1, expires=self._expiry, **me)
        )
        if connection.execute(sa.select(_LEASES.c.term).where(_ROW)).first() is None:
            nobody = {"holder": "", "instance": "", "address": ""}
            first = adding(connection, _LEASES).values(account_id=ALL, term=0, expires=_OVER, **nobody)
            connection.execute(first)
        return connection.execute(taking.returning(_LEASES.c.term)).scalar_one_or_none()


def _read(connection: sa.Connection) -> _Lease | None:
    asked = sa.select(_LEASES.c.holder, _LEASES.c.address, _LEASES.c.expires <= _NOW).where(_ROW)
    row = connection.execute(asked).first()
    return None if row is None else _Lease(*row)


def withheld(connection: sa.Connection) -> bool:
    """Whether a process holds the lease. Until the end of the transaction at hand none takes it."""
    METADATA.create_all(connection)
    connection.execute(sa.text(f"LOCK TABLE {_LEASES.name} IN SHARE ROW EXCLUSIVE MODE"))
    held = sa.select(_LEASES.c.term).where(_ROW, _LEASES.c.expires > _NOW)
    return connection.execute(held).first() is not None


def lease_lost(detail: str) -> FxError:
    """What was asked for is another process's to do: asked again, it goes there."""
    return FxError(Kind.UNAVAILABLE, "LEASE_LOST", detail, retry_after_s=1.0)
