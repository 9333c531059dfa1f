"""Bars: what bid and ask did within one bucket of time, exact, as scaled integers.

A bucket in which nothing was quoted has no bar. A bar holds every tick of its bucket, crossed ones too: bars
record what was quoted, and flagging a quote is not the business of a bar.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.quant.timeframes import DayOrigin, Timeframe, bucket_bounds

_BEFORE_ALL_TIME: Final = -(2**63)
NEVER_DUE_NS: Final = 2**63 - 1
BAR_PRICES: Final = (
    "bid_open", "bid_high", "bid_low", "bid_close", "ask_open", "ask_high", "ask_low", "ask_close",
)  # fmt: skip
"""Names of a bar's prices, in its order."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar; prices are scaled by `digits`, `open_ns` is where its bucket begins, not its first tick.

    `tick_count` is 0 where it is unknown (bars imported from a file without it). `partial` marks a bar whose
    bucket had not ended when its session did.
    """

    symbol: str
    timeframe: Timeframe
    open_ns: int
    digits: int
    bid_open: int
    bid_high: int
    bid_low: int
    bid_close: int
    ask_open: int
    ask_high: int
    ask_low: int
    ask_close: int
    tick_count: int
    partial: bool = False
    day_origin: DayOrigin = DayOrigin.NEW_YORK

    @property
    def end_ns(self) -> int:
        """Where the bucket ends (exclusive): the market time at which this bar is known."""
        return bucket_bounds(self.timeframe, self.open_ns, self.day_origin)[1]


class BarBuilder:
    """Builds the bars of one symbol and timeframe from ticks in feed order, one bucket at a time.

    Time that has passed is final: a tick of a bucket that a later tick or the market clock has left changes
    nothing and is counted in `late_ticks`, so a bar that was given out never comes again with other prices.
    """

    __slots__ = (
        "_ask_close", "_ask_high", "_ask_low", "_ask_open", "_begin", "_bid_close", "_bid_high", "_bid_low",
        "_bid_open", "_count", "_end", "_holds", "_partial", "day_origin", "digits", "late_ticks", "symbol",
        "timeframe",
    )  # fmt: skip

    def __init__(
        self, symbol: str, timeframe: Timeframe, digits: int, day_origin: DayOrigin = DayOrigin.NEW_YORK
    ) -> None:
        self.symbol = symbol
        self.timeframe = timeframe
        self.day_origin = day_origin
        self.late_ticks = 0
        self.digits = digits
        self._holds = False  # whether a bar is forming in [begin, end); else both are where final time ends
        self._partial = False
        self._begin = self._end = _BEFORE_ALL_TIME
        self._count = 0
        self._bid_open = self._bid_high = self._bid_low = self._bid_close = 0
        self._ask_open = self._ask_high = self._ask_low = self._ask_close = 0

    @property
    def begin_ns(self) -> int:
        """Where the forming bar's bucket begins, or, when none is forming, where time that is final ends."""
        return self._begin

    @property
    def due_ns(self) -> int:
        """The market time at which the forming bar is due; `NEVER_DUE_NS` when none is forming."""
        return self._end if self._holds else NEVER_DUE_NS

    def add(self, time_ns: int, bid: int, ask: int) -> Bar | None:
        """Take one tick; the bar that it closed, if any."""
        if time_ns >= self._end:
            closed = self._take()
            self._start(time_ns, bid, ask)
            self._count = 1
            return closed
        if time_ns < self._begin:
            self.late_ticks += 1
            return None
        if bid > self._bid_high:
            self._bid_high = bid
        elif bid < self._bid_low:
            self._bid_low = bid
        if ask > self._ask_high:
            self._ask_high = ask
        elif ask < self._ask_low:
            self._ask_low = ask
        self._bid_close = bid
        self._ask_close = ask
        self._count += 1
        return None

    def add_many(self, times_ns: Sequence[int], bids: Sequence[int], asks: Sequence[int]) -> list[Bar]:
        """Take ticks; the bars that they closed, oldest first. Equal to `add` on each, and faster.

        Columns are of one length and hold Python ints; sequences other than lists are copied.
        """
        times = times_ns if isinstance(times_ns, list) else list(times_ns)
        count = len(times)
        if not count:
            return []
        # `sorted` of a sorted list is one pass in C; a batch with a step back in time goes tick by tick.
        if times[0] < self._begin or sorted(times) != times:
            added = map(self.add, times, bids, asks)
            return [bar for bar in added if bar is not None]
        closed = []
        start, last = 0, times[-1]
        while start < count:
            if times[start] >= self._end:
                bar = self._take()
                if bar is not None:
                    closed.append(bar)
                self._start(times[start], bids[start], asks[start])
            stop = count if last < self._end else bisect_left(times, self._end, start)
            if stop - start == 1:
                self.add(times[start], bids[start], asks[start])
            else:
                bid, ask = bids[start:stop], asks[start:stop]
                self._extend_bid(max(bid), min(bid), bid[-1])
                self._extend_ask(max(ask), min(ask), ask[-1])
                self._count += stop - start
            start = stop
        return closed

    def merge(self, bar: Bar) -> Bar | None:
        """Take a whole smaller bar, whose bucket lies within one of ours; the bar that it closed, if any.

        A partial bar makes the one it goes into partial. A bar of a bucket that was left is counted as late.
        """
        closed = None
        if bar.open_ns >= self._end:
            closed = self._take()
            self._start(bar.open_ns, bar.bid_open, bar.ask_open)
        elif bar.open_ns < self._begin:
            self.late_ticks += bar.tick_count
            return None
        self._extend_bid(bar.bid_high, bar.bid_low, bar.bid_close)
        self._extend_ask(bar.ask_high, bar.ask_low, bar.ask_close)
        self._count += bar.tick_count
        self._partial = self._partial or bar.partial
        return closed

    def close_due(self, now_ns: int) -> Bar | None:
        """Tell that the market clock reads `now_ns`: the bar whose bucket has ended by then, if any.

        A tick at the very end of a bucket belongs to the next one, so a bar is due when `now_ns` is its end.
        """
        if now_ns < self._end:
            return None
        closed = self._take()
        self._begin = self._end = bucket_bounds(self.timeframe, now_ns, self.day_origin)[0]
        return closed

    def flush(self, end_ns: int | None = None) -> Bar | None:
        """End of the session at market time `end_ns` (unknown: within the present bucket); what was forming.

        It is partial unless its bucket had ended by `end_ns`. The bucket counts as passed afterwards.
        """
        end = self._end
        if self._holds and (end_ns is None or end_ns < end):
            self._partial = True
        closed = self._take()
        self._begin = end
        return closed

    def forming(self) -> Bar | None:
        """The bar so far, marked partial; None when nothing came in the present bucket. Changes nothing."""
        return self._bar(partial=True) if self._holds else None

    def resume(self, begin_ns: int, forming: Bar | None) -> None:
        """Continue where another builder of the same symbol stood: its `begin_ns` and `forming()`."""
        self._begin = self._end = begin_ns
        self._holds = False
        if forming is not None:
            self.merge(forming)
            self._partial = False  # the mark said only that it was forming

    def _start(self, time_ns: int, bid: int, ask: int) -> None:
        self._begin, self._end = bucket_bounds(self.timeframe, time_ns, self.day_origin)
        self._holds = True
        self._partial = False
        self._count = 0
        self._bid_open = self._bid_high = self._bid_low = self._bid_close = bid
        self._ask_open = self._ask_high = self._ask_low = self._ask_close = ask

    def _extend_bid(self, high: int, low: int, close: int) -> None:
        self._bid_high = max(self._bid_high, high)
        self._bid_low = min(self._bid_low, low)
        self._bid_close = close

    def _extend_ask(self, high: int, low: int, close: int) -> None:
        self._ask_high = max(self._ask_high, high)
        self._ask_low = min(self._ask_low, low)
        self._ask_close = close

    def _take(self) -> Bar | None:
        if not self._holds:
            return None
        self._holds = False
        return self._bar(partial=self._partial)

    def _bar(self, *, partial: bool) -> Bar:
        return Bar(
            self.symbol, self.timeframe, self._begin, self.digits,
            self._bid_open, self._bid_high, self._bid_low, self._bid_close,
            self._ask_open, self._ask_high, self._ask_low, self._ask_close,
            self._count, partial, self.day_origin,
        )  # fmt: skip
