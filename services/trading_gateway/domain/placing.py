"""Taking and withdrawing orders: the side of the books that callers and decisions speak to.

Nothing here talks to the venue: what it is asked for leaves as a request after the commit, so only durable
intents are ever sent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from services.errors import VALIDATION_FAILED, FxError, Kind, invalid_field
from services.market.calendar import civil_day, roll_ns
from services.trading_gateway.domain import checks, families, storms
from services.trading_gateway.domain.amending import unfinished
from services.trading_gateway.domain.book import Book
from services.trading_gateway.domain.changes import Replace, Request, Submit, Withdraw
from services.trading_gateway.domain.events import OrderStep
from services.trading_gateway.domain.ids import fingerprint, order_id
from services.trading_gateway.domain.inputs import CancelOrder, Facts, PlaceOrder
from services.trading_gateway.domain.legs import legs
from services.trading_gateway.domain.orders import Order, Terms
from services.trading_gateway.domain.situations import Refusal, situation
from services.trading_gateway.domain.values import OrderStatus, TimeInForce


def place(book: Book, asked: PlaceOrder) -> Order:
    """The new order: PLACED and on its way, HELD until its parent fills, or REJECTED with the reason of the
    check that refused it.

    Raises FxError `UNKNOWN_ACCOUNT`; of a parent: `UNKNOWN_ORDER`, `ORDER_FINAL`, `VALIDATION_FAILED`. The
    key must be new (`same_order`).
    """
    account = book.account(asked.account_id)
    parent = _parent(book, asked)
    case = situation(
        book, account, asked.terms, asked.facts, asked.time_ns, origin=asked.origin, held=parent is not None
    )
    refused = checks.refusal(case, through_halt=asked.through_halt) or storms.beyond_rate(case)
    counted = refused is not None or not case.reducing
    if counted:
        book.order_rate.count(account.account_id, asked.time_ns)
    order = _new(book, asked, account.session_id, refused, counted=counted)
    if refused is not None:
        book.count_refusal(account.account_id, refused.reason)
        return book.put_order(order, OrderStep.REJECTED)
    if parent is None:
        order = replace(order, reduce_only=checks.needs_position(case))
        book.changes.requests.append(Submit(order.order_id))
    book.put_order(order, OrderStep.PLACED)
    position_id = order.order_id if account.hedging else ""
    for key, terms, distance in legs(order, asked.terms, position_id):
        leg = replace(asked, client_order_id=key, terms=terms, facts=Facts())
        attached = replace(_new(book, leg, order.scope, None), asked=0, protect_distance=distance)
        book.put_order(attached, OrderStep.PLACED)
    families.fit(book, order, asked.time_ns)
    return book.order(order.order_id)


def same_order(first: Order, terms: Terms) -> Order:
    """`first`, when a request with its key asks for the same again.

    Raises FxError: ALREADY_EXISTS `DUPLICATE_CLIENT_ORDER_ID` when it asks for something else.
    """
    if first.terms_key != terms_key(terms):
        raise reused(first)
    return first


def reused(first: Order) -> FxError:
    """The answer to whoever asks for something else under the key of `first`."""
    return FxError(
        Kind.ALREADY_EXISTS,
        "DUPLICATE_CLIENT_ORDER_ID",
        f"client order id {first.client_order_id} belongs to another order, {first.order_id}",
    )


def refused(order: Order) -> FxError:
    """The answer to whoever placed an order that a check refused."""
    return FxError(Kind.FAILED_PRECONDITION, order.reason, order.reason_detail)


def cancel(book: Book, asked: CancelOrder) -> Order:
    """The order with its cancel pending, or over where the venue never had it.

    Raises FxError FAILED_PRECONDITION `ORDER_FINAL`.
    """
    order = unfinished(book.order(asked.order_id))
    if order.status is OrderStatus.PENDING_CANCEL:
        return order
    return families.withdraw(book, order, asked.time_ns, asked.reason, asked.detail)


def on_the_way(book: Book) -> list[Request]:
    """What the paper venue was asked for and has not answered. A venue outside is asked first what it got."""
    kinds: dict[OrderStatus, Callable[[str], Request]] = {
        OrderStatus.PLACED: Submit,
        OrderStatus.PENDING_CANCEL: Withdraw,
        OrderStatus.PENDING_AMEND: Replace,
    }
    found = [each for each in book.working() if each.status in kinds and book.on_paper(each)]
    return [kinds[each.status](each.order_id) for each in found]


def terms_key(terms: Terms) -> str:
    """Fingerprint of what is asked for. What is left at its default does not count, so that an order keeps
    its fingerprint when there is more to ask for.
    """
    plain = (
        terms.symbol, terms.side.value, terms.type.value, terms.time_in_force.value, terms.size,
        terms.limit, terms.stop, terms.expires_ns,
    )  # fmt: skip
    return fingerprint(*plain, *_asked_besides(terms))


def _parent(book: Book, asked: PlaceOrder) -> Order | None:
    """The order that an order is to follow."""
    wanted = asked.terms.parent_id
    if not wanted:
        return None
    parent = book.order(wanted)
    if (parent.account_id, parent.symbol) != (asked.account_id, asked.terms.symbol):
        raise invalid_field(VALIDATION_FAILED, "parent_order_id", "is of another account or symbol")
    return unfinished(parent)


def _asked_besides(terms: Terms) -> list[tuple[str, object]]:
    trigger = "" if terms.trigger is None else terms.trigger.value
    named = (
        ("trail", terms.trail),
        ("trigger", trigger),
        ("post_only", terms.post_only),
        ("reduce_only", terms.reduce_only),
        ("take_profit", terms.take_profit),
        ("stop_loss", terms.stop_loss),
        ("link", terms.link_id),
        ("parent", terms.parent_id),
        ("position", terms.position_id),
    )
    return [each for each in named if each[1]]


def _new(
    book: Book, asked: PlaceOrder, scope: str, refused_for: Refusal | None, *, counted: bool = False
) -> Order:
    terms = asked.terms
    status = OrderStatus.HELD if terms.parent_id else OrderStatus.PLACED
    parent = book.orders.get(terms.parent_id)
    return Order(
        number=book.next_order_number(),
        order_id=order_id(asked.account_id, asked.client_order_id),
        account_id=asked.account_id,
        client_order_id=asked.client_order_id,
        scope=scope,
        symbol=terms.symbol,
        side=terms.side,
        type=terms.type,
        time_in_force=terms.time_in_force,
        size=terms.size,
        limit=terms.limit,
        stop=terms.stop,
        expires_ns=expiry(terms, asked.time_ns),
        status=status if refused_for is None else OrderStatus.REJECTED,
        origin=asked.origin,
        created_ns=asked.time_ns,
        updated_ns=asked.time_ns,
        terms_key=terms_key(terms),
        signal_id=asked.signal_id,
        reason="" if refused_for is None else refused_for.reason,
        reason_detail="" if refused_for is None else refused_for.detail,
        trail=terms.trail,
        trigger=terms.trigger,
        post_only=terms.post_only,
        reduce_only=terms.reduce_only,
        parent_id=terms.parent_id,
        link_id=terms.link_id,
        asked=terms.size if terms.parent_id or terms.link_id else 0,
        granted=0 if parent is None else parent.filled,
        depth=asked.facts.depth if refused_for is None else (),
        counted=counted,
        position_id=terms.position_id,
    )


def expiry(terms: Terms, time_ns: int) -> int | None:
    """When the order stops working: a day order at the next 17:00 New York, GTD as asked, others never."""
    if terms.time_in_force is TimeInForce.DAY:
        return roll_ns(civil_day(time_ns))
    return terms.expires_ns
