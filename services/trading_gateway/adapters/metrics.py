"""What trading counts: orders, refusals, fills, busts, decisions, ticks, drift reports."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

from services.trading_gateway.domain.changes import Changes
from services.trading_gateway.domain.events import OrdersRefused
from services.trading_gateway.domain.values import OrderStatus


class PrometheusMeter:
    """The Meter port."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._orders = Counter(
            "fxmesh_trading_orders", "Orders that came to a status.", ["status"], registry=registry
        )
        self._refusals = Counter(
            "fxmesh_trading_refusals", "Orders refused by a pre-trade check.", ["reason"], registry=registry
        )
        self._revisions: dict[str, int] = {}
        """Of orders that are not over, as last counted."""
        self._fills = Counter("fxmesh_trading_fills", "Fills booked.", ["symbol"], registry=registry)
        self._busts = Counter(
            "fxmesh_trading_busts", "Fills taken back by their venue.", ["symbol"], registry=registry
        )
        self._decisions = Counter(
            "fxmesh_trading_decisions", "Automatic decisions by outcome.", ["reason"], registry=registry
        )
        self._ticks = Counter("fxmesh_trading_ticks", "Ticks read.", registry=registry)
        self._drift = Counter(
            "fxmesh_trading_drift_reports", "Drift reports of models.", ["endpoint"], registry=registry
        )

    def committed(self, changes: Changes) -> None:
        """Orders, refusals, fills and decisions of one transaction."""
        for order in changes.orders.values():
            if self._revisions.get(order.order_id) == order.revision:
                continue  # a trailing stop moved: it came to nothing new
            self._revisions[order.order_id] = order.revision
            if order.final:
                del self._revisions[order.order_id]
            self._orders.labels(order.status.value).inc()
            if order.status is OrderStatus.REJECTED:
                self._refusals.labels(order.reason).inc()
        for event in changes.events:
            if isinstance(event, OrdersRefused):
                self._refusals.labels(event.reason).inc(event.count)
        for fill in changes.fills:
            (self._busts if fill.busts else self._fills).labels(fill.symbol).inc()
        for decision in changes.decisions:
            self._decisions.labels(decision.reason).inc()

    def ticks(self, count: int) -> None:
        """Ticks read."""
        self._ticks.inc(count)

    def drift(self, endpoint: str) -> None:
        """A model reported drift."""
        self._drift.labels(endpoint).inc()
