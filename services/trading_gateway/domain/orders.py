"""An order and the steps of its life, as functions from one value to the next.

A fill counts in whatever state it finds the order, so the final picture does not depend on the order in which
fills, acceptance and cancel come in: an order whose fills reach its size is FILLED, whatever was said before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from services.trading_gateway.domain.positions import Position
from services.trading_gateway.domain.values import (
    OrderOrigin,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
    TriggerSide,
)


@dataclass(frozen=True, slots=True)
class Leg:
    """A take-profit or stop-loss that comes with an order: at a price, at a distance from the order's average
    fill, or trailing. One of the three.
    """

    price: int | None = None
    distance: int = 0
    trail: int | None = None
    trigger: TriggerSide | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked for. Sizes and prices raw; `expires_ns` is market time."""

    symbol: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    size: int
    limit: int | None = None
    stop: int | None = None
    expires_ns: int | None = None
    trail: int | None = None
    """Price distance at which a trailing stop follows the market."""
    trigger: TriggerSide | None = None
    """None: the side the order trades at."""
    post_only: bool = False
    reduce_only: bool = False
    """Never opens or turns a position."""
    take_profit: Leg | None = None
    stop_loss: Leg | None = None
    link_id: str = ""
    """Orders of an account with the same link share one size."""
    parent_id: str = ""
    """The order whose fills it works for."""
    position_id: str = ""
    """In a hedging account: the position that it is to reduce, and no other; it is reduce-only then."""

    @property
    def signed_size(self) -> int:
        """What a full fill does to the position."""
        return self.side.sign * self.size

    @property
    def attached(self) -> bool:
        """True with a take-profit or stop-loss."""
        return self.take_profit is not None or self.stop_loss is not None


@dataclass(frozen=True, slots=True)
class Order:
    """An order and what became of it. Times are market times."""

    number: int
    """1, 2, 3 … of this gateway, in the order of placing."""
    order_id: str
    account_id: str
    client_order_id: str
    scope: str
    """Whose quotes it trades on: empty for the live market, else the replay's session."""
    symbol: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    size: int
    limit: int | None
    stop: int | None
    expires_ns: int | None
    status: OrderStatus
    origin: OrderOrigin
    created_ns: int
    updated_ns: int
    terms_key: str
    """Fingerprint of the terms as first placed: tells a repeated request from a different one."""
    signal_id: str = ""
    filled: int = 0
    notional: int = 0
    """Sum of size × price over the fills, raw at both scales."""
    fills: int = 0
    revision: int = 1
    reason: str = ""
    reason_detail: str = ""
    triggered: bool = False
    """The stop price was reached: it works as a market or limit order from then on."""
    trail: int | None = None
    trigger: TriggerSide | None = None
    post_only: bool = False
    reduce_only: bool = False
    """Never opens or turns a position; withdrawn when there is nothing to reduce."""
    parent_id: str = ""
    link_id: str = ""
    protect_distance: int = 0
    """Raw distance from the average price of its parent's fills, which gives its own price; 0: it has one."""
    anchor: int | None = None
    """The price that its parent's fills so far give it."""
    asked: int = 0
    """With a parent or link: total size that was asked for; 0: whatever its parent fills."""
    granted: int = 0
    """With a parent: what that has filled so far and it may work for."""
    taken: int = 0
    """Fills of the orders it shares its size with."""
    at_venue: bool = False
    """The venue is known to have it, and works it while it is not over."""
    works_from_ns: int = 0
    """First market time at which it may fill."""
    ask_ns: int | None = None
    """UNKNOWN: when the venue is asked for it."""
    depth: tuple[tuple[int, int], ...] = ()
    """Levels of the book it may walk when it reaches the venue; empty after that."""
    amend_size: int | None = None
    amend_limit: int | None = None
    amend_stop: int | None = None
    amend_trail: int | None = None
    """What the venue was asked to change; None leaves as it is."""
    amend_revision: int = 0
    """The revision at which it was asked, which its answer names; 0: nothing is on its way."""
    counted: bool = False
    """It counts for the order rate of its account."""
    position_id: str = ""
    """In a hedging account: the position that it is to reduce; empty for an order that opens its own."""

    @property
    def remaining(self) -> int:
        """Size that can still fill; never below zero."""
        return max(self.size - self.filled, 0)

    @property
    def share(self) -> int:
        """With a parent or link: the total size that it should have now, its own fills included."""
        size = self.asked
        if self.parent_id:
            size = min(self.asked or self.granted, self.granted)
        return max(size - self.taken, self.filled)

    @property
    def terms(self) -> Terms:
        """What it asks for now."""
        return Terms(
            self.symbol,
            self.side,
            self.type,
            self.time_in_force,
            self.size,
            self.limit,
            self.stop,
            self.expires_ns,
            self.trail,
            self.trigger,
            self.post_only,
            self.reduce_only,
            link_id=self.link_id,
            parent_id=self.parent_id,
            position_id=self.position_id,
        )

    @property
    def final(self) -> bool:
        """True when nothing but a late fill can follow."""
        return self.status.final


