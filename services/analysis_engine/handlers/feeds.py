"""The feeds being analysed: opened at their first tick, kept for questions a while after their end."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from services.analysis_engine.domain.feed import Feed, FeedKey, FeedState, Plan
from services.analysis_engine.domain.signals import ClosedBar, Finding, Signal
from services.analysis_engine.handlers.warm_up import WarmUp
from services.analysis_engine.ports import Checkpoint, Clock, KeptBar, Store
from services.market.dedupe import SequenceTracker
from services.market.progress import FeedProgress
from services.quant.bars import Bar
from services.quant.timeframes import Timeframe
from services.tracing import Story

KEPT_A_SYMBOL = 3
"""Feeds of a symbol held: the replay that runs, the feed that rests for it, and one that ended before."""
LATE_WARM_UP_S = 5.0
LATE_WARM_UP_FOR_S = 120.0
"""A live feed that started cold is offered stored bars for so long: a platform has started by then."""


@dataclass(slots=True)
class Desk:
    """A feed and the work in hand on it: bars to judge, findings to publish, bars and signals to keep. None
    of it is dropped before it is done, so a failed attempt goes on where it stopped.
    """

    feed: Feed
    first_ns: int
    closed: deque[ClosedBar] = field(default_factory=deque)
    findings: list[Finding] = field(default_factory=list)
    kept: list[KeptBar] = field(default_factory=list)
    signals: list[Signal] = field(default_factory=list)
    stories: dict[str, Story] = field(default_factory=dict)
    """Of signals among the findings, by signal id."""
    causes: dict[int, Story] = field(default_factory=dict)
    """Of the events that closed bars, by the tick that closed them."""
    unsaved: bool = False
    lockstep: bool | None = None
    """Whether somebody waits for acknowledgements; None: not asked yet."""
    pruned_at: dict[Timeframe, int] = field(default_factory=dict)
    """Bars that had come when the store was last relieved of old ones."""
    cold_until_s: float = float("-inf")
    """Monotonic time until which it is to be warmed up late."""
    touched: int = 0
    handled: int = 0
    """The last tick whose findings are published and stored."""
    over: bool = False
    """The end of the session is handled likewise."""
    recovered: bool = False
    """From a former process, and nothing has come since."""


class Feeds:
    """Desks by (session, symbol)."""

    def __init__(self, plan: Plan, store: Store, warm_up: WarmUp, clock: Clock) -> None:
        self.plan = plan
        self.tracker = SequenceTracker()
        self._store = store
        self._warm_up = warm_up
        self._clock = clock
        self._desks: dict[FeedKey, Desk] = {}
        self._asleep: dict[FeedKey, tuple[FeedState, int]] = {}
        """Feeds of a former process that nobody has asked for, and the order in which they were touched."""
        self._session_signals: Counter[str] = Counter()
        self._touches = 0

    def recover(self) -> None:
        """Know again what was stored. Bars are read when a feed is asked for: most of them never are."""
        for state in self._store.load():
            key = (state.session_id, state.symbol)
            self.tracker.commit(*key, state.sequence)
            self._session_signals[state.session_id] += state.signals
            self._touches += 1
            self._asleep[key] = (state, self._touches)

    def find(self, key: FeedKey) -> Desk | None:
        """The desk of a feed, if it is held."""
        return self._desks.get(key) or self._wake(key)

    def _wake(self, key: FeedKey) -> Desk | None:
        state, touched = self._asleep.pop(key, (None, 0))
        if state is None:
            return None
        feed = Feed(*key, state.digits, self.plan, live=state.live)
        bars: dict[Timeframe, tuple[list[Bar], list[Bar]]] = {}
        for kept in self._store.bars(key):
            bars.setdefault(kept.bar.timeframe, ([], []))[kept.own].append(kept.bar)
        feed.resume(state, bars)
        desk = self._desks[key] = Desk(
            feed, state.time_ns, touched=touched, handled=state.sequence, over=state.ended, recovered=True
        )
        return desk

    async def open(self, key: FeedKey, digits: int, first_ns: int, *, live: bool) -> Desk:
        """The desk of a feed; opened, with stored bars before `first_ns`, when there is none."""
        desk = self.find(key)
        if desk is None:
            desk = Desk(Feed(*key, digits, self.plan, live=live), first_ns)
            if not await self._warm(desk) and live:
                desk.cold_until_s = self._clock.monotonic() + LATE_WARM_UP_FOR_S
            # Touched first: untouched, the newest would pass for the one longest silent and be dropped.
            self._desks[key] = self._touch(desk)
            self._make_room(desk)
        desk.recovered = False
        return self._touch(desk)

    async def _warm(self, desk: Desk) -> bool:
        """Fetch stored bars; False when the pipeline did not answer."""
        taken = await self._warm_up.warm_up(desk.feed, desk.first_ns)
        desk.kept += taken or ()
        return taken is not None

    async def warm_up_late(self) -> None:
        """Loop: warm up live feeds that started while the pipeline was away."""
        while True:
            await self._clock.sleep(LATE_WARM_UP_S)
            await self.warm_up_cold()

    async def warm_up_cold(self) -> None:
        """One round of it, over as soon as the pipeline does not answer."""
        for desk in list(self._desks.values()):
            if desk.cold_until_s > self._clock.monotonic():
                if not await self._warm(desk):
                    return
                desk.cold_until_s = float("-inf")

    def latest(self, symbol: str) -> Desk | None:
        """The feed of a symbol that was touched last; None when there is none."""
        held = self._held(symbol)
        return self.find(max(held, key=lambda each: each[1])[2]) if held else None

    def _held(self, symbol: str) -> list[tuple[bool, int, FeedKey]]:
        """Feeds of a symbol: ended, touched, key."""
        awake = [
            (each.feed.ended, each.touched, key) for key, each in self._desks.items() if key[1] == symbol
        ]
        asleep = [
            (state.ended, touched, key) for key, (state, touched) in self._asleep.items() if key[1] == symbol
        ]
        return awake + asleep

    def progress(self, session_id: str) -> tuple[FeedProgress, ...]:
        """How far the feeds of a session are, by symbol; none for a session that is not held."""
        found = [
            (key[1], each.handled, each.over) for key, each in self._desks.items() if key[0] == session_id
        ]
        found += [
            (key[1], state.sequence, state.ended)
            for key, (state, _) in self._asleep.items()
            if key[0] == session_id
        ]
        return tuple(FeedProgress(*each) for each in sorted(found))

    def awake(self) -> list[Desk]:
        """Every desk that was asked for."""
        return list(self._desks.values())

    def __len__(self) -> int:
        """Feeds held."""
        return len(self._desks) + len(self._asleep)

    def count_signal(self, feed: Feed) -> int:
        """One more signal of the feed; its number within the session."""
        feed.signals += 1
        self._session_signals[feed.session_id] += 1
        return self._session_signals[feed.session_id]

    def session_signals(self, session_id: str) -> int:
        """Signals of a session so far."""
        return self._session_signals[session_id]

    def save(self, desks: list[Desk]) -> None:
        """Store how far these feeds are, their bars included."""
        due = [desk for desk in desks if desk.unsaved]
        if not due:
            return
        self._store.save([Checkpoint(desk.feed.state(), desk.kept, desk.signals) for desk in due])
        for desk in due:
            self._prune(desk)
            desk.kept, desk.signals = [], []
            desk.unsaved = False
            desk.handled, desk.over = desk.feed.sequence, desk.feed.ended

    def _prune(self, desk: Desk) -> None:
        for timeframe in {kept.bar.timeframe for kept in desk.kept}:
            timeline = desk.feed.timelines[timeframe]
            if timeline.bars.appended - desk.pruned_at.get(timeframe, 0) >= self.plan.computed_on:
                desk.pruned_at[timeframe] = timeline.bars.appended
                series = timeline.series()
                if series is not None:
                    self._store.prune(desk.feed.key, timeframe, int(series.open_ns[0]))

    def _touch(self, desk: Desk) -> Desk:
        self._touches += 1
        desk.touched = self._touches
        return desk

    def _make_room(self, newest: Desk) -> None:
        """Drop the feeds of a symbol that nobody will come back to: a live one that another live one replaces
        after a restart, then ended ones, then those longest silent.
        """
        symbol = newest.feed.symbol
        if newest.feed.live:
            for _, _, key in self._held(symbol):
                if self._is_left_behind(key):
                    self._drop(key)
        by_worth = sorted(self._held(symbol), key=lambda each: (each[0], -each[1]))
        for _, _, key in by_worth[KEPT_A_SYMBOL:]:
            desk = self._desks.get(key)
            if desk is None or not (desk.closed or desk.findings):
                self._drop(key)

    def _is_left_behind(self, key: FeedKey) -> bool:
        """True for a live feed of a former process of which nothing has come since."""
        if key in self._asleep:
            return self._asleep[key][0].live
        return self._desks[key].recovered and self._desks[key].feed.live

    def _drop(self, key: FeedKey) -> None:
        self._desks.pop(key, None)
        self._asleep.pop(key, None)
        self._store.forget(key)
