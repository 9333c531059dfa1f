"""What callers ask, as domain values."""

from __future__ import annotations

from fxmesh.trading.v1 import service_pb2, trading_pb2

from services.paging import decode_token, page_size
from services.trading_gateway.domain import terms as shape
from services.trading_gateway.domain.orders import Terms
from services.trading_gateway.domain.values import PositionMode, TradingState
from services.trading_gateway.handlers.orders import Change
from services.trading_gateway.ports import FillQuery, OrderQuery
from services.trading_gateway.wire import books
from services.wire.times import time_ns

_SIDE = {value: key for key, value in books.SIDE.items()}
_TYPE = {value: key for key, value in books.TYPE.items()}
_TRIGGER = {value: key for key, value in books.TRIGGER.items()}
_TIME_IN_FORCE = {value: key for key, value in books.TIME_IN_FORCE.items()}
_STATUS = {value: key for key, value in books.STATUS.items()}
_STATE = {value: key for key, value in books.STATE.items()}
_MODE = {value: key for key, value in books.MODE.items()}


def terms(request: service_pb2.PlaceOrderRequest) -> Terms:
    """The terms of an order. Raises FxError as `domain.terms.terms`."""
    return shape.terms(
        request.symbol,
        _SIDE[request.side],
        _TYPE[request.type],
        request.size,
        shape.Typed(
            request.limit_price,
            request.stop_price,
            request.trail_distance,
            _TRIGGER.get(request.trigger_side),
            request.post_only,
            request.reduce_only,
            _take_profit(request),
            _stop_loss(request),
            request.link_id,
            request.parent_order_id,
            request.position_id,
        ),
        _TIME_IN_FORCE.get(request.time_in_force),
        time_ns(request, "expires_at"),
    )


def _take_profit(request: service_pb2.PlaceOrderRequest) -> shape.TypedLeg | None:
    leg = request.take_profit
    return shape.TypedLeg(leg.limit_price, leg.distance) if request.HasField("take_profit") else None


def _stop_loss(request: service_pb2.PlaceOrderRequest) -> shape.TypedLeg | None:
    leg = request.stop_loss
    if not request.HasField("stop_loss"):
        return None
    trigger = _TRIGGER.get(leg.trigger_side)
    return shape.TypedLeg(leg.stop_price, leg.distance, leg.trail_distance, trigger)


def change(request: service_pb2.AmendOrderRequest) -> Change:
    """What to change of an order, still as typed: its scale depends on the order's instrument."""
    return Change(
        request.size, request.limit_price, request.stop_price, request.revision, request.trail_distance
    )


def position_mode(value: trading_pb2.PositionMode.ValueType) -> PositionMode:
    """How an account keeps positions; netting unless it is said."""
    return _MODE.get(value, PositionMode.NETTING)


def trading_state(value: trading_pb2.TradingState.ValueType) -> TradingState:
    """A trading state."""
    return _STATE[value]


def difference(value: trading_pb2.VenueDifference) -> tuple[str, str, str]:
    """Symbol (none: the balance), the venue's figure, ours."""
    return value.symbol, value.venue_figure, value.books_figure


def order_filters(request: service_pb2.ListOrdersRequest) -> tuple[object, ...]:
    """What a page token of this list is bound to."""
    return (
        "orders",
        request.account_id,
        tuple(request.symbol),
        tuple(request.status),
        request.parent_order_id,
    )


def order_query(request: service_pb2.ListOrdersRequest) -> OrderQuery:
    """A page of orders. Raises FxError `BAD_PAGE_TOKEN`."""
    return OrderQuery(
        request.account_id,
        tuple(request.symbol),
        tuple(_STATUS[each] for each in request.status),
        _position(request.page_token, *order_filters(request)),
        page_size(request.page_size),
        request.parent_order_id,
    )


def fill_filters(request: service_pb2.ListFillsRequest) -> tuple[object, ...]:
    """What a page token of this list is bound to."""
    return ("fills", request.account_id, tuple(request.symbol), request.order_id)


def fill_query(request: service_pb2.ListFillsRequest) -> FillQuery:
    """A page of fills. Raises FxError `BAD_PAGE_TOKEN`."""
    return FillQuery(
        request.account_id,
        tuple(request.symbol),
        request.order_id,
        _position(request.page_token, *fill_filters(request)),
        page_size(request.page_size),
    )


def ledger_filters(request: service_pb2.ListLedgerEntriesRequest) -> tuple[object, ...]:
    """What a page token of this list is bound to."""
    return ("ledger", request.account_id)


def ledger_position(request: service_pb2.ListLedgerEntriesRequest) -> int:
    """The entry after which the page begins; 0 for the first. Raises FxError `BAD_PAGE_TOKEN`."""
    return _position(request.page_token, *ledger_filters(request)) or 0


def transaction_filters(request: service_pb2.ListTransactionsRequest) -> tuple[object, ...]:
    """What a page token of this list is bound to."""
    return ("transactions", request.account_id)


def transaction_position(request: service_pb2.ListTransactionsRequest) -> int:
    """The transaction after which the page begins; 0 for the first. Raises FxError `BAD_PAGE_TOKEN`."""
    return _position(request.page_token, *transaction_filters(request)) or 0


def limit_change_filters(request: service_pb2.ListRiskLimitChangesRequest) -> tuple[object, ...]:
    """What a page token of this list is bound to."""
    return ("limit_changes", request.account_id)


def limit_change_position(request: service_pb2.ListRiskLimitChangesRequest) -> int | None:
    """The change before which the page begins; None for the newest. Raises FxError `BAD_PAGE_TOKEN`."""
    return _position(request.page_token, *limit_change_filters(request))


def _position(token: str, *filters: object) -> int | None:
    position = decode_token(token, *filters)
    return None if position is None else int(position[0])
