"""What a model sees of a market at a bar's close, by one code for live, replay and training.

A row rests on its last `FEATURE_WINDOW` bars and on nothing else: finite sums of fixed weights stand where
indicators remember for ever. The arithmetic (`feature_formulas`) rounds each step the same way for one row
and for many, so a row computed live equals the row of the training matrix to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.errors import FxError, Kind
from services.quant.bars import Bar
from services.quant.feature_formulas import FEATURE_WINDOW, FEATURES, Windows, compute_rows
from services.quant.series import FloatArray, IntArray, PriceSeries, PriceSide, series_of

__all__ = [
    "FEATURE_DESCRIPTIONS",
    "FEATURE_NAMES",
    "FEATURE_SET_VERSION",
    "FEATURE_WINDOW",
    "FeatureMatrix",
    "feature_matrix",
    "feature_row",
]

FEATURE_SET_VERSION: Final = 1
"""Goes up with any change of a name, the order or a formula: a model serves the version it was trained on."""

FEATURE_NAMES: Final = tuple(feature.name for feature in FEATURES)
FEATURE_DESCRIPTIONS: Final = {feature.name: feature.description for feature in FEATURES}

_ROWS_AT_A_TIME: Final = 256  # keeps the windows of a block in the processor's cache


class FeatureMatrix(NamedTuple):
    """Rows for all bars: times shape (n,), values (n, len(FEATURE_NAMES)), and which rows there are.

    A row is valid where `FEATURE_WINDOW` bars were known; elsewhere it is nan. Valid rows are finite.
    """

    open_ns: IntArray
    values: FloatArray
    valid: npt.NDArray[np.bool_]


def feature_row(bars: Sequence[Bar] | PriceSeries) -> FloatArray:
    """Features at the close of the last bar, shape (len(FEATURE_NAMES),), all finite.

    `bars` are of one symbol and timeframe, oldest first; a series must be of mid prices (ValueError).
    Raises FxError FAILED_PRECONDITION `NOT_ENOUGH_BARS` for fewer than `FEATURE_WINDOW`.
    """
    if len(bars) < FEATURE_WINDOW:
        raise FxError(
            Kind.FAILED_PRECONDITION,
            "NOT_ENOUGH_BARS",
            f"features need {FEATURE_WINDOW} bars, there are {len(bars)}",
        )
    row: FloatArray = compute_rows(_windows(_series(bars[-FEATURE_WINDOW:])))[0]
    return row


def feature_matrix(bars: Sequence[Bar] | PriceSeries) -> FeatureMatrix:
    """Features at the close of every bar: row i equals `feature_row(bars[: i + 1])`; `bars` as there."""
    if not len(bars):
        return FeatureMatrix(np.empty(0, np.int64), np.empty((0, len(FEATURES))), np.empty(0, np.bool_))
    series = _series(bars)
    values = np.full((len(series), len(FEATURES)), np.nan)
    first = FEATURE_WINDOW - 1
    for start in range(first, len(series), _ROWS_AT_A_TIME):
        stop = min(start + _ROWS_AT_A_TIME, len(series))
        values[start:stop] = compute_rows(_windows(series[start - first : stop]))
    return FeatureMatrix(series.open_ns, values, np.arange(len(series)) >= first)


def _series(bars: Sequence[Bar] | PriceSeries) -> PriceSeries:
    series = bars if isinstance(bars, PriceSeries) else series_of(bars)
    if series.side is not PriceSide.MID:
        raise ValueError(f"features are of mid prices, not of {series.side.value} prices")
    return series


def _windows(series: PriceSeries) -> Windows:
    """All windows of a series of at least `FEATURE_WINDOW` bars, oldest first, without copying."""
    return Windows(
        timeframe=series.timeframe,
        day_origin=series.day_origin,
        open_ns=series.open_ns[FEATURE_WINDOW - 2 :],
        high=_sliding(series.high),
        low=_sliding(series.low),
        close=_sliding(series.close),
        spread=_sliding(series.ask_close - series.bid_close),
    )


def _sliding(column: FloatArray) -> FloatArray:
    """Shape (n - FEATURE_WINDOW + 1, FEATURE_WINDOW), oldest bar of each window first."""
    if len(column) == FEATURE_WINDOW:  # one row, as at each bar's close: 15 µs less a column
        return column[np.newaxis, :]
    return np.lib.stride_tricks.sliding_window_view(column, FEATURE_WINDOW)
