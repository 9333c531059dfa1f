"""Orders, fills, positions, accounts and what is said of them, as messages. Every number becomes decimal
text.
"""

from __future__ import annotations

from fxmesh.trading.v1 import service_pb2, trading_pb2
from fxmesh.types.v1 import market_pb2 as types_pb2

from services.market.instruments import Instrument, instrument
from services.money.currencies import currency
from services.money.decimals import format_decimal, format_trimmed
from services.money.rounding import Rounding, divide
from services.trading_gateway.domain.events import AccountView, PositionView
from services.trading_gateway.domain.exposure import RiskState
from services.trading_gateway.domain.fills import Fill, LedgerEntry
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.valuation import cost_digits
from services.trading_gateway.domain.values import (
    LedgerKind,
    OrderOrigin,
    OrderStatus,
    OrderType,
    PositionMode,
    Side,
    TimeInForce,
    TradingState,
    TriggerSide,
    VenueState,
)
from services.trading_gateway.handlers.flattening import Flattened
from services.trading_gateway.handlers.progress import SessionProgress
from services.wire.times import timestamp

SIDE = {Side.BUY: types_pb2.SIDE_BUY, Side.SELL: types_pb2.SIDE_SELL}
TYPE = {each: trading_pb2.OrderType.Value(f"ORDER_TYPE_{each.name}") for each in OrderType}
TRIGGER = {each: trading_pb2.TriggerSide.Value(f"TRIGGER_SIDE_{each.name}") for each in TriggerSide}
TIME_IN_FORCE = {each: trading_pb2.TimeInForce.Value(f"TIME_IN_FORCE_{each.name}") for each in TimeInForce}
STATUS = {each: trading_pb2.OrderStatus.Value(f"ORDER_STATUS_{each.name}") for each in OrderStatus}
ORIGIN = {each: trading_pb2.OrderOrigin.Value(f"ORDER_ORIGIN_{each.name}") for each in OrderOrigin}
STATE = {each: trading_pb2.TradingState.Value(f"TRADING_STATE_{each.name}") for each in TradingState}
VENUE_STATE = {each: trading_pb2.VenueState.Value(f"VENUE_STATE_{each.name}") for each in VenueState}
MODE = {each: trading_pb2.PositionMode.Value(f"POSITION_MODE_{each.name}") for each in PositionMode}
LEDGER = {each: trading_pb2.LedgerKind.Value(f"LEDGER_KIND_{each.name}") for each in LedgerKind}

_AVERAGE_DIGITS = 2
"""Decimals of an average price beyond the instrument's."""


def money(raw: int, code: str) -> str:
    """Minor units as text."""
    return format_decimal(raw, currency(code).digits)


def average(cost: int, size: int, of: Instrument) -> str:
    """|cost / size|, rounded half-even to two digits more than the instrument's; empty without a size."""
    if not size:
        return ""
    scaled = divide(abs(cost) * 10**_AVERAGE_DIGITS, abs(size))
    return format_decimal(scaled, of.digits + _AVERAGE_DIGITS)


def order(value: Order) -> trading_pb2.Order:
    """An order."""
    of = instrument(value.symbol)
    return trading_pb2.Order(
        order_id=value.order_id,
        account_id=value.account_id,
        client_order_id=value.client_order_id,
        symbol=value.symbol,
        side=SIDE[value.side],
        type=TYPE[value.type],
        time_in_force=TIME_IN_FORCE[value.time_in_force],
        size=of.size_text(value.size),
        limit_price="" if value.limit is None else of.price_text(value.limit),
        stop_price="" if value.stop is None else of.price_text(value.stop),
        expires_at=timestamp(value.expires_ns),
        status=STATUS[value.status],
        filled_size=of.size_text(value.filled),
        average_price=average(value.notional, value.filled, of),
        revision=value.revision,
        origin=ORIGIN[value.origin],
        signal_id=value.signal_id,
        created_at=timestamp(value.created_ns),
        updated_at=timestamp(value.updated_ns),
        reason=value.reason,
        reason_detail=value.reason_detail,
        trail_distance="" if value.trail is None else of.price_text(value.trail),
        trigger_side=trading_pb2.TRIGGER_SIDE_UNSPECIFIED
        if value.trigger is None
        else TRIGGER[value.trigger],
        post_only=value.post_only,
        reduce_only=value.reduce_only,
        triggered=value.triggered,
        parent_order_id=value.parent_id,
        link_id=value.link_id,
        distance=of.price_text(value.protect_distance) if value.protect_distance else "",
        position_id=value.position_id,
    )


def fill(value: Fill, code: str, *, busted: bool = False) -> trading_pb2.Fill:
    """A fill; `code` is the currency of its account. `busted`: another one takes it back."""
    of = instrument(value.symbol)
    return trading_pb2.Fill(
        execution_id=value.execution_id,
        order_id=value.order_id,
        account_id=value.account_id,
        client_order_id=value.client_order_id,
        symbol=value.symbol,
        side=SIDE[value.side],
        size=of.size_text(value.size),
        price=of.price_text(value.price),
        commission=money(value.commission, code),
        realised_profit=money(value.realised, code),
        conversion_rate=value.rate_text,
        conversion_path=value.path,
        session_id=value.session_id,
        tick_sequence=value.tick_sequence,
        time=timestamp(value.time_ns),
        position_id=value.position_id,
        busts_execution_id=value.busts,
        busted=busted,
    )


