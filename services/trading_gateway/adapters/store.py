"""The durable truth of trading in a database: every commit is one transaction on the one writer thread,
events included.

A commit is refused unless its journal entries follow on the last one stored. So when one fails, everything
that was applied after it fails too, and the books are built again from what is here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import astuple
from typing import Any, TypeVar

import sqlalchemy as sa

from services.crash import crash_point
from services.errors import FxError, Kind
from services.runtime.database import replacing
from services.runtime.store import Database
from services.tracing import Story
from services.trading_gateway import wire
from services.trading_gateway.adapters import past
from services.trading_gateway.adapters.batches import Batch
from services.trading_gateway.adapters.rows import ARRIVAL, OtherRowError, Rows
from services.trading_gateway.adapters.schema import Schema
from services.trading_gateway.domain import plain
from services.trading_gateway.domain.accounts import NOTHING_SAID, Standing
from services.trading_gateway.domain.book import Saved
from services.trading_gateway.domain.changes import Answered, Changes, Decision, JournalEntry
from services.trading_gateway.domain.events import Event
from services.trading_gateway.domain.feeds import FeedState
from services.trading_gateway.domain.fills import Fill, LedgerEntry
from services.trading_gateway.domain.histories import History
from services.trading_gateway.domain.inputs import Signal
from services.trading_gateway.domain.limits import LimitChange
from services.trading_gateway.domain.markets import Session
from services.trading_gateway.domain.order_rate import of_one_second
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.positions import Position
from services.trading_gateway.domain.reconcile import Misfilled
from services.trading_gateway.domain.transactions import Transaction
from services.trading_gateway.domain.values import FINAL_STATUSES, OrderStatus
from services.trading_gateway.ports import DecisionQuery, FillQuery, OrderQuery, Told

T = TypeVar("T")
_WORKING = [each.value for each in OrderStatus if each not in FINAL_STATUSES]
"""Asked for by name, so that an index finds them: orders that are over are as many as the years make them."""


class TradingStore:
    """The Store port on one database."""

    def __init__(self, database: Database, schema: Schema) -> None:
        self._database = database
        self._schema = schema
        self._batch: Batch | None = None
        """The last one; it takes more until the writer thread begins with it."""
        self._last_entry = sa.select(sa.func.max(schema.journal.table.c.number))
        tickets = schema.tickets.table.c
        of = (tickets.account_id, tickets.symbol)
        self._ticket_revisions = sa.select(*of, sa.func.max(tickets.revision)).group_by(*of)
        orders = schema.orders.table
        self._by_id = sa.select(orders).where(orders.c.order_id == sa.bindparam("wanted"))

    async def commit(self, changes: Changes, told: Told) -> None:
        """One transaction, shared with what waits for the database at the same time. Raises FxError
        UNAVAILABLE `STORE_UNAVAILABLE` when an earlier commit failed.
        """
        if self._batch is None or not self._batch.add(changes, told):
            self._batch = Batch(changes, told)
            self._batch.begin(self._database, self._write)
        await self._batch.written()

    async def stories(self) -> dict[str, Story]:
        """Of undecided signals and of orders that are not over, by their ids."""
        table, orders, signals = (
            self._schema.stories,
            self._schema.orders.table.c,
            self._schema.signals.table.c,
        )
        working = sa.select(orders.order_id).where(orders.status.in_(_WORKING))
        undecided = sa.select(signals.signal_id).where(signals.decided == sa.false())
        wanted = sa.select(table).where(table.c.key.in_(working.union_all(undecided)))
        return await self._database.read(
            lambda connection: {row[0]: Story(*row[1:]) for row in connection.execute(wanted)}
        )

    async def load(self) -> Saved:
        """What the books are rebuilt from."""
        return await self._database.read(self._load)

    async def order(self, order_id: str) -> Order | None:
        """Any order ever placed."""
        found = await self._read(self._schema.orders, self._by_id, {"wanted": order_id})
        return found[0] if found else None

    async def executions(self, order_id: str) -> Sequence[str]:
        """Execution ids of an order's fills."""
        table = self._schema.fills.table
        fills = sa.select(table).where(table.c.order_id == order_id).order_by(table.c.number)
        return [each.execution_id for each in await self._read(self._schema.fills, fills)]

    async def cash_booked(self, account_id: str, transaction_ids: Collection[str]) -> set[str]:
        """Those of a venue's transactions that were booked."""
        table = self._schema.venue_cash.table
        known = sa.select(table).where(
            table.c.account_id == account_id, table.c.transaction_id.in_(transaction_ids)
        )
        return {each.transaction_id for each in await self._read(self._schema.venue_cash, known)}

    async def orders(self, query: OrderQuery) -> list[Order]:
        """A page of orders, newest first."""
        columns = self._schema.orders.table.c
        conditions = [columns.account_id == query.account_id] if query.account_id else []
        if query.symbols:
            conditions.append(columns.symbol.in_(query.symbols))
        if query.statuses:
            conditions.append(columns.status.in_([each.value for each in query.statuses]))
        if query.parent_id:
            conditions.append(columns.parent_id == query.parent_id)
        return await self._page(self._schema.orders, conditions, query.before, query.limit)

    async def fills(self, query: FillQuery) -> list[Fill]:
        """A page of fills, newest first."""
        columns = self._schema.fills.table.c
        conditions = [columns.account_id == query.account_id] if query.account_id else []
        if query.symbols:
            conditions.append(columns.symbol.in_(query.symbols))
        if query.order_id:
            conditions.append(columns.order_id == query.order_id)
        return await self._page(self._schema.fills, conditions, query.before, query.limit)

    async def all_fills(self, account_id: str) -> list[Fill]:
        """All fills of an account in the order of booking."""
        table = self._schema.fills.table
        fills = sa.select(table).where(table.c.account_id == account_id).order_by(table.c.number)
        return await self._read(self._schema.fills, fills)

    async def misfilled(self, account_id: str) -> list[Misfilled]:
        """Orders of an account that say another size to be filled than their fills come to."""
        return await self._database.read(lambda reader: past.misfilled(reader, self._schema, account_id))

    async def history(self, position: tuple[str, str, str], executions: Collection[str]) -> History:
        """All fills of a position, and what was posted for some of them."""
        schema = self._schema
        return await self._database.read(lambda reader: past.history(reader, schema, position, executions))

    async def busted(self, executions: Collection[str]) -> set[str]:
        """Those of some executions that were taken back."""
        return await self._database.read(lambda reader: past.busted(reader, self._schema, executions))

    async def ledger(self, account_id: str, after: int, limit: int) -> list[LedgerEntry]:
        """Postings after an entry, in order."""
        table = self._schema.ledger.table
        entries = sa.select(table).where(table.c.account_id == account_id, table.c.entry > after)
        return await self._read(self._schema.ledger, entries.order_by(table.c.entry).limit(limit))

    async def transactions(self, account_id: str, after: int, limit: int | None = None) -> list[Transaction]:
        """Double-entry transactions after a number, in order."""
        table = self._schema.transactions
        bodies = (
            sa.select(table.c.body)
            .where(table.c.account_id == account_id, table.c.number > after)
            .order_by(table.c.number)
            .limit(limit)
        )
        return await self._database.read(
            lambda connection: [plain.load(Transaction, body) for body in connection.scalars(bodies)]
        )

    async def closed_tickets(self, account_id: str) -> list[Position]:
        """Closed positions of a hedging account."""
        table = self._schema.tickets.table
        closed = sa.select(table).where(table.c.account_id == account_id, table.c.size == 0)
        return await self._read(self._schema.tickets, closed)

    async def limit_changes(self, account_id: str, before: int | None, limit: int) -> list[LimitChange]:
        """Changes of an account's limits, newest first."""
        table = self._schema.limit_changes.table
        return await self._page(self._schema.limit_changes, [table.c.account_id == account_id], before, limit)

    async def answer(self, request_id: str) -> Answered | None:
        """What a request id was used for, and its answer."""
        table = self._schema.answers.table
        found = await self._read(
            self._schema.answers, sa.select(table).where(table.c.request_id == request_id)
        )
        return found[0] if found else None

    async def signal_known(self, signal_id: str) -> bool:
        """True when a signal has come before."""
        table = self._schema.signals.table
        return bool(
            await self._read(self._schema.signals, sa.select(table).where(table.c.signal_id == signal_id))
        )

    async def decisions(self, query: DecisionQuery) -> list[Decision]:
        """A page of automatic decisions."""
        table = self._schema.decisions.table
        place = (table.c.time_ns, table.c.signal_id)
        found = sa.select(table).where(table.c.account_id == query.account_id)
        if query.symbols:
            found = found.where(table.c.symbol.in_(query.symbols))
        if query.ordered_only:
            found = found.where(table.c.order_id != "")
        if query.before is not None:
            found = found.where(sa.tuple_(*place) < sa.tuple_(*query.before))
        newest = found.order_by(*(each.desc() for each in place)).limit(query.limit)
        return await self._read(self._schema.decisions, newest)

    async def orders_for(self, account_id: str, signal_ids: Collection[str]) -> list[Order]:
        """Orders of an account that were placed for signals, in the order of placing."""
        table = self._schema.orders.table
        found = sa.select(table).where(table.c.signal_id.in_(signal_ids), table.c.signal_id != "")
        return await self._read(
            self._schema.orders, found.where(table.c.account_id == account_id).order_by(table.c.number)
        )

    async def fills_of(self, order_ids: Collection[str]) -> list[Fill]:
        """All fills of orders, in the order of booking."""
        table = self._schema.fills.table
        found = sa.select(table).where(table.c.order_id.in_(order_ids)).order_by(table.c.number)
        return await self._read(self._schema.fills, found)

    async def correlations(self, keys: Collection[str]) -> dict[str, str]:
        """Correlation ids of signals and orders, by their ids, where there are any."""
        table = self._schema.stories
        found = sa.select(table.c.key, table.c.correlation_id).where(
            table.c.key.in_(keys), table.c.correlation_id != ""
        )
        return await self._database.read(
            lambda connection: {row[0]: row[1] for row in connection.execute(found)}
        )

    async def journal(self, after: int, limit: int) -> list[JournalEntry]:
        """Journal entries after a number, in order."""
        table = self._schema.journal.table
        entries = sa.select(table).where(table.c.number > after).order_by(table.c.number).limit(limit)
        return await self._read(self._schema.journal, entries)

    # Writing, on the writer thread

    def _write(self, connection: sa.Connection, changes: Changes, told: Told) -> None:
        self._check_sequence(connection, changes)
        schema, driver = self._schema, connection.dialect.loaded_dbapi
        try:
            schema.journal.add(connection, changes.journal)
            crash_point("trading.journaled", *changes.inputs)
            schema.orders.put(connection, changes.orders.values())
            schema.answers.add(connection, changes.answers)
        except (driver.IntegrityError, OtherRowError) as clash:
            # These keys are looked up before they are used: a commit that was given up was made all the same.
            # Whatever else is there twice is a fault of ours, which no reading again will mend.
            raise _behind("a row is there that the books do not know") from clash
        positions = changes.positions.values()
        schema.positions.put(connection, (each for each in positions if not each.position_id))
        schema.tickets.put(connection, (each for each in positions if each.position_id))
        schema.accounts.put(connection, changes.accounts.values())
        schema.fills.add(connection, changes.fills)
        schema.ledger.add(connection, changes.ledger)
        transactions = [(each.account_id, each.number, plain.dump(each)) for each in changes.transactions]
        schema.add_transactions.write(connection, transactions)
        schema.limits.put(connection, changes.limits.values())
        schema.cursors.put(connection, changes.cursors.values())
        schema.venue_cash.add(connection, changes.venue_cash)
        schema.limit_changes.add(connection, changes.limit_changes)
        schema.decisions.add(connection, changes.decisions)
        schema.signals.put(connection, changes.signals.values())
        self._write_markets(connection, changes)
        stories = [(key, *astuple(story)) for key, story in told.stories.items()]
        schema.add_stories.write(connection, stories)
        crash_point("trading.rows_written", *changes.inputs)
        self._write_events(connection, changes.events, told.events)
        crash_point("trading.events_written", *changes.inputs)

    def _write_markets(self, connection: sa.Connection, changes: Changes) -> None:
        schema = self._schema
        for session in changes.sessions.values():
            row = {"session_id": session.session_id, "body": plain.dump(session)}
            connection.execute(replacing(connection, schema.sessions), row)
        feeds = [(*key, plain.dump(state)) for key, state in changes.feeds.items()]
        schema.put_feeds.write(connection, feeds)
        if changes.standing is not None:
            row = {"of": "all", "body": plain.dump(changes.standing)}
            connection.execute(replacing(connection, schema.standing), row)

    def _write_events(
        self, connection: sa.Connection, told: Sequence[Event], stories: Sequence[Story]
    ) -> None:
        events = zip(map(wire.event, told), wire.causes(told), stories, strict=True)
        self._schema.outbox.append_all(connection, events)

    def _check_sequence(self, connection: sa.Connection, changes: Changes) -> None:
        """Nothing may follow a commit that failed: the books it rests on were never stored."""
        last = connection.execute(self._last_entry).scalar_one() or 0
        if changes.follows != last:
            detail = f"a commit before this one failed: the journal ends at {last}, not {changes.follows}"
            raise _behind(detail)

    # Reading

    def _load(self, connection: sa.Connection) -> Saved:
        schema = self._schema
        orders, fills, signals = schema.orders.table, schema.fills.table, schema.signals.table
        working = sa.select(orders).where(orders.c.status.in_(_WORKING))
        executions = (
            sa.select(fills.c.order_id, fills.c.execution_id)
            .join(orders, orders.c.order_id == fills.c.order_id)
            .where(orders.c.status.in_(_WORKING))
        )
        # A row keeps its place when it is decided about: the order in which signals came.
        waiting = signals.c.decided == sa.false()
        undecided = sa.select(signals).where(waiting).order_by(ARRIVAL)
        counts = sa.select(signals.c.session_id, sa.func.count()).group_by(signals.c.session_id)
        return Saved(
            accounts=tuple(schema.accounts.read(connection, sa.select(schema.accounts.table))),
            standing=self._standing(connection),
            orders=tuple(schema.orders.read(connection, working)),
            executions=tuple((row[0], row[1]) for row in connection.execute(executions)),
            positions=(
                *schema.positions.read(connection, sa.select(schema.positions.table)),
                *self._tickets(connection),
            ),
            ticket_revisions=tuple(
                (row[0], row[1], row[2]) for row in connection.execute(self._ticket_revisions)
            ),
            sessions=tuple(
                plain.load(Session, row.body) for row in connection.execute(sa.select(schema.sessions))
            ),
            feeds=tuple(
                plain.load(FeedState, row.body) for row in connection.execute(sa.select(schema.feeds))
            ),
            signal_counts=tuple((row[0], row[1]) for row in connection.execute(counts)),
            undecided=tuple(plain.load(Signal, row.body) for row in connection.execute(undecided)),
            limits=tuple(schema.limits.read(connection, sa.select(schema.limits.table))),
            cursors=tuple(schema.cursors.read(connection, sa.select(schema.cursors.table))),
            limit_change_number=self._last(connection, schema.limit_changes),
            placed=tuple(self._placed(connection)),
            order_number=self._last(connection, schema.orders),
            fill_number=self._last(connection, schema.fills),
            journal_number=self._last(connection, schema.journal),
        )

    def _tickets(self, connection: sa.Connection) -> Iterator[Position]:
        """Those that are open, and those that orders at work may still change."""
        rows, orders = self._schema.tickets, self._schema.orders.table.c
        tickets = rows.table.c
        for of in (orders.order_id, orders.position_id):
            worked_on = (
                sa.select(rows.table)
                .join(self._schema.orders.table, (of == tickets.position_id))
                .where(
                    orders.account_id == tickets.account_id, orders.status.in_(_WORKING), tickets.size == 0
                )
            )
            yield from rows.read(connection, worked_on)
        yield from rows.read(connection, sa.select(rows.table).where(tickets.size != 0))

    def _placed(self, connection: sa.Connection) -> Iterator[tuple[str, int]]:
        """Orders that count, of each account's last second that had any: what its rate goes on from."""
        orders = self._schema.orders.table.c
        for account_id in connection.scalars(sa.select(self._schema.accounts.table.c.account_id)).all():
            counted = sa.select(orders.created_ns).where(orders.account_id == account_id, orders.counted)
            times = connection.scalars(counted.order_by(orders.number.desc()))
            if (newest := next(times, None)) is not None:
                lately = (newest, *of_one_second(times, newest))
                yield from ((account_id, each) for each in reversed(lately))

    def _standing(self, connection: sa.Connection) -> Standing:
        body = connection.execute(sa.select(self._schema.standing.c.body)).scalar_one_or_none()
        return NOTHING_SAID if body is None else plain.load(Standing, body)

    @staticmethod
    def _last(connection: sa.Connection, rows: Rows[Any]) -> int:
        last: int | None = connection.execute(sa.select(sa.func.max(rows.table.c.number))).scalar_one()
        return last or 0

    async def _read(
        self, rows: Rows[T], statement: sa.Select[Any], given: Mapping[str, Any] | None = None
    ) -> list[T]:
        return await self._database.read(lambda connection: rows.read(connection, statement, given))

    async def _page(
        self, rows: Rows[T], conditions: list[sa.ColumnElement[bool]], before: int | None, limit: int
    ) -> list[T]:
        number = rows.table.c.number
        if before is not None:
            conditions.append(number < before)
        return await self._read(
            rows, sa.select(rows.table).where(*conditions).order_by(number.desc()).limit(limit)
        )


def _behind(detail: str) -> FxError:
    """The books rest on another state than the one that is stored: they are to be built anew."""
    return FxError(Kind.UNAVAILABLE, "STORE_UNAVAILABLE", detail, retry_after_s=1.0)
