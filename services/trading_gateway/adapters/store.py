"""The durable truth of trading in SQLite: every commit is one transaction on the one writer thread, events
included.

A commit is refused unless its journal entries follow on the last one stored. So when one fails, everything
that was applied after it fails too, and the books are built again from what is here.
"""

from __future__ import annotations

import contextvars
from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from services.errors import FxError, Kind
from services.runtime.store import SqliteStore
from services.tracing import Story
from services.trading_gateway import wire
from services.trading_gateway.adapters.rows import Rows
from services.trading_gateway.adapters.schema import Schema
from services.trading_gateway.domain import plain
from services.trading_gateway.domain.accounts import NOTHING_SAID, Standing
from services.trading_gateway.domain.book import Saved
from services.trading_gateway.domain.changes import Answered, Changes, Decision, JournalEntry
from services.trading_gateway.domain.feeds import FeedState
from services.trading_gateway.domain.fills import Fill, LedgerEntry
from services.trading_gateway.domain.inputs import Signal
from services.trading_gateway.domain.limits import LimitChange
from services.trading_gateway.domain.markets import Session
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.transactions import Transaction
from services.trading_gateway.domain.values import FINAL_STATUSES
from services.trading_gateway.ports import DecisionQuery, FillQuery, OrderQuery, Told

T = TypeVar("T")


class SqliteTradingStore:
    """The Store port on one database file."""

    def __init__(self, database: SqliteStore, schema: Schema) -> None:
        self._database = database
        self._schema = schema

    async def commit(self, changes: Changes, told: Told) -> None:
        """One transaction. Raises FxError UNAVAILABLE `STORE_UNAVAILABLE` when an earlier commit failed."""
        # The writer thread has no context of its own; the outbox notes whose work the events are.
        context = contextvars.copy_context()
        await self._database.write(lambda connection: context.run(self._write, connection, changes, told))

    async def stories(self) -> dict[str, Story]:
        """Of undecided signals and of orders that are not over, by their ids."""
        table, orders, signals = (
            self._schema.stories,
            self._schema.orders.table.c,
            self._schema.signals.table.c,
        )
        working = sa.select(orders.order_id).where(
            orders.status.not_in([each.value for each in FINAL_STATUSES])
        )
        undecided = sa.select(signals.signal_id).where(~signals.decided)
        wanted = sa.select(table).where(table.c.key.in_(working.union_all(undecided)))
        return await self._database.read(
            lambda connection: {row[0]: Story(*row[1:]) for row in connection.execute(wanted)}
        )

    async def load(self) -> Saved:
        """What the books are rebuilt from."""
        return await self._database.read(self._load)

    async def order(self, order_id: str) -> Order | None:
        """Any order ever placed."""
        table = self._schema.orders.table
        found = await self._read(self._schema.orders, sa.select(table).where(table.c.order_id == order_id))
        return found[0] if found else None

    async def executions(self, order_id: str) -> Sequence[str]:
        """Execution ids of an order's fills."""
        table = self._schema.fills.table
        fills = sa.select(table).where(table.c.order_id == order_id).order_by(table.c.number)
        return [each.execution_id for each in await self._read(self._schema.fills, fills)]

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
        schema = self._schema
        self._check_sequence(connection, changes)
        _add(connection, schema.journal, changes.journal)
        _upsert(connection, schema.orders, changes.orders.values())
        positions = changes.positions.values()
        _upsert(connection, schema.positions, (each for each in positions if not each.position_id))
        _upsert(connection, schema.tickets, (each for each in positions if each.position_id))
        _upsert(connection, schema.accounts, changes.accounts.values())
        _add(connection, schema.fills, changes.fills)
        _add(connection, schema.ledger, changes.ledger)
        _add_transactions(connection, schema.transactions, changes.transactions)
        _upsert(connection, schema.limits, changes.limits.values())
        _add(connection, schema.limit_changes, changes.limit_changes)
        _add(connection, schema.decisions, changes.decisions)
        _upsert(connection, schema.signals, changes.signals.values())
        _add(connection, schema.answers, changes.answers)
        for session in changes.sessions.values():
            _put(connection, schema.sessions, {"session_id": session.session_id}, plain.dump(session))
        for (scope, symbol), state in changes.feeds.items():
            _put(connection, schema.feeds, {"scope": scope, "symbol": symbol}, plain.dump(state))
        if changes.standing is not None:
            _put(connection, schema.standing, {"of": "all"}, plain.dump(changes.standing))
        for key, story in told.stories.items():
            _add_story(connection, schema.stories, key, story)
        for event, cause, of in zip(changes.events, wire.causes(changes.events), told.events, strict=True):
            schema.outbox.append(connection, wire.event(event), cause, of)

    def _check_sequence(self, connection: sa.Connection, changes: Changes) -> None:
        """Nothing may follow a commit that failed: the books it rests on were never stored."""
        last = self._last(connection, self._schema.journal)
        if changes.follows != last:
            detail = f"a commit before this one failed: the journal ends at {last}, not {changes.follows}"
            raise FxError(Kind.UNAVAILABLE, "STORE_UNAVAILABLE", detail, retry_after_s=1.0)

    # Reading

    def _load(self, connection: sa.Connection) -> Saved:
        schema = self._schema
        orders, fills, signals = schema.orders.table, schema.fills.table, schema.signals.table
        final = [each.value for each in FINAL_STATUSES]
        working = sa.select(orders).where(orders.c.status.not_in(final))
        executions = (
            sa.select(fills.c.order_id, fills.c.execution_id)
            .join(orders, orders.c.order_id == fills.c.order_id)
            .where(orders.c.status.not_in(final))
        )
        # A row keeps its rowid when it is decided about: the order in which signals came.
        undecided = sa.select(signals).where(~signals.c.decided).order_by(sa.literal_column("rowid"))
        counts = sa.select(signals.c.session_id, sa.func.count()).group_by(signals.c.session_id)
        return Saved(
            accounts=tuple(_values(connection, schema.accounts, sa.select(schema.accounts.table))),
            standing=self._standing(connection),
            orders=tuple(_values(connection, schema.orders, working)),
            executions=tuple((row[0], row[1]) for row in connection.execute(executions)),
            positions=tuple(
                position
                for rows in (schema.positions, schema.tickets)
                for position in _values(connection, rows, sa.select(rows.table))
            ),
            sessions=tuple(
                plain.load(Session, row.body) for row in connection.execute(sa.select(schema.sessions))
            ),
            feeds=tuple(
                plain.load(FeedState, row.body) for row in connection.execute(sa.select(schema.feeds))
            ),
            signal_counts=tuple((row[0], row[1]) for row in connection.execute(counts)),
            undecided=tuple(plain.load(Signal, row.body) for row in connection.execute(undecided)),
            limits=tuple(_values(connection, schema.limits, sa.select(schema.limits.table))),
            limit_change_number=self._last(connection, schema.limit_changes),
            order_number=self._last(connection, schema.orders),
            fill_number=self._last(connection, schema.fills),
            journal_number=self._last(connection, schema.journal),
        )

    def _standing(self, connection: sa.Connection) -> Standing:
        body = connection.execute(sa.select(self._schema.standing.c.body)).scalar_one_or_none()
        return NOTHING_SAID if body is None else plain.load(Standing, body)

    @staticmethod
    def _last(connection: sa.Connection, rows: Rows[Any]) -> int:
        last: int | None = connection.execute(sa.select(sa.func.max(rows.table.c.number))).scalar_one()
        return last or 0

    async def _read(self, rows: Rows[T], statement: sa.Select[Any]) -> list[T]:
        return await self._database.read(lambda connection: _values(connection, rows, statement))

    async def _page(
        self, rows: Rows[T], conditions: list[sa.ColumnElement[bool]], before: int | None, limit: int
    ) -> list[T]:
        number = rows.table.c.number
        if before is not None:
            conditions.append(number < before)
        return await self._read(
            rows, sa.select(rows.table).where(*conditions).order_by(number.desc()).limit(limit)
        )


