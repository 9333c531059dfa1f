"""Longer bars from shorter ones: exact, because highest, lowest, first and last survive the joining."""

from __future__ import annotations

from collections.abc import Sequence

from services.errors import invalid_field
from services.quant.bars import Bar, BarBuilder
from services.quant.timeframes import DayOrigin, Timeframe


def resample(
    bars: Sequence[Bar],
    timeframe: Timeframe,
    day_origin: DayOrigin = DayOrigin.NEW_YORK,
    through_ns: int | None = None,
) -> list[Bar]:
    """Join bars of one symbol and timeframe, oldest first, into bars of `timeframe`.

    `through_ns` is the market time up to which `bars` are complete, the end of the last one where unknown: a
    last bar whose bucket had not ended by then is partial, and so is one made of a partial bar.
    Raises FxError INVALID_ARGUMENT `BAD_PARAMETER` where the buckets of `bars` do not fit into those of
    `timeframe`, ValueError when `bars` are not of one symbol, timeframe and day origin, or not in order.
    """
    if not bars:
        return []
    first, last = bars[0], bars[-1]
    _check_fits(first, timeframe, day_origin)
    builder = BarBuilder(first.symbol, timeframe, first.digits, day_origin)
    kind = (first.symbol, first.timeframe, first.digits, first.day_origin)
    joined: list[Bar] = []
    previous_ns: int | None = None
    for bar in bars:
        if (bar.symbol, bar.timeframe, bar.digits, bar.day_origin) != kind:
            raise ValueError(f"bars of two kinds: {first} and {bar}")
        if previous_ns is not None and bar.open_ns <= previous_ns:
            raise ValueError(f"bars out of order: {bar.open_ns} after {previous_ns}")
        previous_ns = bar.open_ns
        closed = builder.merge(bar)
        if closed is not None:
            joined.append(closed)
    final = builder.flush(last.end_ns if through_ns is None else through_ns)
    if final is not None:
        joined.append(final)
    return joined


def _check_fits(bar: Bar, timeframe: Timeframe, day_origin: DayOrigin) -> None:
    if timeframe.ns % bar.timeframe.ns or timeframe is bar.timeframe:
        raise invalid_field(
            "BAD_PARAMETER", "timeframe", f"{timeframe} bars cannot be made of {bar.timeframe} bars"
        )
    if bar.timeframe.needs_day_origin and bar.day_origin is not day_origin:
        raise invalid_field(
            "BAD_PARAMETER",
            "day_origin",
            f"{bar.timeframe} bars cut from {bar.day_origin.value} days do not fit {day_origin.value} days",
        )
