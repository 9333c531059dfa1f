"""Orders that may add risk by themselves: what a halt may withdraw, and not what protects a position."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from services.trading_gateway.domain.book import Book
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.positions import reduces
from services.trading_gateway.domain.values import OrderStatus


def entries(book: Book, accounts: Collection[str]) -> Iterator[Order]:
    """The working ones of accounts of which no cancel is on its way, in the order of placing."""
    for each in book.working():
        pending = each.status is OrderStatus.PENDING_CANCEL
        if each.account_id in accounts and not pending and _opens(book, each):
            yield each


def _opens(book: Book, order: Order) -> bool:
    """False for one that only reduces: it says so, or all of it goes against the position that is there."""
    if order.reduce_only:
        return False
    if book.account(order.account_id).hedging:
        return True  # without a position's id it opens one of its own
    size = max(order.size, order.amend_size or 0) - order.filled
    return not reduces(book.position(order.account_id, order.symbol).size, order.side.sign * size)
