"""What a model learns to foresee: where the price stands some bars on.

A label looks ahead by construction, so it never reaches a live path; `splits` keeps what it saw out of
validation. Comparisons are of doubles that come from integers of one scale, hence exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.errors import invalid_field
from services.quant.bars import Bar
from services.quant.series import FloatArray, IntArray, PriceSeries, PriceSide, series_of
from services.quant.timeframes import bucket_bounds

LONGEST_HORIZON: Final = 1_000


class LabelKind(Enum):
    """How a label is made of the close of a bar and the close `horizon` bars on."""

    DIRECTION = "direction"
    """1 when the later mid is above, else 0."""
    NET_DIRECTION = "net_direction"
    """1 when a purchase at the ask gains at the later bid, -1 when a sale at the bid gains at the later ask,
    else 0: the move did not pay for the spread."""


class Labels(NamedTuple):
    """One label a bar, all of shape (n,).

    The last `horizon` bars have none: `known` is False there and the value 0. `time_ns` is when the
    features of the row are known, the bar's end, and `end_ns` when its label is; both ns since 1970 UTC.
    """

    values: npt.NDArray[np.int8]
    known: npt.NDArray[np.bool_]
    time_ns: IntArray
    end_ns: IntArray


def label_bars(
    bars: Sequence[Bar] | PriceSeries, horizon: int, kind: LabelKind = LabelKind.DIRECTION
) -> Labels:
    """Labels of bars of one symbol and timeframe, oldest first; a series must be of mid prices (ValueError).

    Raises FxError INVALID_ARGUMENT `BAD_PARAMETER` for a horizon outside 1 to `LONGEST_HORIZON`.
    """
    if not 1 <= horizon <= LONGEST_HORIZON:
        raise invalid_field(
            "BAD_PARAMETER", "horizon", f"lies between 1 and {LONGEST_HORIZON}, not {horizon}"
        )
    if not len(bars):
        nothing = np.empty(0, np.int64)
        return Labels(np.empty(0, np.int8), np.empty(0, np.bool_), nothing, nothing)
    series = bars if isinstance(bars, PriceSeries) else series_of(bars)
    if series.side is not PriceSide.MID:
        raise ValueError(f"labels are of mid prices, not of {series.side.value} prices")
    count = len(series)
    labelled = max(count - horizon, 0)
    values = np.zeros(count, np.int8)
    values[:labelled] = _RULES[kind](series, horizon)
    time_ns = _ends(series)
    end_ns = np.full(count, np.iinfo(np.int64).max)
    end_ns[:labelled] = time_ns[horizon:]
    return Labels(values, np.arange(count) < labelled, time_ns, end_ns)


def _direction(series: PriceSeries, horizon: int) -> npt.NDArray[np.int8]:
    now, later = _apart(series.close, horizon)
    return (later > now).astype(np.int8)


def _net_direction(series: PriceSeries, horizon: int) -> npt.NDArray[np.int8]:
    bid_now, bid_later = _apart(series.bid_close, horizon)
    ask_now, ask_later = _apart(series.ask_close, horizon)
    return (bid_later > ask_now).astype(np.int8) - (ask_later < bid_now).astype(np.int8)


_RULES: Final[Mapping[LabelKind, Callable[[PriceSeries, int], npt.NDArray[np.int8]]]] = MappingProxyType(
    {LabelKind.DIRECTION: _direction, LabelKind.NET_DIRECTION: _net_direction}
)


def _apart(column: FloatArray, horizon: int) -> tuple[FloatArray, FloatArray]:
    """Values that have one `horizon` bars on, and those."""
    return column[:-horizon], column[horizon:]


def _ends(series: PriceSeries) -> IntArray:
    """Where each bar's bucket ends."""
    if not series.timeframe.needs_day_origin:
        return series.open_ns + series.timeframe.ns
    opens = series.open_ns.tolist()
    return np.array([bucket_bounds(series.timeframe, each, series.day_origin)[1] for each in opens], np.int64)
