"""The tables of trading. The journal, the state it led to and the outbox lie in one database, for one
transaction.
"""

from __future__ import annotations

import sqlalchemy as sa

from services.runtime.database import adding, replacing
from services.runtime.outbox import Outbox
from services.runtime.row_writer import RowWriter
from services.trading_gateway.adapters.rows import Rows
from services.trading_gateway.domain.accounts import Account
from services.trading_gateway.domain.changes import (
    Answered,
    Decision,
    JournalEntry,
    SignalNote,
    VenueCash,
    VenueCursor,
)
from services.trading_gateway.domain.fills import Fill, LedgerEntry
from services.trading_gateway.domain.limits import LimitChange, LimitSetting
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.positions import Position

_OF_AN_ORDER = (
    "number",
    "account_id",
    "client_order_id",
    "scope",
    "symbol",
    "side",
    "type",
    "time_in_force",
    "origin",
    "created_ns",
    "terms_key",
    "signal_id",
    "parent_id",
    "link_id",
    "position_id",
)
"""What is settled when it is placed."""


class Schema:
    """Tables, made anew for each store: metadata is never shared between databases."""

    def __init__(self) -> None:
        self.metadata = metadata = sa.MetaData()
        self.orders = Rows(Order, "orders", ("order_id",), metadata, constant=_OF_AN_ORDER, same="number")
        self.fills = Rows(Fill, "fills", ("execution_id",), metadata)
        self.ledger = Rows(LedgerEntry, "ledger", ("account_id", "entry"), metadata)
        self.positions = Rows(Position, "positions", ("account_id", "symbol"), metadata)
        # Those of hedging accounts, beside a table of earlier releases whose key has no position.
        self.tickets = Rows(Position, "tickets", ("account_id", "position_id"), metadata)
        self.accounts = Rows(Account, "accounts", ("account_id",), metadata)
        self.journal = Rows(JournalEntry, "journal", ("number",), metadata)
        self.limits = Rows(LimitSetting, "limits", ("account_id", "symbol", "name"), metadata)
        self.limit_changes = Rows(LimitChange, "limit_changes", ("number",), metadata)
        self.answers = Rows(Answered, "answers", ("request_id",), metadata)
        self.decisions = Rows(Decision, "decisions", ("signal_id", "account_id"), metadata)
        self.signals = Rows(SignalNote, "signals", ("signal_id",), metadata, arriving=True)
        self.cursors = Rows(VenueCursor, "venue_cursors", ("venue",), metadata)
        self.venue_cash = Rows(VenueCash, "venue_cash", ("account_id", "transaction_id"), metadata)
        # What is never searched: JSON of the value beside its key.
        self.sessions = sa.Table(
            "sessions",
            metadata,
            sa.Column("session_id", sa.Text, primary_key=True),
            sa.Column("body", sa.Text, nullable=False),
        )
        self.feeds = sa.Table(
            "feeds",
            metadata,
            sa.Column("scope", sa.Text, primary_key=True),
            sa.Column("symbol", sa.Text, primary_key=True),
            sa.Column("body", sa.Text, nullable=False),
        )
        # One row once anything was said of all accounts.
        self.standing = sa.Table(
            "standing",
            metadata,
            sa.Column("of", sa.Text, primary_key=True),
            sa.Column("body", sa.Text, nullable=False),
        )
        # Double entry: whole transactions, read only whole.
        self.transactions = sa.Table(
            "transactions",
            metadata,
            sa.Column("account_id", sa.Text, primary_key=True),
            sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("body", sa.Text, nullable=False),
        )
        # Which request or event a signal or order belongs to; written once, read after a restart.
        self.stories = sa.Table(
            "stories",
            metadata,
            sa.Column("key", sa.Text, primary_key=True),
            sa.Column("traceparent", sa.Text, nullable=False),
            sa.Column("correlation_id", sa.Text, nullable=False),
            sa.Column("causation_id", sa.Text, nullable=False),
        )
        self.outbox = Outbox(metadata)
        self.add_transactions = RowWriter(self.transactions)
        self.add_stories = RowWriter(self.stories, make=adding)
        self.put_feeds = RowWriter(self.feeds, make=replacing)
        orders, fills = self.orders.table.c, self.fills.table.c
        changes = self.limit_changes.table.c
        sa.Index("limit_changes_by_account", changes.account_id, changes.number)
        sa.Index("orders_by_number", orders.number, unique=True)
        sa.Index("orders_by_account", orders.account_id, orders.number)
        sa.Index("orders_by_status", orders.status)
        sa.Index("orders_by_parent", orders.parent_id)
        tickets = self.tickets.table.c
        is_open = tickets.size != 0
        sa.Index("tickets_open", tickets.account_id, sqlite_where=is_open, postgresql_where=is_open)
        sa.Index("tickets_by_symbol", tickets.account_id, tickets.symbol, tickets.revision)
        # Most orders have no signal, and cost nothing here.
        with_signal = orders.signal_id != ""
        sa.Index("orders_by_signal", orders.signal_id, sqlite_where=with_signal, postgresql_where=with_signal)
        sa.Index("fills_by_number", fills.number, unique=True)
        sa.Index("fills_by_account", fills.account_id, fills.number)
        sa.Index("fills_by_order", fills.order_id)
        takes_back = fills.busts != ""
        sa.Index("fills_busted", fills.busts, sqlite_where=takes_back, postgresql_where=takes_back)
        sa.Index("signals_by_session", self.signals.table.c.session_id)
        sa.Index("signals_undecided", self.signals.table.c.decided)
