"""The arithmetic of the features, on many windows at once.

Only +, -, *, /, square root, maximum and minimum are used, which every machine rounds alike, and each sum is
taken one after the other (`np.add.accumulate`), because numpy groups the terms of `sum` by the shape of its
input. Hence a row has the same bits alone and among thousands. Prices are taken relative to the last close,
so that a market that stands still gives exact zeros, and in units of the average true range.

What differs between sources of bars is left out, for a model would learn the source: the open (some brokers
publish the close before, others the first tick) and the tick count (unknown in imported files).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np

from services.market.calendar import civil_day
from services.quant.series import FloatArray, IntArray
from services.quant.timeframes import DayOrigin, Timeframe, bucket_bounds, day_bounds

FEATURE_WINDOW: Final = 96
"""Bars a row looks at: a day of M15, four days of H1."""

LARGEST: Final = 100.0
"""Features are cut off at ± this: a spread in units of a range of almost nothing has no meaning beyond."""

Ratio = tuple[FloatArray, FloatArray, float]
"""Part, whole, and what stands for their ratio where the whole is not positive: nothing moved, say."""

RETURN_BARS: Final = (1, 3, 6, 12, 24, 48)
EMA_BARS: Final = (10, 20, 50)


@dataclass(frozen=True, slots=True)
class Feature:
    """One column: its name, and what it is in what unit."""

    name: str
    description: str


FEATURES: Final = (
    *(
        Feature(f"return_{k}", f"Change of the close over {k} bars, in ATR times root {k}")
        for k in RETURN_BARS
    ),
    *(
        Feature(f"ema_distance_{k}", f"Close less its exponential average of {k} bars, in ATR")
        for k in EMA_BARS
    ),
    Feature("macd", "Exponential average of 12 bars less that of 26, in ATR"),
    Feature("macd_histogram", "The same less its exponential average of 9 bars, in ATR"),
    Feature("bollinger_position", "Close less the mean of 20 bars, in two standard deviations"),
    Feature("bollinger_width", "Four standard deviations of 20 bars, in ATR"),
    Feature("rsi_14", "Gains less losses by their sum, Wilder's weights of 14 bars: RSI / 50 - 1"),
    Feature("rsi_5", "The same of 5 bars"),
    Feature("trend_efficiency", "Change over 20 bars by the way travelled, -1 to 1"),
    Feature("autocorrelation", "Correlation about zero of a change with the one before, 20 bars"),
    Feature("directional_balance", "Upward less downward movement by their sum, Wilder's weights of 14 bars"),
    Feature("range_position_24", "Place of the close between lowest and highest of 24 bars, 0 to 1"),
    Feature("range_position_96", "Place of the close between lowest and highest of 96 bars, 0 to 1"),
    Feature("volatility_ratio", "True range averaged over 7 bars by that over 50"),
    Feature("upper_shadow", "High less the higher of this close and the one before, in ATR; never below 0"),
    Feature("lower_shadow", "Lower of this close and the one before less the low, in ATR; never below 0"),
    Feature("spread", "Ask less bid at the close, in ATR"),
    Feature("spread_ratio", "Spread at the close by its mean over 48 bars"),
    Feature("continuity", "Length of a bar by the time since the bar before began: 1, less after a gap"),
    Feature("time_of_day_sin", "Time of the close within the trading day (from 17:00 New York), sine"),
    Feature("time_of_day_cos", "The same, cosine"),
    Feature("time_of_week_sin", "Time of the close within the week of trading days, sine"),
    Feature("time_of_week_cos", "The same, cosine"),
)
"""What a row holds. ATR is the average true range of 14 bars with Wilder's weights."""


@dataclass(frozen=True, slots=True)
class Windows:
    """n windows of `FEATURE_WINDOW` bars: columns of shape (n, FEATURE_WINDOW), oldest bar first.

    Of the times only the last two of each window matter: `open_ns` has shape (n + 1,), first the bar before
    the last of the first window, then the last bar of each.
    """

    timeframe: Timeframe
    day_origin: DayOrigin
    open_ns: IntArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    spread: FloatArray


def compute_rows(windows: Windows) -> FloatArray:
    """Shape (n, len(FEATURES)), finite, columns in the order of `FEATURES`."""
    high, low, close = windows.high, windows.low, windows.close
    before = close[:, :-1]
    true_range = np.maximum(high[:, 1:], before) - np.minimum(low[:, 1:], before)
    atr, fast, slow = _weighted(true_range, _RANGE_WEIGHTS)
    ratios = [
        *_trend(close - close[:, -1:], atr),
        *_momentum(close[:, 1:] - before),
        _direction(high, low),
        *_ranges(high, low, close[:, -1]),
        (fast, slow, 1.0),
        *_shadows(high[:, -1], low[:, -1], close, atr),
        *_spreads(windows.spread, atr),
    ]
    parts, wholes, otherwise = zip(*ratios, strict=True)
    whole = np.stack(wholes, axis=1)
    values = np.empty((len(close), len(FEATURES)))
    values[:, : len(ratios)] = otherwise
    np.divide(np.stack(parts, axis=1), whole, out=values[:, : len(ratios)], where=whole > 0)
    values[:, len(ratios) :] = _time(windows)
    return np.clip(values, -LARGEST, LARGEST)


