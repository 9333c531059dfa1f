"""Orders that depend on each other: those that work for the fills of another, and those that share one size.

A child (take-profit, stop-loss, or an order placed after another) is HELD until its parent fills, then works
for what that has filled. Of linked orders each fill takes its size from the others. What an order should have
now (`Order.share`, `Order.anchor`) is kept on the order itself and compared with what the venue works after
each report: an answer that is on its way is waited for, and after a restart the order's own row is enough.
Orders that may only reduce go once there is nothing left to reduce.
"""

from __future__ import annotations

from dataclasses import replace

from services.market.instruments import instrument
from services.money.rounding import Rounding, divide, quantise
from services.trading_gateway.domain import checks, orders
from services.trading_gateway.domain.book import Book
from services.trading_gateway.domain.changes import Replace, Submit, Withdraw
from services.trading_gateway.domain.events import OrderStep
from services.trading_gateway.domain.inputs import Facts
from services.trading_gateway.domain.orders import Amendment, Order
from services.trading_gateway.domain.reports import AmendRefused, CancelRefused, OrderReport
from services.trading_gateway.domain.situations import situation
from services.trading_gateway.domain.values import OrderStatus, OrderType

_RESTING = (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED)
_NO_FACTS = Facts()


def follow_up(book: Book, before: Order, report: OrderReport) -> None:
    """What a report on an order leads to; `before` is the order as it was before the report."""
    after, time_ns = book.order(before.order_id), report.time_ns
    grown = after.filled - before.filled
    if grown:
        _share_out(book, after, grown, time_ns)
    if after.final and not before.final:
        _fit_all(book, book.children(after.order_id), time_ns)
    if not isinstance(report, AmendRefused | CancelRefused):  # asked again at once, it would be refused again
        fit(book, after, time_ns)
    if grown:
        withdraw_needless(book, after.account_id, after.symbol, time_ns, after.order_id)


def fit(book: Book, order: Order, time_ns: int) -> None:
    """Bring an order to what it should be by now: release, amend or withdraw it.

    One that waits for an answer of the venue is left alone until that has come.
    """
    if order.final or not (order.parent_id or order.link_id):
        return
    over = _parent_over(book, order)
    if order.share > order.filled:
        if order.status is OrderStatus.HELD:
            _release(book, order, time_ns)
        elif order.status in _RESTING:
            _amend(book, order, time_ns)
    elif over and (order.status is OrderStatus.HELD or order.status in _RESTING):
        filled = order.taken or order.granted
        reason = ("LINK_FILLED", "what it was for is filled") if filled else _UNBORN
        withdraw(book, order, time_ns, *reason)


_UNBORN = ("PARENT_ENDED", "the order it was to follow ended without a fill")


def withdraw(book: Book, order: Order, time_ns: int, reason: str, detail: str) -> Order:
    """The order with its cancel pending; one that the venue never had is over at once, and with it what waits
    for its fills.
    """
    if order.status is OrderStatus.HELD:
        return _end_held(book, order, time_ns, OrderStatus.CANCELLED, OrderStep.CANCELLED, reason, detail)
    book.changes.requests.append(Withdraw(order.order_id))
    return book.put_order(orders.changed(order, time_ns, OrderStatus.PENDING_CANCEL, reason, detail))


def _share_out(book: Book, filled: Order, grown: int, time_ns: int) -> None:
    """Tell the family of a fill: children may work for it, linked orders have the less to do. Of one that was
    taken back (`grown` below zero), the other way round.
    """
    for child in book.children(filled.order_id):
        granted = child.granted + (opened(book, filled, grown) if child.reduce_only else grown)
        book.put_order(replace(child, granted=max(granted, 0), anchor=anchor(child, filled)))
    for other in book.linked(filled):
        book.put_order(replace(other, taken=max(other.taken + grown, 0)))
    parent = book.orders.get(filled.parent_id)
    if grown > 0 and filled.reduce_only and parent is not None and _cancellable(parent):
        withdraw(book, parent, time_ns, "LEG_FILLED", "its take-profit or stop-loss has begun to fill")
    _fit_all(book, [*book.children(filled.order_id), *book.linked(filled)], time_ns)


