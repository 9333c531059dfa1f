"""Bars ↔ messages with prices as decimal text."""

from __future__ import annotations

from typing import Any

from fxmesh.types.v1 import market_pb2

from services.money.decimals import format_decimal, parse_decimal
from services.quant.bars import BAR_PRICES, Bar
from services.wire.timeframes import TIMEFRAME, TIMEFRAME_OF
from services.wire.times import nanoseconds, timestamp


def bar(value: Bar) -> market_pb2.Bar:
    """A bar."""
    prices = {name: format_decimal(getattr(value, name), value.digits) for name in BAR_PRICES}
    return market_pb2.Bar(
        symbol=value.symbol,
        timeframe=TIMEFRAME[value.timeframe],
        open_time=timestamp(value.open_ns),
        tick_count=value.tick_count,
        partial=value.partial,
        **prices,
    )


def bar_of(message: market_pb2.Bar, digits: int) -> Bar:
    """The inverse, prices scaled by `digits`. Raises FxError for prices that are none."""
    prices: dict[str, Any] = {
        name: parse_decimal(getattr(message, name), digits, field=name) for name in BAR_PRICES
    }
    return Bar(
        symbol=message.symbol,
        timeframe=TIMEFRAME_OF[message.timeframe],
        open_ns=nanoseconds(message.open_time),
        digits=digits,
        tick_count=message.tick_count,
        partial=message.partial,
        **prices,
    )
