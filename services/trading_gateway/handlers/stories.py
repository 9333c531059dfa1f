"""Whose story each change of the books belongs to: a fill hours later is part of what placed its order.

A story (`services/tracing.py`) is kept for each signal until it is decided about and for each order while it
works, in the database too, so that a restart changes nothing. Traced, an order and each fill of it are steps
of their own. What works for the fills of an order goes on in its story.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from services.market.instruments import instrument
from services.tracing import NO_STORY, Step, Story, Tracer
from services.trading_gateway.domain.changes import Changes
from services.trading_gateway.domain.events import (
    AccountChanged,
    Event,
    OrderChanged,
    OrderStep,
    PositionChanged,
    TradeExecuted,
)
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.ports import Told

FINISHED_KEPT = 1_000
"""Orders that are over and may still fill: a venue's report may be late."""


class Stories:
    """The stories at hand, by signal id and order id."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self._known: dict[str, Story] = {}
        self._finished: OrderedDict[str, None] = OrderedDict()

    def restore(self, stored: Mapping[str, Story]) -> None:
        """Those of the store, in place of whatever was in memory."""
        self._known = dict(stored)
        self._finished.clear()

    def of(self, key: str) -> Story | None:
        """Of a signal or an order; None when it is not known (any more)."""
        return self._known.get(key)

    def tell(self, changes: Changes) -> Told:
        """What to store and publish with these changes. Its steps end with the commit."""
        told = Told()
        for note in changes.signals.values():
            if note.decided:
                self._known.pop(note.signal_id, None)
            else:
                self._keep(note.signal_id, self.tracer.current(), told)
        filled: Story | None = None
        for event in changes.events:
            story = self._story(event, filled, told)
            told.events.append(self.tracer.current() if story is None else story)
            filled = story if isinstance(event, TradeExecuted) else filled
        for order in changes.orders.values():
            if order.final:
                self._finish(order)
        return told

    def _story(self, event: Event, filled: Story | None, told: Told) -> Story | None:
        match event:
            case OrderChanged(step=OrderStep.PLACED):
                return self._placed(event.order, told)
            case OrderChanged():
                return self._known.get(event.order.order_id)
            case TradeExecuted():
                return self._filled(event, told)
            case PositionChanged() | AccountChanged():
                return filled if event.by_fill else None  # told right after the fill that moved them
            case _:
                return None

    def _placed(self, order: Order, told: Told) -> Story:
        entry = self._known.get(order.parent_id)
        step = self.tracer.start("order", entry, **_facts(order))
        self._keep(order.order_id, step.story, told)
        told.steps.append(step)
        return step.story

    def _filled(self, event: TradeExecuted, told: Told) -> Story | None:
        fill, story = event.fill, self._known.get(event.fill.order_id)
        if story is None:
            return None
        of = instrument(fill.symbol)
        step: Step = self.tracer.start(
            "fill",
            story,
            order_id=fill.order_id,
            execution_id=fill.execution_id,
            symbol=fill.symbol,
            size=of.size_text(fill.size),
            price=of.price_text(fill.price),
            session_id=fill.session_id,
            tick_sequence=fill.tick_sequence,
        )
        told.steps.append(step)
        return step.story

    def _keep(self, key: str, story: Story, told: Told) -> None:
        if story != NO_STORY:
            self._known[key] = told.stories[key] = story

    def _finish(self, order: Order) -> None:
        self._finished[order.order_id] = None
        while len(self._finished) > FINISHED_KEPT:
            oldest, _ = self._finished.popitem(last=False)
            self._known.pop(oldest, None)


def _facts(order: Order) -> dict[str, str]:
    of = instrument(order.symbol)
    return {
        "order_id": order.order_id,
        "account_id": order.account_id,
        "symbol": order.symbol,
        "side": order.side.value,
        "type": order.type.value,
        "size": of.size_text(order.size),
        "origin": order.origin.value,
        "signal_id": order.signal_id,
    }
