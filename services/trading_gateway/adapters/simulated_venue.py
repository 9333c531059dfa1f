"""The simulated venue behind the Venue port: a database file of its own, sessions that come and go.

What it answered is on the disk before it answers, so it outlives the gateway that runs it as a venue would.
Its conditions decide which orders never arrive, which answers never come and when the session drops.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path
from typing import TypeAlias

import sqlalchemy as sa

from services.errors import FxError
from services.runtime.store import SqliteStore
from services.trading_gateway.domain import plain
from services.trading_gateway.domain import reports as kinds
from services.trading_gateway.domain.conditions import Conditions, Fate
from services.trading_gateway.domain.feeds import Quote
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.reports import Accepted, CashMoved, Report
from services.trading_gateway.domain.simulated import Kept, Logged, SimulatedBooks, Step
from services.trading_gateway.domain.venue_views import Heard, Snapshot, VenueOrder
from services.trading_gateway.ports import (
    KeyTakenError,
    NotSentError,
    OutcomeUnknownError,
    SessionClosed,
    SessionOpened,
    VenueNotice,
    VenueRefusedError,
)

Funds: TypeAlias = tuple[str, str, str]
"""Account, currency, cash."""


class VenueTables:
    """The tables of a simulated venue, made anew for each file."""

    def __init__(self) -> None:
        self.metadata = metadata = sa.MetaData()
        self.orders = sa.Table(
            "orders",
            metadata,
            sa.Column("order_id", sa.Text, primary_key=True),
            sa.Column("body", sa.Text, nullable=False),
        )
        self.reports = sa.Table(
            "reports",
            metadata,
            sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column("kind", sa.Text, nullable=False),
            sa.Column("body", sa.Text, nullable=False),
        )


class SimulatedVenue:
    """The Venue port on one file. `open` before anything else."""

    def __init__(self, path: Path, conditions: Conditions, funds: Iterable[Funds] = ()) -> None:
        """`funds`: the accounts whose cash it keeps, and what they began with."""
        self._funds = tuple(funds)
        self._tables = VenueTables()
        self._database = SqliteStore.open(path, self._tables.metadata)
        self._conditions = conditions
        self._books: SimulatedBooks | None = None
        self._session: asyncio.Event | None = None
        """Of the session that is open: set when there is something to tell."""
        self._writing = asyncio.Lock()
        self._durable = 0
        """Reports that are on the disk."""

    async def open(self) -> None:
        """Read what the file holds."""
        self._books = await self._database.read(self._load)
        self._durable = len(self._books.log)

    async def close(self) -> None:
        """End the session and close the file."""
        self.drop()
        await self._database.close()

    def drop(self) -> None:
        """The session ends, from the venue's side."""
        if self._session is not None:
            session, self._session = self._session, None
            session.set()

    # The market

    async def quote(self, quote: Quote) -> None:
        """A quote of its market: what works may fill."""
        async with self._writing:
            await self._keep(self.books.quote(quote))

    async def move_cash(self, moved: CashMoved) -> None:
        """It moves cash by itself."""
        async with self._writing:
            await self._keep(self.books.move_cash(moved))

    async def bust(self, order_id: str, execution_id: str, time_ns: int, detail: str = "") -> None:
        """It takes one of its executions back."""
        async with self._writing:
            await self._keep(self.books.bust(order_id, execution_id, time_ns, detail))

    # The port

    async def submit(self, order: Order) -> None:
        """As the port says."""
        self._require_session()
        fate = self._conditions.fate(order.order_id)
        if fate is Fate.LOST:
            raise OutcomeUnknownError("no answer came")
        async with self._writing:
            if self.books.same(order) is False:
                raise KeyTakenError(order.order_id)
            await self._keep(self.books.submit(order, self._time(order)), order.order_id, "submit")
        if fate is Fate.UNANSWERED:
            raise OutcomeUnknownError("no answer came")

    async def amend(self, order: Order) -> None:
        """As the port says."""
        self._require_session()
        async with self._writing:
            self._require_known(order)
            await self._keep(self.books.amend(order, self._time(order)), order.order_id, "amend")

    async def cancel(self, order: Order) -> None:
        """As the port says."""
        self._require_session()
        async with self._writing:
            self._require_known(order)
            step = self.books.cancel(
                order.order_id, self._time(order), order.reason or "CANCELLED", order.reason_detail
            )
            await self._keep(step, order.order_id, "cancel")

    async def order(self, order_id: str) -> VenueOrder | None:
        """As the port says."""
        self._require_session()
        async with self._writing:
            return self.books.order(order_id)

    async def snapshot(self) -> Snapshot:
        """As the port says; it tells cash of the accounts whose cash it keeps."""
        self._require_session()
        async with self._writing:
            return self.books.snapshot()

    async def changes(self, cursor: str) -> Heard:
        """As the port says."""
        self._require_session()
        async with self._writing:
            return self.books.after(cursor)

    async def reports(self, cursor: str) -> AsyncGenerator[VenueNotice, None]:
        """As the port says. It never tells that it has an order whose answer is to be lost."""
        self.drop()
        session = self._session = asyncio.Event()
        try:
            yield SessionOpened()
            told = int(cursor or 0)
            while self._session is session:
                session.clear()
                while told < self._durable and self._session is session:
                    report = self.books.log[told].report
                    told += 1
                    if not self._withheld(report):
                        yield report
                if self._session is session and told == self._durable:
                    await session.wait()
            yield SessionClosed("the venue closed the session")
        finally:
            if self._session is session:
                self._session = None

    # Inside

    @property
    def books(self) -> SimulatedBooks:
        """What it knows, for whoever compares."""
        if self._books is None:
            raise RuntimeError("open the venue first")
        return self._books

    def _withheld(self, report: Report) -> bool:
        return isinstance(report, Accepted) and self._conditions.fate(report.order_id) is Fate.UNANSWERED

    def _require_session(self) -> None:
        if self._session is None:
            raise NotSentError("no session with the venue is open")

    def _require_known(self, order: Order) -> None:
        if order.order_id not in self.books.orders:
            raise VenueRefusedError("UNKNOWN_ORDER", f"no order {order.order_id}")

    def _time(self, order: Order) -> int:
        quote = self.books.quotes.get(order.symbol)
        return max(order.updated_ns, 0 if quote is None else quote.time_ns)

    async def _keep(self, step: Step, order_id: str = "", request: str = "") -> None:
        """What changed is on the disk before anybody hears of it. May end the session."""
        if step.orders or step.reports:
            # What was begun is finished, whether or not the caller still waits for it.
            await asyncio.shield(asyncio.ensure_future(self._store(step)))
        if request and self._conditions.drops(order_id, request):
            self.drop()
            raise OutcomeUnknownError("the session broke before the answer")
        if self._session is not None:
            self._session.set()

    async def _store(self, step: Step) -> None:
        try:
            await self._database.write(lambda connection: self._write(connection, step))
        except FxError as failure:
            await self.open()  # as the file has it
            raise NotSentError(f"the venue could not store it: {failure}") from failure
        self._durable = max(self._durable, *(each.number for each in step.reports), 0)

    def _write(self, connection: sa.Connection, step: Step) -> None:
        orders, reports = self._tables.orders, self._tables.reports
        for kept in step.orders:
            order_id = kept.order.order_id
            connection.execute(sa.delete(orders).where(orders.c.order_id == order_id))
            connection.execute(sa.insert(orders).values(order_id=order_id, body=plain.dump(kept)))
        for logged in step.reports:
            kind = type(logged.report).__name__
            connection.execute(
                sa.insert(reports).values(number=logged.number, kind=kind, body=plain.dump(logged.report))
            )

    def _load(self, connection: sa.Connection) -> SimulatedBooks:
        orders, reports = self._tables.orders, self._tables.reports
        kept = [plain.load(Kept, body) for body in connection.scalars(sa.select(orders.c.body))]
        log = [
            Logged(row.number, plain.load(getattr(kinds, row.kind), row.body))
            for row in connection.execute(sa.select(reports).order_by(reports.c.number))
        ]
        books = SimulatedBooks(self._conditions, kept, log)
        for each in self._funds:
            books.cash.fund(*each)
        return books