def opened(book: Book, filled: Order, grown: int) -> int:
    """How much of a fill that was just booked opened a position, and did not close one on the other side; all
    of one that was taken back.
    """
    position = book.position(filled.account_id, filled.symbol, book.position_id(filled))
    held = position.size * filled.side.sign
    return min(grown, max(held, 0))


def anchor(child: Order, parent: Order) -> int | None:
    """The price at a child's distance from its parent's average fill, on the tick further away."""
    if not (child.protect_distance and parent.filled):
        return child.anchor
    above = (child.type is OrderType.LIMIT) is (child.side.sign < 0)
    rounding = Rounding.CEILING if above else Rounding.FLOOR
    average = divide(parent.notional, parent.filled, rounding)
    distance = child.protect_distance if above else -child.protect_distance
    return quantise(average + distance, instrument(child.symbol).tick, rounding)


def _release(book: Book, held: Order, time_ns: int) -> None:
    """Send a held order on its way for what its parent has filled, unless a check objects to it now. None
    does to an exit: the position is there, and without it nothing would guard it.
    """
    limit, stop = _anchored(held)
    terms = replace(held.terms, size=held.share, limit=limit, stop=stop)
    account = book.account(held.account_id)
    case = situation(book, account, terms, _NO_FACTS, time_ns, besides=held.order_id, released=True)
    refused = checks.refusal(case)
    if refused is not None:
        book.count_refusal(account.account_id, refused.reason)
        status, step = OrderStatus.REJECTED, OrderStep.REJECTED
        _end_held(book, held, time_ns, status, step, refused.reason, refused.detail)
        return
    placed = orders.changed(held, time_ns, OrderStatus.PLACED)
    bound = checks.needs_position(case)
    book.put_order(replace(placed, size=held.share, limit=limit, stop=stop, reduce_only=bound))
    book.changes.requests.append(Submit(held.order_id))


def _amend(book: Book, order: Order, time_ns: int) -> None:
    """Ask the venue for what differs from what it works."""
    limit, stop = _anchored(order)
    wanted = Amendment(
        order.share if order.share != order.size else None,
        limit if limit != order.limit else None,
        stop if stop != order.stop and not order.triggered else None,
    )
    if wanted != Amendment():
        book.changes.requests.append(Replace(order.order_id))
        book.put_order(orders.amendment_asked(order, time_ns, wanted))


def _anchored(order: Order) -> tuple[int | None, int | None]:
    """Limit and stop of an order, where its parent's fills give them."""
    if order.anchor is None:
        return order.limit, order.stop
    return (order.anchor, order.stop) if order.type is OrderType.LIMIT else (order.limit, order.anchor)


def _fit_all(book: Book, family: list[Order], time_ns: int) -> None:
    for each in family:
        fit(book, book.order(each.order_id), time_ns)


def _end_held(
    book: Book, held: Order, time_ns: int, status: OrderStatus, step: OrderStep, reason: str, detail: str
) -> Order:
    over = book.put_order(orders.ended(held, time_ns, status, reason, detail), step)
    _fit_all(book, book.children(over.order_id), time_ns)
    return over


def _parent_over(book: Book, order: Order) -> bool:
    """True without a parent, too: only its own size keeps such an order."""
    parent = book.orders.get(order.parent_id)
    return parent is None or parent.final  # those that are over may have left memory


def _cancellable(order: Order) -> bool:
    return not order.final and order.status is not OrderStatus.PENDING_CANCEL


def withdraw_needless(book: Book, account_id: str, symbol: str, time_ns: int, filled: str = "") -> None:
    """Reduce-only orders of a position that was closed or turned (by a fill of the order `filled`), but for
    those whose parent may still open it again.
    """
    for each in book.reducing(account_id, symbol):
        if each.order_id != filled and not book.reducible(each):
            if each.status is OrderStatus.HELD or not _parent_over(book, each) or not _cancellable(each):
                continue
            withdraw(book, each, time_ns, "POSITION_CLOSED", "the position it was to reduce is closed")
