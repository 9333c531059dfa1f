"""What is asked of fills that are long booked: whether orders agree with them, and the history of a position
of which one is taken back.
"""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from services.trading_gateway.adapters.schema import Schema
from services.trading_gateway.domain import plain
from services.trading_gateway.domain.histories import History
from services.trading_gateway.domain.reconcile import Misfilled
from services.trading_gateway.domain.transactions import Transaction

MOST = 200
"""Executions looked for at a time: a condition may not be of any depth."""


def misfilled(connection: sa.Connection, schema: Schema, account_id: str) -> list[Misfilled]:
    """Orders of an account that say another size to be filled than their fills come to."""
    orders, fills = schema.orders.table.c, schema.fills.table.c
    size = sa.case((fills.busts == "", fills.size), else_=-fills.size)
    by_fills = sa.cast(sa.func.coalesce(sa.func.sum(size), 0), sa.BigInteger)
    found = (
        sa.select(orders.order_id, orders.symbol, orders.filled, by_fills)
        .select_from(schema.orders.table.outerjoin(schema.fills.table, fills.order_id == orders.order_id))
        .where(orders.account_id == account_id)
        .group_by(orders.order_id, orders.symbol, orders.filled)
        .having(by_fills != orders.filled)
        .order_by(orders.order_id)
    )
    return [Misfilled(*row) for row in connection.execute(found)]


def history(
    connection: sa.Connection, schema: Schema, position: tuple[str, str, str], executions: Collection[str]
) -> History:
    """All fills of a position (account, symbol, position id) in the order of booking, and what was posted for
    some executions.
    """
    account_id, symbol, position_id = position
    fills, transactions = schema.fills.table, schema.transactions
    of = (fills.c.account_id == account_id, fills.c.symbol == symbol, fills.c.position_id == position_id)
    booked = schema.fills.read(connection, sa.select(fills).where(*of).order_by(fills.c.number))
    posted: list[Transaction] = []
    wanted = sorted(executions)
    for first in range(0, len(wanted), MOST):
        # A body is searched for what it says: rarely, and without reading the rest.
        some = (f'"reference":"{each}"' for each in wanted[first : first + MOST])
        named = [transactions.c.body.contains(each, autoescape=True) for each in some]
        bodies = (
            sa.select(transactions.c.body)
            .where(transactions.c.account_id == account_id, sa.or_(*named))
            .order_by(transactions.c.number)
        )
        posted += [plain.load(Transaction, body) for body in connection.scalars(bodies)]
    return History(tuple(booked), tuple(posted))


def busted(connection: sa.Connection, schema: Schema, executions: Collection[str]) -> set[str]:
    """Those of some executions that were taken back."""
    fills = schema.fills.table.c
    found = sa.select(fills.busts).where(fills.busts != "", fills.busts.in_(executions))
    return set(connection.scalars(found))