_NOTHING_PENDING: dict[str, Any] = {
    "amend_size": None,
    "amend_limit": None,
    "amend_stop": None,
    "amend_trail": None,
    "amend_revision": 0,
}


def closing(position: Position, size: int = 0) -> Terms:
    """The market order that closes a position, or `size` of it."""
    side = Side.of(-position.size)
    return Terms(
        position.symbol,
        side,
        OrderType.MARKET,
        TimeInForce.IOC,
        size or abs(position.size),
        reduce_only=True,
        position_id=position.position_id,
    )


def changed(
    order: Order, time_ns: int, status: OrderStatus, reason: str = "", detail: str = "", **also: Any
) -> Order:
    """The next revision with another status, and other fields as given: copying an order is what its steps
    cost. Market time never runs backwards on an order.
    """
    return replace(
        order,
        status=status,
        revision=order.revision + 1,
        updated_ns=max(order.updated_ns, time_ns),
        reason=reason,
        reason_detail=detail,
        **also,
    )


def accepted(order: Order, time_ns: int, works_from_ns: int = 0) -> Order:
    """The venue works it. Says nothing new once a fill or an end was seen."""
    if order.status in (OrderStatus.PLACED, OrderStatus.UNKNOWN):
        return changed(
            order,
            time_ns,
            OrderStatus.ACCEPTED,
            at_venue=True,
            works_from_ns=works_from_ns,
            ask_ns=None,
            depth=(),
        )
    return order


def unanswered(order: Order, time_ns: int, ask_ns: int) -> Order:
    """UNKNOWN: sent, and not known whether the venue has it; asked for at `ask_ns`."""
    if order.status is OrderStatus.PLACED:
        return changed(order, time_ns, OrderStatus.UNKNOWN, ask_ns=ask_ns, depth=())
    return order


def executed(order: Order, size: int, price: int, time_ns: int) -> Order:
    """After a fill of `size` at `price`, in whatever state it came.

    While a larger size is asked for, a fill of the whole of the old one is not the end: the venue may have
    agreed before it.
    """
    filled = order.filled + size
    status = order.status
    if filled >= max(order.size, order.amend_size or 0):
        status = OrderStatus.FILLED
    elif status in (OrderStatus.PLACED, OrderStatus.ACCEPTED, OrderStatus.UNKNOWN):
        status = OrderStatus.PARTIALLY_FILLED
    done = status is OrderStatus.FILLED
    return changed(
        order,
        time_ns,
        status,
        "" if done else order.reason,
        "" if done else order.reason_detail,
        at_venue=True,
        ask_ns=None,
        filled=filled,
        notional=order.notional + size * price,
        fills=order.fills + 1,
    )


BUSTED = ("BUSTED", "the venue took back what had filled it")


