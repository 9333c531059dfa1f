"""Bars of the past for a feed that begins, so that indicators and features exist from its first bar on.

The pipeline may be absent or slow: then a feed starts cold, and a live one is warmed up later.
"""

from __future__ import annotations

from services.analysis_engine.domain.feed import Feed
from services.analysis_engine.ports import Clock, KeptBar, Log, StoredBars
from services.errors import FxError
from services.quant.timeframes import Timeframe, bucket_open

TIMEFRAMES = tuple(each for each in Timeframe if each.seconds >= 60)
PAUSE_S = 2.0
"""After a failure nobody else waits for the pipeline for so long."""


class WarmUp:
    """Fetches stored bars. `bars` of each timeframe, within `patience_s` of wall time in all."""

    def __init__(self, stored: StoredBars, clock: Clock, log: Log, bars: int, patience_s: float) -> None:
        self._stored = stored
        self._clock = clock
        self._log = log
        self._bars = bars
        self._patience_s = patience_s
        self._resting_until = float("-inf")

    async def warm_up(self, feed: Feed, first_ns: int) -> list[KeptBar] | None:
        """Put the bars before `first_ns` into the feed; those taken. None: the pipeline did not answer."""
        until = self._clock.monotonic() + self._patience_s
        taken: list[KeptBar] = []
        if self._clock.monotonic() < self._resting_until:
            return None
        try:
            for timeframe in TIMEFRAMES:
                left_s = max(until - self._clock.monotonic(), 0.05)
                before_ns = bucket_open(timeframe, first_ns)
                bars = await self._stored.last(
                    feed.symbol, timeframe, feed.digits, before_ns, self._bars, left_s
                )
                taken += [KeptBar(bar, own=False) for bar in feed.timelines[timeframe].warm_up(bars)]
        except FxError as error:
            self._resting_until = self._clock.monotonic() + PAUSE_S
            self._log.warning(
                "warm_up.failed", session=feed.session_id, symbol=feed.symbol, reason=error.reason
            )
            # What was taken stays: it is true, only not all.
            return taken or None
        self._log.info("warm_up.done", session=feed.session_id, symbol=feed.symbol, bars=len(taken))
        return taken
