"""What auto-trading made of signals, told from the signal to the fills."""

from __future__ import annotations

from dataclasses import dataclass

from services.market.instruments import require_known
from services.trading_gateway.domain.changes import Decision
from services.trading_gateway.domain.fills import Fill
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.handlers.desk import Desk
from services.trading_gateway.ports import DecisionQuery


@dataclass(frozen=True, slots=True)
class Explained:
    """A decision with the orders placed for it and their fills; all belong to one correlation id."""

    decision: Decision
    currency: str
    orders: tuple[Order, ...]
    fills: tuple[Fill, ...]
    correlation_id: str


class Decisions:
    """Use cases of automatic decisions."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def page(self, query: DecisionQuery) -> list[Explained]:
        """A page, newest first.

        Raises FxError: INVALID_ARGUMENT `UNKNOWN_SYMBOL`, NOT_FOUND `UNKNOWN_ACCOUNT`.
        """
        require_known(query.symbols)
        account, store = self._desk.engine.book.account(query.account_id), self._desk.store
        found = await store.decisions(query)
        signals = {each.signal_id for each in found}
        orders = await store.orders_for(account.account_id, signals)
        fills = await store.fills_of([each.order_id for each in orders])
        stories = await store.correlations(signals)
        return [
            Explained(
                each,
                account.currency,
                own := tuple(order for order in orders if order.signal_id == each.signal_id),
                tuple(fill for fill in fills if fill.order_id in {order.order_id for order in own}),
                stories.get(each.signal_id, ""),
            )
            for each in found
        ]