def _values(connection: sa.Connection, rows: Rows[T], statement: sa.Select[Any]) -> list[T]:
    return [rows.value(dict(row)) for row in connection.execute(statement).mappings()]


def _add(connection: sa.Connection, rows: Rows[T], values: Sequence[T]) -> None:
    if values:
        connection.execute(sa.insert(rows.table), [rows.row(each) for each in values])


def _add_transactions(connection: sa.Connection, table: sa.Table, values: Sequence[Transaction]) -> None:
    if values:
        rows = [
            {"account_id": each.account_id, "number": each.number, "body": plain.dump(each)}
            for each in values
        ]
        connection.execute(sa.insert(table), rows)


def _upsert(connection: sa.Connection, rows: Rows[T], values: Any) -> None:
    content = [rows.row(each) for each in values]
    if content:
        statement = insert(rows.table)
        keys = [each.name for each in rows.table.primary_key]
        others = {name: statement.excluded[name] for name in content[0] if name not in keys}
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=others), content)


def _add_story(connection: sa.Connection, table: sa.Table, key: str, story: Story) -> None:
    connection.execute(insert(table).values(key=key, **asdict(story)).on_conflict_do_nothing())


def _put(connection: sa.Connection, table: sa.Table, key: dict[str, str], body: str) -> None:
    statement = insert(table).values(**key, body=body)
    connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_={"body": body}))
