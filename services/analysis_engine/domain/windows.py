"""The last bars of one symbol and timeframe: exact integers for whoever asks for bars, floats for whoever
computes.

Both sit in arrays that are written in place; a Bar object is made again only when somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from services.quant.bars import Bar
from services.quant.series import PriceSeries, PriceWindow, series_of
from services.quant.timeframes import DayOrigin, Timeframe, bucket_open

_GATHERED = 64
"""Bars written into the ring together: one by one they would cost six times as much."""


class BarRing:
    """The last `capacity` bars of one symbol and timeframe."""

    def __init__(self, symbol: str, timeframe: Timeframe, digits: int, capacity: int) -> None:
        self._symbol = symbol
        self._timeframe = timeframe
        self._digits = digits
        self._rows = np.empty((capacity, 11), dtype=np.int64)
        self._count = 0
        self._gathered: list[Bar] = []

    def __len__(self) -> int:
        return min(self.appended, len(self._rows))

    @property
    def appended(self) -> int:
        """Bars ever taken."""
        return self._count + len(self._gathered)

    def append(self, bar: Bar) -> None:
        """Take the next bar; the oldest leaves when the ring is full."""
        self._gathered.append(bar)
        if len(self._gathered) >= _GATHERED:
            self._write()

    def _write(self) -> None:
        size = len(self._rows)
        gathered, self._gathered = self._gathered, []
        self._count += len(gathered)
        written = gathered[-size:]
        if written:
            self._rows[np.arange(self._count - len(written), self._count) % size] = [
                (
                    bar.open_ns, bar.bid_open, bar.bid_high, bar.bid_low, bar.bid_close,
                    bar.ask_open, bar.ask_high, bar.ask_low, bar.ask_close, bar.tick_count, bar.partial,
                )
                for bar in written
            ]  # fmt: skip

    def last(self, count: int) -> list[Bar]:
        """The last `count` bars, oldest first; all where there are fewer."""
        self._write()
        size = len(self._rows)
        wanted = min(count, len(self))
        rows = self._rows[np.arange(self._count - wanted, self._count) % size]
        return [self._bar(*row) for row in rows.tolist()]

    def _bar(self, open_ns: int, *numbers: int) -> Bar:
        bo, bh, bl, bc, ao, ah, al, ac, ticks, partial = numbers
        frame, digits = self._timeframe, self._digits
        return Bar(self._symbol, frame, open_ns, digits, bo, bh, bl, bc, ao, ah, al, ac, ticks, bool(partial))


class Timeline:
    """Bars of one symbol and timeframe: those of the session in `bars`, with stored ones before them in
    `window`.

    Partial bars (the session ended first) are kept but not computed on.
    """

    def __init__(
        self, symbol: str, timeframe: Timeframe, digits: int, kept: int, computed_on: int | None
    ) -> None:
        """`kept` bars to hand out, `computed_on` bars that indicators and features look back over; None where
        hardly anybody asks: then a series is made of the bars kept when somebody does.
        """
        self.timeframe = timeframe
        self.bars = BarRing(symbol, timeframe, digits, kept)
        self._window = None if computed_on is None else PriceWindow(timeframe, computed_on)
        self._first_ns: int | None = None

    @property
    def first_ns(self) -> int | None:
        """Where the session's first whole bar begins; None before it closed."""
        return self._first_ns

    def append(self, bar: Bar) -> None:
        """Take a bar of the session."""
        self.bars.append(bar)
        if not bar.partial:
            self._first_ns = bar.open_ns if self._first_ns is None else self._first_ns
            if self._window is not None:
                self._window.append(bar)

    def series(self) -> PriceSeries | None:
        """The bars to compute on, oldest first; None when there is none."""
        if self._window is not None:
            return self._window.series() if len(self._window) else None
        bars = [each for each in self.bars.last(len(self.bars)) if not each.partial]
        return series_of(bars) if bars else None

    def warm_up(self, stored: Sequence[Bar]) -> list[Bar]:
        """Put bars of earlier sessions in front of the session's own; those that were taken.

        Those that are not before the session, partial, or cut from another day origin are left out.
        """
        if self._window is None:
            return []
        before_ns = self._first_ns
        fitting: list[Bar] = []
        for bar in stored:
            in_order = not fitting or bar.open_ns > fitting[-1].open_ns
            early = before_ns is None or bar.open_ns < before_ns
            if in_order and early and not bar.partial and _aligned(bar):
                fitting.append(bar)
        if fitting:
            window = PriceWindow(self.timeframe, self._window.capacity)
            window.extend(fitting)
            if len(self._window):
                own = [each for each in self.bars.last(len(self.bars)) if not each.partial]
                window.extend(own)
            self._window = window
        return fitting


def _aligned(bar: Bar) -> bool:
    """False for a daily or four-hour bar of a file that cuts its days at midnight UTC."""
    return bar.day_origin is DayOrigin.NEW_YORK and bucket_open(bar.timeframe, bar.open_ns) == bar.open_ns
