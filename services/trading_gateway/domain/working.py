"""Orders that are not over, as they are looked for: by market, by family, and what those of an account and
side come to. Kept up to date order by order, since an account may have many of them at work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.values import Side

Family: TypeAlias = dict[str, Order]
"""By id, in the order of placing, which is that of insertion."""
_NONE: Mapping[str, Order] = {}


class Working:
    """Orders that are not over."""

    def __init__(self, orders: Iterable[Order]) -> None:
        self._lanes: dict[tuple[str, str], Family] = {}
        self._children: dict[str, Family] = {}
        self._linked: dict[tuple[str, str], Family] = {}
        self._reducing: dict[tuple[str, str], Family] = {}
        self._adding: Counter[tuple[str, str, Side]] = Counter()
        for order in sorted(orders, key=lambda each: each.number):
            self.keep(None, order)

    def keep(self, before: Order | None, order: Order) -> None:
        """The next revision of an order; `before` is the last one, where it is known."""
        side = order.account_id, order.symbol, order.side
        self._adding[side] += adds(order) - (0 if before is None else adds(before))
        for families, key in self._places(order):
            if not order.final:
                families.setdefault(key, {})[order.order_id] = order
            elif key in families:
                families[key].pop(order.order_id, None)
                if not families[key]:
                    del families[key]  # there are as many keys as orders
        lane = self.lane(order.scope, order.symbol)
        if order.final:
            lane.pop(order.order_id, None)
        else:
            lane[order.order_id] = order

    def adding(self, account_id: str, symbol: str, side: Side) -> int:
        """Raw size that orders of an account on one side may still add to its position."""
        return self._adding[account_id, symbol, side]

    def lane(self, scope: str, symbol: str) -> Family:
        """Of one market."""
        return self._lanes.setdefault((scope, symbol), {})

    def of(self, account_id: str, symbol: str) -> list[Order]:
        """Of an account and symbol in the order of placing; empty arguments take all."""
        found = [
            each
            for (_, of), lane in self._lanes.items()
            if not symbol or of == symbol
            for each in lane.values()
            if not account_id or each.account_id == account_id
        ]
        return sorted(found, key=lambda each: each.number)

    def children(self, of: str) -> list[Order]:
        """Those that work for the fills of an order."""
        return list(self._children.get(of, _NONE).values())

    def linked(self, order: Order) -> list[Order]:
        """Those that share their size with an order, besides itself."""
        found = self._linked.get((order.account_id, order.link_id), _NONE) if order.link_id else _NONE
        return [each for each in found.values() if each.order_id != order.order_id]

    def reducing(self, account_id: str, symbol: str) -> list[Order]:
        """Those that may only reduce a position."""
        return list(self._reducing.get((account_id, symbol), _NONE).values())

    def _places(self, order: Order) -> list[tuple[dict[Any, Family], object]]:
        """The families that an order belongs to, each with its key."""
        found: list[tuple[dict[Any, Family], object]] = []
        if order.parent_id:
            found.append((self._children, order.parent_id))
        if order.link_id:
            found.append((self._linked, (order.account_id, order.link_id)))
        if order.reduce_only:
            found.append((self._reducing, (order.account_id, order.symbol)))
        return found


def adds(order: Order) -> int:
    """Raw size that an order may still add to a position."""
    return 0 if order.final or order.reduce_only else order.remaining
