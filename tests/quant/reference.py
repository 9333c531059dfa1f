"""Small series and comparisons for the tests that hold indicators to published values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from services.quant.indicators import CATALOGUE
from services.quant.series import FloatArray, PriceSeries, PriceSide
from services.quant.timeframes import DayOrigin, Timeframe


def series(**columns: FloatArray) -> PriceSeries:
    """A series of the given columns; a formula that reads another one meets nan."""
    count = len(next(iter(columns.values())))
    missing = np.full(count, np.nan)
    return PriceSeries(
        Timeframe.D1,
        DayOrigin.NEW_YORK,
        PriceSide.MID,
        open_ns=np.arange(count),
        open=columns.get("open", missing),
        high=columns.get("high", missing),
        low=columns.get("low", missing),
        close=columns.get("close", missing),
        volume=columns.get("volume", missing),
        bid_close=missing,
        ask_close=missing,
    )


def values(name: str, parameters: tuple[float, ...], bars: PriceSeries) -> list[FloatArray]:
    return list(CATALOGUE[name].method.bind(parameters)(bars, len(bars)))


def largest_difference(mine: FloatArray, theirs: FloatArray) -> float:
    """Over the bars where both have a value, aligned at the last; both must have some."""
    count = min(len(mine), len(theirs))
    difference = np.abs(mine[-count:] - theirs[-count:])
    assert not np.isnan(difference).all()
    return float(np.nanmax(difference))


def with_bars_in_front(bars: PriceSeries, count: int) -> PriceSeries:
    """`count` bars in front, of the first bar's high and low and a close between (a mere price stays itself).

    This is how a formula of ours is made to start as those do that begin with the first price or range.
    """

    def longer(column: FloatArray, first: float) -> FloatArray:
        return np.concatenate([np.full(count, first), column])

    ranged = not np.isnan(bars.high[0])
    middle = (bars.high[0] + bars.low[0]) / 2 if ranged else bars.close[0]
    return replace(
        bars,
        open_ns=np.arange(count + len(bars)),
        high=longer(bars.high, bars.high[0]),
        low=longer(bars.low, bars.low[0]),
        close=longer(bars.close, middle),
    )
