"""Automatic decisions as messages."""

from __future__ import annotations

from fxmesh.trading.v1 import service_pb2, trading_pb2
from fxmesh.types.v1 import market_pb2 as types_pb2

from services.market.instruments import instrument
from services.money.decimals import format_trimmed
from services.paging import decode_token, page_size
from services.trading_gateway.handlers.decisions import Explained
from services.trading_gateway.ports import DecisionQuery
from services.trading_gateway.wire import books
from services.wire.times import timestamp

_PPM_DIGITS = 6


def decision(value: Explained) -> trading_pb2.Decision:
    """A decision with what came of it."""
    made = value.decision
    distance = made.stop_distance
    taken_back = {each.busts for each in value.fills}
    return trading_pb2.Decision(
        account_id=made.account_id,
        signal_id=made.signal_id,
        symbol=made.symbol,
        side=types_pb2.SIDE_UNSPECIFIED if made.side is None else books.SIDE[made.side],
        strategy=made.strategy,
        timeframe=made.timeframe,
        strength=_share(made.strength_ppm),
        probability=_share(made.probability_ppm),
        score=_share(made.score_ppm),
        reason=made.reason,
        reason_detail=made.detail,
        risked="" if made.risked is None else books.money(made.risked, value.currency),
        stop_distance="" if distance is None else instrument(made.symbol).price_text(distance),
        order_id=made.order_id,
        orders=[books.order(each) for each in value.orders],
        fills=[
            books.fill(each, value.currency, busted=each.execution_id in taken_back) for each in value.fills
        ],
        correlation_id=value.correlation_id,
        time=timestamp(made.time_ns),
    )


def decision_filters(request: service_pb2.ListDecisionsRequest) -> tuple[object, ...]:
    """What a page token of this list is bound to."""
    return ("decisions", request.account_id, tuple(request.symbol), request.ordered_only)


def decision_query(request: service_pb2.ListDecisionsRequest) -> DecisionQuery:
    """A page of decisions. Raises FxError `BAD_PAGE_TOKEN`."""
    before = decode_token(request.page_token, *decision_filters(request))
    return DecisionQuery(
        request.account_id,
        tuple(request.symbol),
        request.ordered_only,
        None if before is None else (int(before[0]), str(before[1])),
        page_size(request.page_size),
    )


def decision_place(value: Explained) -> list[int | str]:
    """Where a page ends that ends with this one."""
    return [value.decision.time_ns, value.decision.signal_id]


def _share(ppm: int | None) -> str:
    return "" if ppm is None else format_trimmed(ppm, _PPM_DIGITS)
