"""Questions about bars, indicators, patterns, signals and strategies; and their streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from itertools import islice

from services.analysis_engine.domain.signals import FoundPattern, Signal, Snapshot
from services.analysis_engine.domain.strategies import Strategy
from services.analysis_engine.handlers.feeds import Desk, Feeds
from services.analysis_engine.handlers.record import Record
from services.errors import FxError, Kind
from services.market.instruments import instrument, require_known
from services.market.progress import FeedProgress
from services.quant.bars import Bar
from services.quant.indicators import CATALOGUE, Indicator, IndicatorSet, IndicatorSpec, compute
from services.quant.timeframes import Timeframe

DEFAULT_LIMIT = 100
_YIELD_EVERY = 8
"""Bars computed before others get their turn: some milliseconds."""


class Queries:
    """Answers from the feeds and the record."""

    def __init__(self, feeds: Feeds, record: Record) -> None:
        self._feeds = feeds
        self._record = record

    async def bars(
        self, symbol: str, timeframe: Timeframe, limit: int, session_id: str, *, include_open: bool
    ) -> tuple[str, list[Bar]]:
        """Session and its latest bars, oldest first; ("", []) before the first tick of a symbol.

        FxError INVALID_ARGUMENT `UNKNOWN_SYMBOL`, NOT_FOUND `UNKNOWN_SESSION`.
        """
        desk = self._desk(symbol, session_id)
        if desk is None:
            return "", []
        feed, wanted = desk.feed, limit or DEFAULT_LIMIT
        forming = feed.forming(timeframe) if include_open else None
        bars = feed.timelines[timeframe].bars.last(wanted - (forming is not None))
        return feed.session_id, [*bars, *([] if forming is None else [forming])]

    async def indicators(
        self, symbol: str, timeframe: Timeframe, texts: Sequence[str], limit: int, session_id: str
    ) -> list[Snapshot]:
        """Values at the close of the last `limit` bars (0: one), oldest first, bars before the session
        included.

        FxError INVALID_ARGUMENT `UNKNOWN_INDICATOR`, `BAD_PARAMETER`; FAILED_PRECONDITION `NOT_ENOUGH_BARS`;
        INVALID_ARGUMENT `UNKNOWN_SYMBOL`, NOT_FOUND `UNKNOWN_SESSION`.
        """
        chosen = IndicatorSet.parse(texts) if texts else self._feeds.plan.shown
        desk = self._desk(symbol, session_id)
        series = desk.feed.timelines[timeframe].series() if desk else None
        if desk is None or series is None:
            raise _not_enough(symbol, timeframe, chosen.specs[0], 0)
        if texts:
            for spec in chosen.specs:
                if len(series) <= spec.lookback:
                    raise _not_enough(symbol, timeframe, spec, len(series))
        feed, snapshots = desk.feed, []
        for end in range(max(len(series) - (limit or 1), 0), len(series)):
            part = series[: end + 1]
            values = {spec.text: compute(spec, part) for spec in chosen.specs}
            snapshots.append(Snapshot(feed.session_id, symbol, timeframe, int(series.open_ns[end]), values))
            if end % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        return snapshots

    async def definitions(self) -> list[Indicator]:
        """Every indicator one can ask for."""
        return list(CATALOGUE.values())

    async def patterns(
        self, symbols: Collection[str], timeframes: Collection[Timeframe], limit: int
    ) -> list[FoundPattern]:
        """Newest first."""
        require_known(symbols)
        found = (
            each
            for each in reversed(self._record.recent_patterns)
            if (not symbols or each.symbol in symbols) and (not timeframes or each.timeframe in timeframes)
        )
        return list(islice(found, limit or DEFAULT_LIMIT))

    async def signals(
        self,
        symbols: Collection[str],
        timeframes: Collection[Timeframe],
        strategy: str,
        session_id: str,
        limit: int,
    ) -> list[Signal]:
        """Newest first. FxError INVALID_ARGUMENT `UNKNOWN_SYMBOL`, `UNKNOWN_STRATEGY`."""
        require_known(symbols)
        known = [each.name for each in self._feeds.plan.strategies]
        if strategy and strategy not in known:
            raise FxError(
                Kind.INVALID_ARGUMENT,
                "UNKNOWN_STRATEGY",
                f"no strategy {strategy!a}; known are {', '.join(known)}",
            )
        found = (
            each
            for each in reversed(self._record.recent_signals.values())
            if (not symbols or each.symbol in symbols)
            and (not timeframes or each.timeframe in timeframes)
            and strategy in ("", each.strategy)
            and session_id in ("", each.session_id)
        )
        return list(islice(found, limit or DEFAULT_LIMIT))

    async def signal(self, signal_id: str) -> Signal:
        """FxError NOT_FOUND `UNKNOWN_SIGNAL`."""
        found = self._record.recent_signals.get(signal_id)
        if found is None:
            raise FxError(
                Kind.NOT_FOUND,
                "UNKNOWN_SIGNAL",
                f"no signal {signal_id} among the latest; older ones are stored",
            )
        return found

    async def progress(self, session_id: str) -> tuple[tuple[FeedProgress, ...], int]:
        """How far the feeds of a session are, and its signals. FxError NOT_FOUND `UNKNOWN_SESSION`."""
        feeds = self._feeds.progress(session_id)
        if not feeds:
            raise FxError(Kind.NOT_FOUND, "UNKNOWN_SESSION", f"no ticks are held of session {session_id}")
        return feeds, self._feeds.session_signals(session_id)

    async def strategies(self) -> tuple[tuple[Strategy, ...], list[Timeframe]]:
        """The strategies and the timeframes they run on, shortest first."""
        plan = self._feeds.plan
        return plan.strategies, [each for each in Timeframe if each in plan.signals]

    def stream_bars(
        self, symbols: Collection[str], timeframes: Collection[Timeframe]
    ) -> AsyncIterator[tuple[str, Bar] | None]:
        """Bars with their session as they close; of one minute unless named. None is a heartbeat."""
        require_known(symbols)
        wanted = frozenset(timeframes) or {Timeframe.M1}
        return self._record.bars.subscribe(
            lambda each: each[1].timeframe in wanted and (not symbols or each[1].symbol in symbols)
        )

    def stream_indicators(
        self, symbols: Collection[str], timeframes: Collection[Timeframe]
    ) -> AsyncIterator[Snapshot | None]:
        """Default series as they are calculated; all timeframes unless named."""
        require_known(symbols)
        return self._record.snapshots.subscribe(
            lambda each: (
                (not timeframes or each.timeframe in timeframes) and (not symbols or each.symbol in symbols)
            )
        )

    def stream_patterns(self, symbols: Collection[str]) -> AsyncIterator[FoundPattern | None]:
        """Patterns as they are found."""
        require_known(symbols)
        return self._record.patterns.subscribe(lambda each: not symbols or each.symbol in symbols)

    def stream_signals(self, symbols: Collection[str]) -> AsyncIterator[Signal | None]:
        """Signals as they are made."""
        require_known(symbols)
        return self._record.signals.subscribe(lambda each: not symbols or each.symbol in symbols)

    def _desk(self, symbol: str, session_id: str) -> Desk | None:
        instrument(symbol)
        if not session_id:
            return self._feeds.latest(symbol)
        desk = self._feeds.find((session_id, symbol))
        if desk is None:
            raise FxError(
                Kind.NOT_FOUND, "UNKNOWN_SESSION", f"no ticks of {symbol} are held of session {session_id}"
            )
        return desk


def _not_enough(symbol: str, timeframe: Timeframe, spec: IndicatorSpec, have: int) -> FxError:
    return FxError(
        Kind.FAILED_PRECONDITION,
        "NOT_ENOUGH_BARS",
        f"{spec.text} needs {spec.lookback + 1} bars of {timeframe}; {symbol} has {have}",
    )
