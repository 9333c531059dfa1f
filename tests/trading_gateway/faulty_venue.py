"""A venue that misbehaves on purpose: its reports come late, doubled and in any order.

It stands where the paper venue stands in an engine, and keeps orders of its own. Nothing that it is asked
comes back at once: reports wait until `deliver` hands them to the engine, drawn from a seed. What it holds is
what a real venue would show when it is asked for its orders and fills.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from random import Random

from services.trading_gateway.domain.conditions import PERFECT
from services.trading_gateway.domain.engine import Engine
from services.trading_gateway.domain.feeds import Quote
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.reports import (
    AmendRefused,
    OrderReport,
)
from services.trading_gateway.domain.simulated import after
from services.trading_gateway.domain.values import OrderStatus
from services.trading_gateway.domain.venue import FILLED, PaperVenue, close


class FaultyVenue(PaperVenue):
    """Works its own copies of the orders it was sent."""

    def __init__(self, random: Random, doubled: float = 0.2) -> None:
        super().__init__(PERFECT)
        self.orders: dict[str, Order] = {}
        self.waiting: list[OrderReport] = []
        self.quote: Quote | None = None
        self._random = random
        self._doubled = doubled
        self._paper = PaperVenue(PERFECT)

    # What the engine sees of it

    def works(self, order: Order) -> bool:
        """Never by the engine's doing."""
        return False

    def submit(
        self, order: Order, quote: Quote | None, time_ns: int, reducible: int
    ) -> Iterator[OrderReport]:
        """By its id an order is taken once."""
        if order.order_id not in self.orders:
            self.orders[order.order_id] = order
            self._happened(order.order_id, self._paper.submit(order, self.quote, time_ns, self._free(order)))
        return iter(())

    def withdraw(self, order: Order, time_ns: int) -> Iterator[OrderReport]:
        """One that is over is over."""
        own = self.orders.get(order.order_id)
        if own is not None and not own.final:
            cancelled = close(own, time_ns, order.reason, order.reason_detail)
            self._happened(order.order_id, [cancelled])
        return iter(())

    def replace(self, order: Order, quote: Quote | None, time_ns: int) -> Iterator[OrderReport]:
        """Against what it has filled itself."""
        own = self.orders[order.order_id]
        if own.final:
            self.waiting.append(AmendRefused(time_ns, own.order_id, *FILLED, order.amend_revision))
            return iter(())
        asked = replace(
            own,
            status=OrderStatus.PENDING_AMEND,
            amend_size=order.amend_size,
            amend_limit=order.amend_limit,
            amend_stop=order.amend_stop,
            amend_trail=order.amend_trail,
            amend_revision=order.amend_revision,
        )
        self.orders[order.order_id] = asked
        self._happened(order.order_id, self._paper.replace(asked, self.quote, time_ns))
        self._look(order.order_id)
        return iter(())

    # What the market and the test do to it

    def tick(self, quote: Quote) -> None:
        """A quote: what it works may fill."""
        self.quote = quote
        for order_id in list(self.orders):
            self._look(order_id)

    def deliver(self, engine: Engine, most: int) -> None:
        """Up to `most` waiting reports, in any order; some are kept, to come again."""
        for _ in range(min(most, len(self.waiting))):
            number = self._random.randrange(len(self.waiting))
            again = self._random.random() < self._doubled
            engine.report(self.waiting[number] if again else self.waiting.pop(number))

    # Inside

    def _look(self, order_id: str) -> None:
        order, quote = self.orders[order_id], self.quote
        if quote is not None and order.at_venue and not order.final:
            self._happened(order_id, self._paper.on_quote(order, quote, self._free(order)))

    def _free(self, order: Order) -> int:
        """How much of an order may fill, by its own fills."""
        if not order.reduce_only:
            return order.remaining
        held = sum(each.side.sign * each.filled for each in self.orders.values())
        return abs(held) if held * order.side.sign < 0 else 0

    def _happened(self, order_id: str, reports: Iterable[OrderReport]) -> None:
        for report in list(reports):
            self.orders[order_id] = after(self.orders[order_id], report)
            self.waiting.append(report)
