"""Orders and positions from reports alone: what a venue's picture of itself has to agree with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from services.trading_gateway.domain.orders import Order, busted, executed
from services.trading_gateway.domain.reports import Busted, CashMoved, Executed, Report
from services.trading_gateway.domain.simulated import after
from services.trading_gateway.domain.venue_views import Holding


@dataclass
class Fold:
    """Orders as they were sent, taken through reports that may come doubled and in any order."""

    orders: dict[str, Order]
    executions: set[tuple[str, str]] = field(default_factory=set)
    fills: dict[tuple[str, str], Executed] = field(default_factory=dict)
    busts: dict[tuple[str, str], Busted] = field(default_factory=dict)
    cash: dict[tuple[str, str], str] = field(default_factory=dict)
    """What each fill and each transaction of its own moved, by account and id."""

    def take(self, reports: Iterable[Report]) -> Fold:
        """Itself after the reports."""
        for report in reports:
            if isinstance(report, CashMoved):
                self.cash[report.account_id, report.transaction_id] = report.amount
                continue
            order = self.orders[report.order_id]
            if isinstance(report, Executed):
                key = report.order_id, report.execution_id
                if key not in self.executions:
                    self.executions.add(key)
                    self.cash[order.account_id, "-".join(key)] = report.cash or "0"
                    self.fills[key] = report
                    self.orders[report.order_id] = executed(order, report.size, report.price, report.time_ns)
                    if key in self.busts:
                        self._bust(self.orders[report.order_id], self.busts[key])
            elif isinstance(report, Busted):
                self._bust(order, report)
            else:
                self.orders[report.order_id] = after(order, report)
        return self

    def _bust(self, order: Order, report: Busted) -> None:
        """Once, and not before its fill."""
        key = report.order_id, report.execution_id
        self.busts[key] = report
        fill = self.fills.pop(key, None)
        if fill is not None:
            self.cash[order.account_id, "-".join((*key, "busted"))] = report.cash or "0"
            self.orders[report.order_id] = busted(
                order, fill.size, fill.price, report.time_ns, over=report.over
            )

    @property
    def working(self) -> dict[str, tuple[int, int, int | None]]:
        """Size, filled and limit of those that are not over."""
        return {
            each.order_id: (each.size, each.filled, each.limit)
            for each in self.orders.values()
            if not each.final
        }

    @property
    def holdings(self) -> tuple[Holding, ...]:
        """Positions of all fills, those that are not flat."""
        held: dict[tuple[str, str], int] = {}
        for each in self.orders.values():
            key = each.account_id, each.symbol
            held[key] = held.get(key, 0) + each.side.sign * each.filled
        return tuple(Holding(*key, size) for key, size in sorted(held.items()) if size)


def fold(sent: Mapping[str, Order], reports: Iterable[Report]) -> Fold:
    """All of a history."""
    return Fold({key: replace(each) for key, each in sent.items()}).take(reports)