def busted(order: Order, size: int, price: int, time_ns: int, *, over: bool) -> Order:
    """After a fill was taken back. One that it had filled is CANCELLED where it is `over`, else it works
    again; any other keeps its state, but for one that has filled nothing any more. `fills` stays: it counts
    executions, whose numbers are not given twice.
    """
    filled, status = order.filled - size, order.status
    reason = order.reason, order.reason_detail
    if status is OrderStatus.FILLED and filled < order.size:
        status, reason = (OrderStatus.CANCELLED, BUSTED) if over else (OrderStatus.PARTIALLY_FILLED, ("", ""))
    if status is OrderStatus.PARTIALLY_FILLED and not filled:
        status = OrderStatus.ACCEPTED
    notional = order.notional - size * price
    return changed(order, time_ns, status, *reason, filled=filled, notional=notional)


def ended(order: Order, time_ns: int, status: OrderStatus, reason: str, detail: str) -> Order:
    """CANCELLED, EXPIRED or REJECTED; no change for an order that is over already."""
    return order if order.final else changed(order, time_ns, status, reason, detail, **_NOTHING_PENDING)


def resting_status(order: Order) -> OrderStatus:
    """The state of an order that works, by what it has filled."""
    return OrderStatus.PARTIALLY_FILLED if order.filled else OrderStatus.ACCEPTED


@dataclass(frozen=True, slots=True)
class Amendment:
    """New total size or prices, raw; None leaves as it is."""

    size: int | None = None
    limit: int | None = None
    stop: int | None = None
    trail: int | None = None


def amendment_asked(order: Order, time_ns: int, wanted: Amendment) -> Order:
    """PENDING_AMEND with what is asked for."""
    return changed(
        order,
        time_ns,
        OrderStatus.PENDING_AMEND,
        amend_revision=order.revision + 1,
        amend_size=wanted.size,
        amend_limit=wanted.limit,
        amend_stop=wanted.stop,
        amend_trail=wanted.trail,
    )


def amended(order: Order, time_ns: int, terms: Amendment, revision: int) -> Order:
    """The venue works it with `terms` from now on. An answer to another request than the last says nothing,
    nor does one for an order that is over; a cancel that was asked for meanwhile stays asked for.
    """
    if order.final or revision != order.amend_revision:
        return order
    size = order.size if terms.size is None else terms.size
    with_terms = replace(order, size=size, limit=terms.limit, stop=terms.stop, trail=terms.trail)
    return _settled(_back_to_work(with_terms, time_ns))


def trailed(order: Order, time_ns: int, stop: int) -> Order:
    """A trailing stop moved with the market: no change of its terms, hence none of its revision.

    It never moves back, so a late report says nothing.
    """
    behind = order.stop is not None and (stop - order.stop) * order.side.sign >= 0
    if order.final or order.triggered or behind:
        return order
    return replace(order, stop=stop, updated_ns=max(order.updated_ns, time_ns))


def amendment_refused(order: Order, time_ns: int, reason: str, detail: str, revision: int) -> Order:
    """Back to work with the old terms; `reason` stays readable on the order."""
    if order.final or revision != order.amend_revision:
        return order
    return _settled(_back_to_work(order, time_ns, reason, detail))


def cancel_refused(order: Order, time_ns: int, reason: str, detail: str) -> Order:
    """Back to what it was before the cancel was asked for; `reason` stays readable on the order."""
    if order.status is not OrderStatus.PENDING_CANCEL:
        return order
    status = OrderStatus.PENDING_AMEND if order.amend_revision else resting_status(order)
    return changed(order, time_ns, status, reason, detail)


def _back_to_work(order: Order, time_ns: int, reason: str = "", detail: str = "") -> Order:
    """After the answer to an amendment; a cancel that was asked for meanwhile keeps its state and reason."""
    if order.filled >= order.size:
        return changed(order, time_ns, OrderStatus.FILLED)
    if order.status is OrderStatus.PENDING_CANCEL:
        return changed(order, time_ns, order.status, order.reason, order.reason_detail)
    return changed(order, time_ns, resting_status(order), reason, detail)


def _settled(order: Order) -> Order:
    """Without a pending amendment."""
    return replace(order, **_NOTHING_PENDING)
