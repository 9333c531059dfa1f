"""Domain events as published messages. Times are market times: the same input gives the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fxmesh.trading.v1 import events_pb2
from google.protobuf.message import Message

from services.runtime.bus.events import event_type
from services.trading_gateway.domain.events import (
    AccountChanged,
    Event,
    MarginCallChanged,
    OrderChanged,
    OrdersRefused,
    OrderStep,
    PositionChanged,
    PositionStoppedOut,
    RiskLimitChanged,
    TradeExecuted,
    TradingStateChanged,
)
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.wire import books, limits
from services.wire.times import timestamp

_ORDER_EVENTS = {
    OrderStep.PLACED: events_pb2.OrderPlaced,
    OrderStep.ACCEPTED: events_pb2.OrderAccepted,
    OrderStep.REJECTED: events_pb2.OrderRejected,
    OrderStep.AMENDED: events_pb2.OrderAmended,
    OrderStep.CANCELLED: events_pb2.OrderCancelled,
    OrderStep.EXPIRED: events_pb2.OrderExpired,
}


def event(value: Event) -> Message:
    """The message of an event."""
    match value:
        case OrderChanged():
            return _order_changed(value)
        case TradeExecuted():
            return _trade_executed(value)
        case PositionChanged():
            return _position_changed(value)
        case AccountChanged():
            return _account_changed(value)
        case TradingStateChanged():
            return _trading_state_changed(value)
        case MarginCallChanged():
            return _margin_call_changed(value)
        case PositionStoppedOut():
            return _position_stopped_out(value)
        case OrdersRefused():
            return _orders_refused(value)
        case RiskLimitChanged():
            return _risk_limit_changed(value)


def causes(told: Sequence[Event]) -> Iterator[str | None]:
    """For each event the id of the one before it: an order's steps and fills follow from its being placed,
    position and cash from the fill told before them, where it was one. None: from the work in hand.
    """
    fill: str | None = None
    for value in told:
        match value:
            case OrderChanged(step=OrderStep.PLACED):
                yield None
            case OrderChanged():
                yield _placed_id(value.order) if value.order.at_venue else None
            case TradeExecuted():
                yield _placed_id(value.order)
                fill = _id(_trade_executed(value))
            case PositionChanged() | AccountChanged():
                yield fill if value.by_fill else None
            case _:
                yield None


def _placed_id(order: Order) -> str:
    placed = events_pb2.OrderPlaced(account_id=order.account_id, order_id=order.order_id, revision=1)
    return _id(placed)


def _id(message: Message) -> str:
    return event_type(message.DESCRIPTOR).address(message).id


def _order_changed(value: OrderChanged) -> Message:
    order = value.order
    message: Message = _ORDER_EVENTS[value.step](
        account_id=order.account_id,
        order_id=order.order_id,
        order=books.order(order),
        revision=order.revision,
        time=timestamp(order.updated_ns),
    )
    return message


def _trade_executed(value: TradeExecuted) -> Message:
    return events_pb2.TradeExecuted(
        account_id=value.fill.account_id,
        execution_id=value.fill.execution_id,
        fill=books.fill(value.fill, value.currency),
        order=books.order(value.order),
        time=timestamp(value.fill.time_ns),
    )


def _position_changed(value: PositionChanged) -> Message:
    position = value.view.position
    return events_pb2.PositionChanged(
        account_id=position.account_id,
        symbol=position.symbol,
        revision=position.revision,
        position=books.position(value.view),
        time=timestamp(position.updated_ns),
    )


def _account_changed(value: AccountChanged) -> Message:
    account = value.view.account
    return events_pb2.AccountChanged(
        account_id=account.account_id,
        revision=account.revision,
        account=books.account(value.view),
        time=timestamp(account.updated_ns),
    )


def _trading_state_changed(value: TradingStateChanged) -> Message:
    return events_pb2.TradingStateChanged(
        account_id=value.account_id,
        revision=value.revision,
        trading_state=books.STATE[value.state],
        reason=value.reason,
        time=timestamp(value.time_ns),
        everywhere=value.everywhere,
    )


def _margin_call_changed(value: MarginCallChanged) -> Message:
    view = value.view
    account, code = view.account, view.account.currency
    return events_pb2.MarginCallChanged(
        account_id=account.account_id,
        revision=account.revision,
        raised=value.raised,
        equity=books.money(view.equity, code),
        margin_used=books.money(view.margin, code),
        margin_level=books.margin_level(view),
        time=timestamp(value.time_ns),
    )


def _position_stopped_out(value: PositionStoppedOut) -> Message:
    account, position = value.account, value.position
    code = account.account.currency
    return events_pb2.PositionStoppedOut(
        account_id=account.account.account_id,
        order_id=value.order_id,
        position=books.position(position),
        equity=books.money(account.equity, code),
        margin_used=books.money(account.margin, code),
        margin_level=books.margin_level(account),
        time=timestamp(value.time_ns),
    )


def _orders_refused(value: OrdersRefused) -> Message:
    return events_pb2.OrdersRefused(
        account_id=value.account_id,
        revision=value.revision,
        reason=value.reason,
        count=value.count,
        since=timestamp(value.since_ns),
        time=timestamp(value.time_ns),
    )


def _risk_limit_changed(value: RiskLimitChanged) -> Message:
    change = value.change
    return events_pb2.RiskLimitChanged(
        account_id=change.account_id,
        number=change.number,
        change=limits.limit_change(change),
        time=timestamp(change.time_ns),
    )
