"""One symbol of one feed session: ticks in, closed bars with what can be said of them out.

Everything it gives out follows from the ticks (and, on a live feed, from the market clock): the same ticks
give the same findings, however they were cut into batches. It remembers what is needed to go on after a
restart (`FeedState`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.analysis_engine.domain.edges import Held, step
from services.analysis_engine.domain.signals import (
    ClosedBar,
    FoundPattern,
    IndicatorValues,
    Side,
    Snapshot,
)
from services.analysis_engine.domain.strategies import Call, Strategy, View
from services.analysis_engine.domain.windows import Timeline
from services.market.ticks import TickBatch
from services.quant.bars import Bar
from services.quant.indicators import IndicatorSet
from services.quant.ladder import BarLadder, LadderState
from services.quant.patterns import Direction, find_patterns
from services.quant.series import PriceSeries
from services.quant.timeframes import Timeframe

FeedKey = tuple[str, str]
"""(session id, symbol)."""

SIDE_OF = {Direction.BULLISH: Side.BUY, Direction.BEARISH: Side.SELL, Direction.NEUTRAL: None}
CONFIRMED = 200
"""Strength from which TA-Lib means that the bar confirms a pattern found before."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is made of the bars of each timeframe, and how many bars are kept.

    `reported_from`: shortest timeframe whose bars and indicators are published; `patterns_from` likewise;
    strategies run on `signals`. `shown` are the indicators
    of a snapshot; `computed` holds them and what the strategies need besides. `kept` bars can be asked for,
    `computed_on` bars are looked back over.
    """

    reported_from: Timeframe
    patterns_from: Timeframe
    signals: frozenset[Timeframe]
    shown: IndicatorSet
    computed: IndicatorSet
    strategies: tuple[Strategy, ...]
    kept: int
    computed_on: int


@dataclass(frozen=True, slots=True)
class FeedState:
    """Enough to go on in another process. `held` by timeframe and strategy."""

    session_id: str
    symbol: str
    digits: int
    sequence: int
    time_ns: int
    live: bool
    ended: bool
    signals: int
    last_bid: int
    last_ask: int
    ladder: LadderState
    held: Mapping[tuple[Timeframe, str], Held]


@dataclass(frozen=True, slots=True)
class Opinion:
    """A strategy's call at a bar's close, with the bars it was made on."""

    strategy: str
    call: Call
    bar: ClosedBar
    series: PriceSeries


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is said of one closed bar."""

    snapshot: Snapshot | None = None
    patterns: tuple[FoundPattern, ...] = ()
    opinions: tuple[Opinion, ...] = ()


@dataclass(slots=True)
class Book:
    """How the last order book leans: -1 all on the ask side .. 1 all on the bid side."""

    sequence: int = 0
    imbalance: float | None = None


