"""Bars as float64 columns: what indicators, patterns and features compute on.

`PriceSeries` is one stretch of bars; `PriceWindow` keeps the last bars of a symbol and timeframe and hands
them out without copying. A price becomes float by one division of integers, so it is the double nearest to
its decimal, on every machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np
import numpy.typing as npt

from services.quant.bars import Bar
from services.quant.timeframes import DayOrigin, Timeframe

_COLUMNS: Final = 7  # of a window: all of a series but its times

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class PriceSide(Enum):
    """Which price open, high, low and close are."""

    MID = "mid"
    """Half way between bid and ask. Its high and low are made of those of the two sides: the widest there
    can have been: bid and ask need not have had theirs at the same tick."""
    BID = "bid"
    ASK = "ask"


@dataclass(frozen=True, slots=True)
class PriceSeries:
    """Consecutive bars of one symbol and timeframe, oldest first; all columns have shape (n,).

    `open`, `high`, `low`, `close` are of `side`; `volume` is the tick count, 0 where unknown; `bid_close` and
    `ask_close` are there for every side. Times are ns since 1970 UTC. Columns are not to be written to.
    """

    timeframe: Timeframe
    day_origin: DayOrigin
    side: PriceSide
    open_ns: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    bid_close: FloatArray
    ask_close: FloatArray

    def __len__(self) -> int:
        return len(self.open_ns)

    def __getitem__(self, part: slice) -> PriceSeries:
        """A stretch of it, sharing memory."""
        return PriceSeries(
            self.timeframe, self.day_origin, self.side, self.open_ns[part],
            self.open[part], self.high[part], self.low[part], self.close[part],
            self.volume[part], self.bid_close[part], self.ask_close[part],
        )  # fmt: skip

    def last(self, count: int) -> PriceSeries:
        """The last `count` bars, all where there are fewer."""
        return self if count >= len(self) else self[len(self) - count :]


def price_series(
    timeframe: Timeframe,
    digits: int,
    open_ns: npt.ArrayLike,
    bid: npt.ArrayLike,
    ask: npt.ArrayLike,
    tick_count: npt.ArrayLike,
    *,
    side: PriceSide = PriceSide.MID,
    day_origin: DayOrigin = DayOrigin.NEW_YORK,
) -> PriceSeries:
    """From integer columns: `bid` and `ask` of shape (4, n), the others of shape (n,).

    The four rows are open, high, low, close, scaled by `digits`. Raises ValueError for shapes that differ.
    """
    bids, asks = np.asarray(bid, dtype=np.int64), np.asarray(ask, dtype=np.int64)
    prices = _ohlc(bids, asks, digits, side)
    scale = 10**digits
    return PriceSeries(
        timeframe, day_origin, side, np.asarray(open_ns, dtype=np.int64),
        prices[0], prices[1], prices[2], prices[3],
        np.asarray(tick_count, dtype=np.float64), bids[3] / scale, asks[3] / scale,
    )  # fmt: skip


def series_of(bars: Sequence[Bar], side: PriceSide = PriceSide.MID) -> PriceSeries:
    """From bars of one symbol and timeframe, oldest first. Raises ValueError for none or for mixed bars."""
    if not bars:
        raise ValueError("a series needs at least one bar")
    first = bars[0]
    kind = (first.symbol, first.timeframe, first.digits, first.day_origin)
    if any((bar.symbol, bar.timeframe, bar.digits, bar.day_origin) != kind for bar in bars):
        raise ValueError("a series is of one symbol, timeframe, scale and day origin")
    rows = np.array([_row(bar) for bar in bars], dtype=np.int64).T
    return price_series(
        first.timeframe,
        first.digits,
        rows[0],
        rows[1:5],
        rows[5:9],
        rows[9],
        side=side,
        day_origin=first.day_origin,
    )


class PriceWindow:
    """The last `capacity` bars of one symbol and timeframe, as a series at any time without copying.

    A series that was handed out keeps its values when more bars come.
    """

    def __init__(
        self,
        timeframe: Timeframe,
        capacity: int,
        side: PriceSide = PriceSide.MID,
        day_origin: DayOrigin = DayOrigin.NEW_YORK,
    ) -> None:
        """Raises ValueError for a capacity below 1."""
        if capacity < 1:
            raise ValueError(f"a window holds at least one bar: {capacity}")
        self.timeframe = timeframe
        self.capacity = capacity
        self.side = side
        self.day_origin = day_origin
        self._start = self._stop = 0
        self._open_ns = np.empty(2 * capacity, dtype=np.int64)
        self._values = np.empty((_COLUMNS, 2 * capacity), dtype=np.float64)

    def __len__(self) -> int:
        return self._stop - self._start

    def append(self, bar: Bar) -> None:
        """Take the next bar; the oldest leaves when the window is full.

        Raises ValueError for a bar of another timeframe, and for one that is not later than the last.
        """
        if bar.timeframe is not self.timeframe or bar.day_origin is not self.day_origin:
            raise ValueError(f"a {bar.timeframe} bar in a window of {self.timeframe} bars")
        stop = self._stop
        if stop > self._start and bar.open_ns <= self._open_ns[stop - 1]:
            raise ValueError(f"bars out of order: {bar.open_ns} after {self._open_ns[stop - 1]}")
        if stop == len(self._open_ns):
            stop = self._move()
        self._open_ns[stop] = bar.open_ns
        self._values[:, stop] = _float_row(bar, self.side)
        self._stop = stop + 1
        self._start = max(self._start, self._stop - self.capacity)

    def extend(self, bars: Iterable[Bar]) -> None:
        """Take bars, oldest first."""
        for bar in bars:
            self.append(bar)

    def series(self) -> PriceSeries:
        """The bars held now, oldest first."""
        held = slice(self._start, self._stop)
        values = self._values[:, held]
        return PriceSeries(
            self.timeframe, self.day_origin, self.side, self._open_ns[held],
            values[0], values[1], values[2], values[3], values[4], values[5], values[6],
        )  # fmt: skip

    def _move(self) -> int:
        """Go on in fresh memory: what was handed out keeps the old."""
        held = slice(self._start, self._stop)
        open_ns, values = np.empty_like(self._open_ns), np.empty_like(self._values)
        count = len(self)
        open_ns[:count] = self._open_ns[held]
        values[:, :count] = self._values[:, held]
        self._open_ns, self._values = open_ns, values
        self._start, self._stop = 0, count
        return count


def _row(bar: Bar) -> tuple[int, ...]:
    return (
        bar.open_ns, bar.bid_open, bar.bid_high, bar.bid_low, bar.bid_close,
        bar.ask_open, bar.ask_high, bar.ask_low, bar.ask_close, bar.tick_count,
    )  # fmt: skip


def _float_row(bar: Bar, side: PriceSide) -> tuple[float, ...]:
    """One bar as `price_series` makes it, to the bit: Python and numpy both round one division correctly."""
    scale = 10**bar.digits
    if side is PriceSide.MID:
        scale2 = 2 * scale
        prices = (
            (bar.bid_open + bar.ask_open) / scale2, (bar.bid_high + bar.ask_high) / scale2,
            (bar.bid_low + bar.ask_low) / scale2, (bar.bid_close + bar.ask_close) / scale2,
        )  # fmt: skip
    elif side is PriceSide.BID:
        prices = bar.bid_open / scale, bar.bid_high / scale, bar.bid_low / scale, bar.bid_close / scale
    else:
        prices = bar.ask_open / scale, bar.ask_high / scale, bar.ask_low / scale, bar.ask_close / scale
    return (*prices, bar.tick_count, bar.bid_close / scale, bar.ask_close / scale)


def _ohlc(bids: IntArray, asks: IntArray, digits: int, side: PriceSide) -> FloatArray:
    scale = 10**digits
    prices: FloatArray
    if side is PriceSide.BID:
        prices = bids / scale
    elif side is PriceSide.ASK:
        prices = asks / scale
    else:
        prices = (bids + asks) / (2 * scale)
    return prices
