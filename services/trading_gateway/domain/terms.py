"""What a caller typed, made into terms: the shape of an order, whatever the state of the market.

Faults here are the caller's (INVALID_ARGUMENT) and are found before the books are asked.
"""

from __future__ import annotations

from services.errors import VALIDATION_FAILED, FxError, Kind, invalid_field
from services.market.instruments import Instrument, instrument
from services.money.decimals import format_trimmed, parse_decimal
from services.money.rounding import on_step
from services.trading_gateway.domain.orders import Terms
from services.trading_gateway.domain.values import OrderType, Side, TimeInForce

_ALLOWED = {
    OrderType.MARKET: (TimeInForce.IOC, TimeInForce.FOK),
    OrderType.LIMIT: tuple(TimeInForce),
    OrderType.STOP: (TimeInForce.GTC, TimeInForce.GTD, TimeInForce.DAY),
}


def terms(
    symbol: str,
    side: Side,
    type_: OrderType,
    size: str,
    limit_price: str = "",
    stop_price: str = "",
    time_in_force: TimeInForce | None = None,
    expires_ns: int | None = None,
) -> Terms:
    """Terms from decimal text. Without a time in force: IOC for a market order, GTC for the others.

    Raises FxError INVALID_ARGUMENT `UNKNOWN_SYMBOL`, `PRICE_REQUIRED`, `PRICE_NOT_ALLOWED`,
    `PRICE_TICK`, `TIME_IN_FORCE_INVALID`, `SIZE_STEP`, `SIZE_BELOW_MINIMUM`, `SIZE_ABOVE_MAXIMUM`,
    `VALIDATION_FAILED`.
    """
    of = instrument(symbol)
    _prices_fit(type_, limit_price, stop_price)
    chosen = time_in_force or (TimeInForce.IOC if type_ is OrderType.MARKET else TimeInForce.GTC)
    _time_in_force_fits(type_, chosen, expires_ns)
    return Terms(
        symbol,
        side,
        type_,
        chosen,
        size_of(of, size),
        price_of(of, limit_price, "limit_price"),
        price_of(of, stop_price, "stop_price"),
        expires_ns,
    )


def size_of(of: Instrument, text: str) -> int:
    """Raw size on the step and within the bounds."""
    raw = _scaled(text, of.size_digits, "SIZE_STEP", "size")
    of.check_size(raw)
    return raw


def price_of(of: Instrument, text: str, field: str) -> int | None:
    """Raw price on the tick; None for empty text."""
    if not text:
        return None
    raw = _scaled(text, of.digits, "PRICE_TICK", field)
    if raw <= 0:
        raise invalid_field(VALIDATION_FAILED, field, "must be above zero")
    if not on_step(raw, of.tick):
        raise invalid_field(
            "PRICE_TICK", field, f"must be a multiple of {format_trimmed(of.tick, of.digits)}"
        )
    return raw


def _scaled(text: str, digits: int, reason: str, field: str) -> int:
    """Decimal text at a scale; decimals beyond it are off the step, not a malformed number."""
    decimals = text.partition(".")[2].rstrip("0")
    if len(decimals) > digits and decimals.isascii() and decimals.isdigit():
        raise invalid_field(reason, field, f"has more than {digits} decimals")
    return parse_decimal(text, digits, field=field)


def _prices_fit(type_: OrderType, limit_price: str, stop_price: str) -> None:
    for field, text, wanted in (
        ("limit_price", limit_price, type_ is OrderType.LIMIT),
        ("stop_price", stop_price, type_ is OrderType.STOP),
    ):
        if wanted and not text:
            raise invalid_field("PRICE_REQUIRED", field, f"a {type_.value} order needs one")
        if text and not wanted:
            raise invalid_field("PRICE_NOT_ALLOWED", field, f"a {type_.value} order has none")


def _time_in_force_fits(type_: OrderType, chosen: TimeInForce, expires_ns: int | None) -> None:
    if chosen not in _ALLOWED[type_]:
        raise _invalid("time_in_force", f"a {type_.value} order cannot be {chosen.name}")
    if chosen is TimeInForce.GTD and expires_ns is None:
        raise _invalid("expires_at", "GTD needs a time at which the order expires")
    if chosen is not TimeInForce.GTD and expires_ns is not None:
        raise _invalid("expires_at", "only GTD orders have one")


def _invalid(field: str, description: str) -> FxError:
    return invalid_field("TIME_IN_FORCE_INVALID", field, description)


def not_expired(wanted: Terms, time_ns: int) -> None:
    """A GTD time that has passed on the market is refused."""
    if wanted.expires_ns is not None and wanted.expires_ns <= time_ns:
        raise FxError(
            Kind.INVALID_ARGUMENT,
            "TIME_IN_FORCE_INVALID",
            "expires_at has passed in market time",
        )