def _trend(offset: FloatArray, atr: FloatArray) -> list[Ratio]:
    """Of `offset`, closes less the last one: changes, distances to averages, MACD, Bollinger bands."""
    changes = [(-offset[:, -1 - bars], atr * math.sqrt(bars), 0.0) for bars in RETURN_BARS]
    *averages, macd, histogram = _weighted(offset, _TREND_WEIGHTS)
    latest = offset[:, -20:]
    mean = _total(latest) / 20
    distance = latest - mean[:, np.newaxis]
    deviation = np.sqrt(_total(distance * distance) / 20)
    return [
        *changes,
        *((-average, atr, 0.0) for average in averages),
        (macd, atr, 0.0),
        (histogram, atr, 0.0),
        (-mean, 2 * deviation, 0.0),
        (4 * deviation, atr, 0.0),
    ]


def _momentum(change: FloatArray) -> list[Ratio]:
    """Of `change`, each close less the one before."""
    size = np.abs(change)
    balances = zip(_weighted(change, _CHANGE_WEIGHTS), _weighted(size, _CHANGE_WEIGHTS), strict=True)
    latest, previous = change[:, -20:], change[:, -21:-1]
    scale = np.sqrt(_total(latest * latest) * _total(previous * previous))
    return [
        *((net, way, 0.0) for net, way in balances),
        (_total(latest), _total(size[:, -20:]), 0.0),
        (_total(latest * previous), scale, 0.0),
    ]


def _direction(high: FloatArray, low: FloatArray) -> Ratio:
    """Wilder's directional movement: of the two extremes only the one that went further out counts."""
    up, down = high[:, 1:] - high[:, :-1], low[:, :-1] - low[:, 1:]
    plus = np.where(up > down, np.maximum(up, 0.0), 0.0)
    minus = np.where(down > up, np.maximum(down, 0.0), 0.0)
    upward, downward = _total(plus * _WILDER_14), _total(minus * _WILDER_14)
    return upward - downward, upward + downward, 0.0


def _ranges(high: FloatArray, low: FloatArray, last: FloatArray) -> list[Ratio]:
    places: list[Ratio] = []
    for bars in (24, FEATURE_WINDOW):
        lowest, highest = low[:, -bars:].min(axis=1), high[:, -bars:].max(axis=1)
        places.append((last - lowest, highest - lowest, 0.5))
    return places


def _shadows(high: FloatArray, low: FloatArray, close: FloatArray, atr: FloatArray) -> list[Ratio]:
    before, last = close[:, -2], close[:, -1]
    upper, lower = np.maximum(last, before), np.minimum(last, before)
    return [(np.maximum(high - upper, 0.0), atr, 0.0), (np.maximum(lower - low, 0.0), atr, 0.0)]


def _spreads(spread: FloatArray, atr: FloatArray) -> list[Ratio]:
    last = spread[:, -1]
    return [(last, atr, 0.0), (last, _total(spread[:, -48:]) / 48, 1.0)]


def _time(windows: Windows) -> FloatArray:
    """Whether bars are missing before the close, and where it lies in trading day and week; shape (n, 5)."""
    opens = windows.open_ns.tolist()
    frame, origin = windows.timeframe, windows.day_origin
    rows: list[tuple[float, ...]] = []
    begin = end = weekday = 0
    for previous, opened in pairwise(opens):
        closed = bucket_bounds(frame, opened, origin)[1] if frame.needs_day_origin else opened + frame.ns
        if not begin <= closed < end:
            begin, end = day_bounds(closed)
            weekday = civil_day(closed).weekday()
        day = (closed - begin) / (end - begin)
        continuity = min(frame.ns / (opened - previous), 1.0)
        rows.append((continuity, *_circle(day), *_circle((weekday + day) / 7)))
    return np.array(rows)


@lru_cache(maxsize=16_384)
def _circle(part: float) -> tuple[float, float]:
    """Sine and cosine of a part of a turn. Rounded, because the last bits differ between C libraries."""
    return round(math.sin(math.tau * part), 12), round(math.cos(math.tau * part), 12)


def _total(values: FloatArray) -> FloatArray:
    """Sum over the last axis, from first to last."""
    return np.add.accumulate(values, axis=-1)[..., -1]


def _weighted(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Weighted sums, shape (k, n), by each of k rows of weights."""
    return _total(values * weights[:, np.newaxis])


def _exponential(weight: float, bars: int) -> list[float]:
    """Weights of an exponential average cut off after `bars`, newest first, adding up to 1."""
    weights = [1.0]
    while len(weights) < bars:
        weights.append(weights[-1] * (1 - weight))
    whole = math.fsum(weights)
    return [each / whole for each in weights]


def _oldest_first(weights: list[float]) -> FloatArray:
    return np.array(weights[::-1])


def _wilder(period: int) -> FloatArray:
    return _oldest_first(_exponential(1 / period, FEATURE_WINDOW - 1))


def _ema(period: int) -> list[float]:
    return _exponential(2 / (period + 1), FEATURE_WINDOW)


def _smoothed(weights: list[float], by: list[float]) -> list[float]:
    """Weights of the average `by` of values that are themselves weighted sums."""
    return [math.fsum(by[i] * weights[age - i] for i in range(age + 1)) for age in range(len(weights))]


_WILDER_14: Final = _wilder(14)
_RANGE_WEIGHTS: Final = np.stack([_WILDER_14, _wilder(7), _wilder(50)])
_CHANGE_WEIGHTS: Final = np.stack([_WILDER_14, _wilder(5)])
_MACD: Final = [fast - slow for fast, slow in zip(_ema(12), _ema(26), strict=True)]
_HISTOGRAM: Final = [macd - signal for macd, signal in zip(_MACD, _smoothed(_MACD, _ema(9)), strict=True)]
_TREND_WEIGHTS: Final = np.stack(
    [_oldest_first(weights) for weights in (*(_ema(bars) for bars in EMA_BARS), _MACD, _HISTOGRAM)]
)
