"""What a caller typed, made into terms: the shape of an order, whatever the state of the market.

Faults here are the caller's (INVALID_ARGUMENT) and are found before the books are asked.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.errors import VALIDATION_FAILED, FxError, Kind, invalid_field
from services.market.instruments import Instrument, instrument
from services.money.decimals import format_trimmed, parse_decimal
from services.money.rounding import on_step
from services.trading_gateway.domain.orders import Leg, Terms
from services.trading_gateway.domain.values import OrderType, Side, TimeInForce, TriggerSide

PRICES: dict[OrderType, tuple[str, ...]] = {
    OrderType.MARKET: (),
    OrderType.LIMIT: ("limit_price",),
    OrderType.STOP: ("stop_price",),
    OrderType.STOP_LIMIT: ("limit_price", "stop_price"),
    OrderType.MARKET_IF_TOUCHED: ("stop_price",),
    OrderType.TRAILING_STOP: ("trail_distance",),
}
"""The prices that an order of each type has: needed when it is placed, and all that can be changed."""
_AT_ONCE = (TimeInForce.IOC, TimeInForce.FOK)


@dataclass(frozen=True, slots=True)
class TypedLeg:
    """A take-profit or stop-loss as typed: one of the three."""

    price: str = ""
    distance: str = ""
    trail_distance: str = ""
    trigger: TriggerSide | None = None


@dataclass(frozen=True, slots=True)
class Typed:
    """Prices and conditions of an order as a caller typed them; empty text for none."""

    limit_price: str = ""
    stop_price: str = ""
    trail_distance: str = ""
    trigger: TriggerSide | None = None
    post_only: bool = False
    reduce_only: bool = False
    take_profit: TypedLeg | None = None
    stop_loss: TypedLeg | None = None
    link_id: str = ""
    parent_id: str = ""
    position_id: str = ""


PLAIN = Typed()


def terms(
    symbol: str,
    side: Side,
    type_: OrderType,
    size: str,
    typed: Typed = PLAIN,
    time_in_force: TimeInForce | None = None,
    expires_ns: int | None = None,
) -> Terms:
    """Terms from decimal text. Without a time in force: IOC for a market order, GTC for the others.

    Raises FxError INVALID_ARGUMENT `UNKNOWN_SYMBOL`, `PRICE_REQUIRED`, `PRICE_NOT_ALLOWED`,
    `PRICE_TICK`, `TIME_IN_FORCE_INVALID`, `OPTION_NOT_ALLOWED`, `SIZE_STEP`, `SIZE_BELOW_MINIMUM`,
    `SIZE_ABOVE_MAXIMUM`, `VALIDATION_FAILED`.
    """
    of = instrument(symbol)
    _prices_fit(type_, typed)
    chosen = time_in_force or (TimeInForce.IOC if type_ is OrderType.MARKET else TimeInForce.GTC)
    _time_in_force_fits(type_, chosen, expires_ns)
    _options_fit(type_, chosen, typed)
    return Terms(
        symbol,
        side,
        type_,
        chosen,
        size_of(of, size),
        price_of(of, typed.limit_price, "limit_price"),
        price_of(of, typed.stop_price, "stop_price"),
        expires_ns,
        price_of(of, typed.trail_distance, "trail_distance"),
        typed.trigger,
        typed.post_only,
        typed.reduce_only or bool(typed.position_id),
        _leg(of, typed.take_profit, "take_profit", "limit_price"),
        _leg(of, typed.stop_loss, "stop_loss", "stop_price"),
        typed.link_id,
        typed.parent_id,
        typed.position_id,
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


def _leg(of: Instrument, typed: TypedLeg | None, name: str, price_field: str) -> Leg | None:
    """Raises FxError `PRICE_REQUIRED`, `PRICE_NOT_ALLOWED` unless it has one of the prices there are."""
    if typed is None:
        return None
    prices = {
        price_field: typed.price,
        "distance": typed.distance,
        "trail_distance": typed.trail_distance,
    }
    given = [field for field, text in prices.items() if text]
    if not given:
        raise invalid_field("PRICE_REQUIRED", f"{name}.{price_field}", "give a price or a distance")
    if len(given) > 1:
        raise invalid_field("PRICE_NOT_ALLOWED", f"{name}.{given[1]}", f"{given[0]} says where it is already")
    raw = price_of(of, prices[given[0]], f"{name}.{given[0]}")
    if given[0] == "distance":
        return Leg(distance=raw or 0, trigger=typed.trigger)
    if given[0] == "trail_distance":
        return Leg(trail=raw, trigger=typed.trigger)
    return Leg(raw, trigger=typed.trigger)


def _prices_fit(type_: OrderType, typed: Typed) -> None:
    for field in ("limit_price", "stop_price", "trail_distance"):
        text, wanted = getattr(typed, field), field in PRICES[type_]
        if wanted and not text:
            raise invalid_field("PRICE_REQUIRED", field, f"a {type_.words} order needs one")
        if text and not wanted:
            raise invalid_field("PRICE_NOT_ALLOWED", field, f"a {type_.words} order has none")


def _options_fit(type_: OrderType, chosen: TimeInForce, typed: Typed) -> None:
    if typed.trigger is not None and not type_.waits:
        raise invalid_field("OPTION_NOT_ALLOWED", "trigger_side", f"a {type_.words} order waits for no price")
    for field in ("take_profit", "stop_loss"):
        if (typed.reduce_only or typed.position_id) and getattr(typed, field) is not None:
            raise invalid_field("OPTION_NOT_ALLOWED", field, "a reduce-only order opens nothing to take back")
    if typed.post_only and (type_ is not OrderType.LIMIT or chosen in _AT_ONCE):
        raise invalid_field(
            "OPTION_NOT_ALLOWED", "post_only", "only a limit order that may wait can add liquidity only"
        )


def _time_in_force_fits(type_: OrderType, chosen: TimeInForce, expires_ns: int | None) -> None:
    if type_ is OrderType.MARKET and chosen not in _AT_ONCE:
        raise _invalid("time_in_force", f"a market order is IOC or FOK, not {chosen.name}")
    if type_.waits and chosen in _AT_ONCE:
        raise _invalid(
            "time_in_force", f"a {type_.words} order waits for its price, which {chosen.name} does not"
        )
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