def position(view: PositionView) -> trading_pb2.Position:
    """A position at the quotes of the moment."""
    value, of, code = view.position, instrument(view.position.symbol), view.currency
    return trading_pb2.Position(
        account_id=value.account_id,
        symbol=value.symbol,
        size=format_trimmed(value.size, of.size_digits),
        cost=format_decimal(value.cost, cost_digits(of)),
        average_price=average(value.cost, value.size, of),
        realised_profit=money(value.realised, code),
        unrealised_profit="" if view.unrealised is None else money(view.unrealised, code),
        margin="" if view.margin is None else money(view.margin, code),
        financing=money(value.financing, code),
        updated_at=timestamp(value.updated_ns),
        revision=value.revision,
        position_id=value.position_id,
        opened_at=timestamp(value.opened_ns),
    )


def margin_level(view: AccountView) -> str:
    """Equity as a share of the margin held, four decimals rounded down; empty without margin."""
    if not view.margin:
        return ""
    return format_trimmed(divide(view.equity * 10_000, view.margin, Rounding.FLOOR), 4)


def account(view: AccountView) -> trading_pb2.Account:
    """An account at the quotes of the moment."""
    value, code = view.account, view.account.currency
    return trading_pb2.Account(
        account_id=value.account_id,
        currency=code,
        balance=money(value.balance, code),
        equity=money(view.equity, code),
        margin_used=money(view.margin, code),
        margin_available=money(view.equity - view.margin, code),
        margin_level=margin_level(view),
        margin_called=value.margin_called,
        position_mode=MODE[value.mode],
        auto_trade_off=view.auto_trade_off,
        unrealised_profit=money(view.unrealised, code),
        realised_profit=money(value.realised, code),
        commission_paid=money(value.commission, code),
        financing=money(value.financing, code),
        auto_trade=value.auto_trade,
        session_id=value.session_id,
        trading_state=STATE[value.trading_state],
        created_at=timestamp(value.created_ns),
        updated_at=timestamp(value.updated_ns),
        revision=value.revision,
        venue=value.venue,
        venue_state=VENUE_STATE[value.venue_state],
        venue_detail=value.venue_detail,
        venue_differences=[
            trading_pb2.VenueDifference(symbol=symbol, venue_figure=theirs, books_figure=ours)
            for symbol, theirs, ours in value.venue_differences
        ],
        transferred=money(value.transferred, code),
        adjusted=money(value.adjusted, code),
    )


def ledger_entry(value: LedgerEntry, code: str) -> trading_pb2.LedgerEntry:
    """A posting; `code` is the currency of its account."""
    return trading_pb2.LedgerEntry(
        account_id=value.account_id,
        entry=value.entry,
        kind=LEDGER[value.kind],
        amount=money(value.amount, code),
        balance=money(value.balance, code),
        execution_id=value.execution_id,
        source_amount=value.source_amount,
        source_currency=value.source_currency,
        conversion_rate=value.rate_text,
        time=timestamp(value.time_ns),
        transaction=value.transaction,
        symbol=value.symbol,
        conversion_path=value.path,
        detail=value.detail,
    )


def risk_state(value: RiskState) -> trading_pb2.RiskState:
    """Limits and their use."""
    return trading_pb2.RiskState(
        account_id=value.account.account_id,
        trading_state=STATE[value.account.trading_state],
        state_reason=value.account.state_reason,
        limits=[
            trading_pb2.RiskLimit(
                name=each.name,
                limit=each.limit,
                used=each.used,
                unit=each.unit,
                symbol=each.symbol,
                set_at_run_time=each.set_at_run_time,
            )
            for each in value.limits
        ],
        currency_exposure=value.exposure,
        refusals=value.refusals,
    )


def flattened(value: Flattened) -> service_pb2.FlattenAccountResponse:
    """What was done to be out of an account."""
    closed = [
        service_pb2.FlattenedPosition(
            symbol=each.symbol,
            position_id=each.position_id,
            size=format_trimmed(each.size, instrument(each.symbol).size_digits),
            order=order(each.order),
        )
        for each in value.closed
    ]
    cancelled = [order(each) for each in value.cancelled]
    return service_pb2.FlattenAccountResponse(orders=cancelled, positions=closed, flat=value.flat)


def session_progress(value: SessionProgress) -> service_pb2.GetSessionProgressResponse:
    """How far trading is with a session."""
    return service_pb2.GetSessionProgressResponse(
        feeds=[
            types_pb2.FeedProgress(symbol=each.symbol, sequence=each.sequence, session_ended=each.ended)
            for each in value.feeds
        ],
        signal_count=value.signals,
        undecided_signal_count=value.undecided,
        ticks_ahead_of_analysis=value.ahead,
    )