class Feed:
    """Bars, indicators, patterns and strategy calls of one (session, symbol)."""

    def __init__(self, session_id: str, symbol: str, digits: int, plan: Plan, *, live: bool) -> None:
        self.session_id = session_id
        self.symbol = symbol
        self.digits = digits
        self.live = live
        self.ended = False
        self.sequence = 0
        self.time_ns = 0
        self.signals = 0
        self.last_bid = self.last_ask = 0
        self.book = Book()
        self.short: list[Bar] = []
        """Bars shorter than those reported, closed since somebody emptied this."""
        self._plan = plan
        self._ladder = BarLadder(symbol, digits)
        self.timelines = {
            each: Timeline(
                symbol,
                each,
                digits,
                plan.kept,
                plan.computed_on if each.ns >= plan.reported_from.ns else None,
            )
            for each in Timeframe
        }
        # By length: hashing an Enum costs more than the bar of a second that is looked up with it.
        self._by_ns = {each.ns: timeline for each, timeline in self.timelines.items()}
        self._held: dict[tuple[Timeframe, str], Held] = {}
        self._before: dict[Timeframe, tuple[int, IndicatorValues]] = {}

    @property
    def key(self) -> FeedKey:
        """(session id, symbol)."""
        return self.session_id, self.symbol

    @property
    def late_ticks(self) -> int:
        """Ticks that came after their bar was closed, and are in none."""
        return self._ladder.late_ticks

    def take(self, batch: TickBatch) -> list[ClosedBar]:
        """Take new ticks; the bars they closed that are to be judged, in order. Shorter ones are kept."""
        if not len(batch):
            return []
        bars = self._ladder.add_many(batch.times_ns, batch.bids, batch.asks)
        self.sequence = batch.last_sequence
        self.time_ns = max(self.time_ns, batch.times_ns[-1])
        self.last_bid, self.last_ask = batch.bids[-1], batch.asks[-1]
        times, last = batch.times_ns, len(batch) - 1
        return [
            ClosedBar(self.session_id, bar, batch.sequence(min(bisect_left(times, bar.end_ns), last)))
            for bar in self._reported(bars)
        ]

    def _reported(self, bars: Sequence[Bar]) -> list[Bar]:
        """Those to judge; the others go to their timelines, and to `short`."""
        shortest_ns, reported = self._plan.reported_from.ns, []
        for bar in bars:
            length_ns = bar.timeframe.ns
            if length_ns >= shortest_ns:
                reported.append(bar)
            else:
                self._by_ns[length_ns].append(bar)
                self.short.append(bar)
        return reported

    def advance(self, now_ns: int) -> list[ClosedBar]:
        """The market clock reads `now_ns`: the bars that are due."""
        self.time_ns = max(self.time_ns, now_ns)
        return self._closed_now(self._ladder.advance(now_ns))

    def end(self, now_ns: int) -> list[ClosedBar]:
        """No tick follows: what was forming, partial where its time was not over."""
        self.ended = True
        end_ns = max(self.time_ns, now_ns)
        return self._closed_now(self._ladder.flush(end_ns))

    def _closed_now(self, bars: Sequence[Bar]) -> list[ClosedBar]:
        return [ClosedBar(self.session_id, bar, self.sequence) for bar in self._reported(bars)]

    def forming(self, timeframe: Timeframe) -> Bar | None:
        """The bar so far."""
        return self._ladder.forming(timeframe)

    def judge(self, closed: ClosedBar) -> Judgement:
        """Keep a bar that closed and say what there is to say of it. Give each bar once, in order."""
        bar = closed.bar
        timeline = self.timelines[bar.timeframe]
        timeline.append(bar)
        if bar.partial:
            return Judgement()
        series = timeline.series()
        assert series is not None, "it holds at least the bar just appended"
        values = self._plan.computed.compute(series)
        before = self._values_before(series)
        self._before[bar.timeframe] = (bar.open_ns, values)
        shown = {spec.text: values[spec.text] for spec in self._plan.shown.specs}
        return Judgement(
            Snapshot(self.session_id, self.symbol, bar.timeframe, bar.open_ns, shown),
            self._patterns(bar, series),
            self._opinions(closed, series, values, before),
        )

    def _values_before(self, series: PriceSeries) -> IndicatorValues:
        """Indicators at the bar before the last: those just computed, or (after a start) computed again."""
        if len(series) < 2:
            return {}
        known = self._before.get(series.timeframe)
        if known is not None and known[0] == int(series.open_ns[-2]):
            return known[1]
        return self._plan.computed.compute(series[: len(series) - 1])

    def _patterns(self, bar: Bar, series: PriceSeries) -> tuple[FoundPattern, ...]:
        if bar.timeframe.ns < self._plan.patterns_from.ns:
            return ()
        return tuple(
            FoundPattern(
                self.session_id,
                self.symbol,
                bar.timeframe,
                bar.open_ns,
                each.name,
                SIDE_OF[each.direction],
                2 if each.strength >= CONFIRMED else 1,
            )
            for each in find_patterns(series)
        )

    def _opinions(
        self, closed: ClosedBar, series: PriceSeries, now: IndicatorValues, before: IndicatorValues
    ) -> tuple[Opinion, ...]:
        timeframe = closed.bar.timeframe
        if timeframe not in self._plan.signals:
            return ()
        view = View(series, self.digits, now, before)
        opinions = []
        for strategy in self._plan.strategies:
            key = (timeframe, strategy.name)
            held, call = step(self._held.get(key), strategy.judge(view), strategy.patience)
            if held is not None:
                self._held[key] = held
            if call is not None:
                opinions.append(Opinion(strategy.name, call, closed, series))
        return tuple(opinions)

    def state(self) -> FeedState:
        """For `resume`, also in another process."""
        return FeedState(
            self.session_id, self.symbol, self.digits, self.sequence, self.time_ns, self.live, self.ended,
            self.signals, self.last_bid, self.last_ask, self._ladder.state(), dict(self._held),
        )  # fmt: skip

    def resume(self, state: FeedState, bars: Mapping[Timeframe, tuple[Sequence[Bar], Sequence[Bar]]]) -> None:
        """Go on from `state`, with the (stored, own) bars of each timeframe that were kept."""
        self.live, self.ended = state.live, state.ended
        self.sequence, self.time_ns, self.signals = state.sequence, state.time_ns, state.signals
        self.last_bid, self.last_ask = state.last_bid, state.last_ask
        self._ladder.resume(state.ladder)
        self._held = dict(state.held)
        for timeframe, (stored, own) in bars.items():
            timeline = self.timelines[timeframe]
            timeline.warm_up(stored)
            for bar in own:
                timeline.append(bar)
