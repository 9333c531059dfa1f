"""Bars as float columns, and the rolling window that hands them out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from services.quant.bars import Bar
from services.quant.series import PriceSeries, PriceSide, PriceWindow, series_of
from services.quant.timeframes import Timeframe

BarsOf = Callable[..., list[Bar]]
COLUMNS = ("open_ns", "open", "high", "low", "close", "volume", "bid_close", "ask_close")


def same(left: PriceSeries, right: PriceSeries) -> bool:
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in COLUMNS)


@pytest.mark.parametrize("side", PriceSide)
def test_floats_are_the_nearest_to_the_exact_price(bars_of: BarsOf, side: PriceSide) -> None:
    bars = bars_of("oanda", Timeframe.M1)[:500]
    series = series_of(bars, side)
    weights = {PriceSide.MID: (1, 1), PriceSide.BID: (2, 0), PriceSide.ASK: (0, 2)}[side]
    for name in ("open", "high", "low", "close"):
        for bar, value in zip(bars, getattr(series, name), strict=True):
            raw = weights[0] * getattr(bar, f"bid_{name}") + weights[1] * getattr(bar, f"ask_{name}")
            assert value == float(Fraction(raw, 200_000))
    assert series.bid_close[7] == bars[7].bid_close / 100_000
    assert series.ask_close[7] == bars[7].ask_close / 100_000


@pytest.mark.parametrize("side", PriceSide)
def test_a_window_equals_the_series_of_its_last_bars(bars_of: BarsOf, side: PriceSide) -> None:
    bars = bars_of("oanda", Timeframe.M1)[:230]
    window = PriceWindow(Timeframe.M1, 50, side)
    handed_out = []
    for count, bar in enumerate(bars, start=1):
        window.append(replace(bar, tick_count=count))
        handed_out.append(window.series())
    numbered = [replace(bar, tick_count=count) for count, bar in enumerate(bars, start=1)]
    for count, series in enumerate(handed_out, start=1):
        assert same(series, series_of(numbered[max(0, count - 50) : count], side))
    assert len(window) == 50


def test_the_last_bars_of_a_series(bars_of: BarsOf) -> None:
    bars = bars_of("oanda", Timeframe.M1)[:20]
    series = series_of(bars)
    assert same(series.last(5), series_of(bars[-5:]))
    assert series.last(20) is series
    assert series.last(99) is series
    assert len(series.last(0)) == 0


def test_disorder_and_mixture_are_refused(bars_of: BarsOf) -> None:
    first, second = bars_of("oanda", Timeframe.M1)[:2]
    window = PriceWindow(Timeframe.M1, 5)
    window.extend([first, second])
    with pytest.raises(ValueError, match="out of order"):
        window.append(second)
    with pytest.raises(ValueError, match="1h bar in a window of 1m"):
        window.append(bars_of("oanda", Timeframe.H1)[-1])
    with pytest.raises(ValueError, match="one symbol"):
        series_of([first, replace(second, symbol="GBPUSD")])
    with pytest.raises(ValueError, match="at least one bar"):
        series_of([])
    with pytest.raises(ValueError, match="at least one bar"):
        PriceWindow(Timeframe.M1, 0)
