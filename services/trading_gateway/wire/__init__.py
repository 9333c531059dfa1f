"""Protobuf ↔ domain of trading, both ways, and nowhere else.

`books` (orders, fills, accounts), `ledger` (double entry), `requests` (what callers ask), `events` (what is
published), `market` and `analysis` (what peers answer and send).
"""

from services.trading_gateway.wire.books import (
    account,
    fill,
    flattened,
    ledger_entry,
    order,
    position,
    risk_state,
    session_progress,
)
from services.trading_gateway.wire.events import causes, event
from services.trading_gateway.wire.ledger import reconciliation, transaction
from services.trading_gateway.wire.limits import limit_change, wanted_limits
from services.trading_gateway.wire.requests import fill_query, order_query, terms, trading_state

__all__ = [
    "account",
    "causes",
    "event",
    "fill",
    "fill_query",
    "flattened",
    "ledger_entry",
    "limit_change",
    "order",
    "order_query",
    "position",
    "reconciliation",
    "risk_state",
    "session_progress",
    "terms",
    "trading_state",
    "transaction",
    "wanted_limits",
]
