"""The platform around analysis, as far as its ports reach: what is published, stored bars, models, a lockstep
replay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import structlog

from services.analysis_engine import wire
from services.analysis_engine.adapters.store import SqliteStore
from services.analysis_engine.compose import plan_of
from services.analysis_engine.config import Settings
from services.analysis_engine.domain.feed import FeedKey, FeedState, Plan
from services.analysis_engine.domain.signals import (
    ClosedBar,
    Contribution,
    Finding,
    Prediction,
    PredictionStatus,
    Signal,
)
from services.analysis_engine.handlers import Feeds, Predictions, Queries, Record, Ticks, TicksHeard, WarmUp
from services.analysis_engine.handlers.predictions import Patience
from services.analysis_engine.handlers.record import KEPT
from services.analysis_engine.ports import Checkpoint, Importance, KeptBar, PredictionRequest, Store
from services.errors import FxError, Kind
from services.market.clock import MarketClock
from services.market.formats import BarRow, read_bars, read_tick_blocks
from services.market.ticks import TickBatch
from services.quant.bars import Bar
from services.quant.timeframes import Timeframe
from services.runtime.bus.events import event_type
from services.runtime.clock import EventClock
from services.runtime.traces import ContextTracer
from services.tracing import Story

DIGITS = 5
AWAY = FxError(Kind.UNAVAILABLE, "PEER_UNAVAILABLE", "nobody is there")
NO_MODEL = FxError(Kind.FAILED_PRECONDITION, "NO_MODEL", "no endpoint serves it")
NOT_LOCKSTEP = FxError(Kind.FAILED_PRECONDITION, "REPLAY_NOT_LOCKSTEP", "no lockstep replay")


class Bus:
    """Keeps encoded events by identity, as a stream does; the same id with other bytes is a defect.

    `fail_after`: so many more publishes succeed, the next one stores its events and then fails.
    """

    def __init__(self) -> None:
        self.events: dict[str, bytes] = {}
        self.findings: list[Finding] = []
        self.doubles = 0
        self.stories: dict[str, Story] = {}
        self.fail_after: int | None = None

    async def publish(self, findings: Sequence[Finding], stories: Mapping[str, Story]) -> None:
        self.stories.update(stories)
        for finding in findings:
            event = wire.event(finding)
            identity = event_type(event.DESCRIPTOR).address(event).id
            payload = event.SerializeToString(deterministic=True)
            if identity in self.events:
                self.doubles += 1
                assert self.events[identity] == payload, identity
            else:
                self.events[identity] = payload
                self.findings.append(finding)
        if self.fail_after is not None:
            self.fail_after -= 1
            if self.fail_after < 0:
                self.fail_after = None
                raise FxError(Kind.UNAVAILABLE, "BUS_UNAVAILABLE", "the answer got lost")

    def of(self, kind: type[Finding]) -> list[Finding]:
        return [each for each in self.findings if isinstance(each, kind)]

    def bars(self, timeframe: Timeframe = Timeframe.M1) -> list[Bar]:
        found = (each.bar for each in self.findings if isinstance(each, ClosedBar))
        return [bar for bar in found if bar.timeframe is timeframe]

    def signals(self) -> list[Signal]:
        return [each for each in self.findings if isinstance(each, Signal)]


@dataclass
class History:
    """Stored bars by timeframe. `failures` are raised first."""

    bars: dict[Timeframe, list[Bar]] = field(default_factory=dict)
    failures: list[FxError] = field(default_factory=list)
    asked: list[tuple[Timeframe, int]] = field(default_factory=list)

    async def last(
        self, symbol: str, timeframe: Timeframe, digits: int, before_ns: int, count: int, timeout_s: float
    ) -> list[Bar]:
        self.asked.append((timeframe, before_ns))
        if self.failures:
            raise self.failures.pop(0)
        return [bar for bar in self.bars.get(timeframe, ()) if bar.open_ns < before_ns][-count:]


@dataclass
class Model:
    """One model for everything; `failure` is raised instead while set."""

    failure: FxError | None = None
    version: int = 1
    importance_failure: FxError | None = None
    requests: list[PredictionRequest] = field(default_factory=list)
    limits_s: list[float] = field(default_factory=list)
    importance_calls: int = 0

    async def predict(self, request: PredictionRequest, timeout_s: float) -> Prediction:
        self.requests.append(request)
        self.limits_s.append(timeout_s)
        if self.failure is not None:
            raise self.failure
        # Any function of the features will do, as long as it is one.
        up = 0.5 + max(-0.4, min(0.4, request.features[0] / 10))
        return Prediction(
            PredictionStatus.PREDICTED,
            request.prediction_id,
            up,
            "eurusd-1h",
            "direction",
            self.version,
            (Contribution("return_1", request.features[0], up - 0.5), Contribution("macd", 0.1, 0.01)),
        )

    async def importance(
        self, symbol: str, timeframe: Timeframe, endpoint: str, timeout_s: float
    ) -> Importance:
        self.importance_calls += 1
        if self.importance_failure is not None:
            raise self.importance_failure
        return Importance("direction", self.version, {"return_1": 0.25, "macd": 0.75})


@dataclass
class Replay:
    """Whoever waits for acknowledgements, or not."""

    lockstep: bool = False
    failures: list[FxError] = field(default_factory=list)
    calls: list[tuple[str, str, int, int, bool]] = field(default_factory=list)

    async def acknowledge(
        self, session_id: str, symbol: str, sequence: int, signals: int, *, ended: bool
    ) -> None:
        self.calls.append((session_id, symbol, sequence, signals, ended))
        if self.failures:
            raise self.failures.pop(0)
        if not self.lockstep:
            raise NOT_LOCKSTEP


class PatientClock(EventClock):
    """Moves by itself when somebody sleeps, so that no test waits."""

    async def sleep(self, seconds: float) -> None:
        await self.advance_to(self.now_ns() + round(seconds * 1e9))


class NoStore:
    """Forgets everything: for tests that are about something else."""

    def load(self) -> list[FeedState]:
        return []

    def bars(self, key: FeedKey) -> list[KeptBar]:
        return []

    def signals(self, count: int) -> list[Signal]:
        return []

    def save(self, checkpoints: Sequence[Checkpoint]) -> None:
        """Nothing."""

    def forget(self, key: FeedKey) -> None:
        """Nothing."""

    def prune(self, key: FeedKey, timeframe: Timeframe, before_ns: int) -> None:
        """Nothing."""


@dataclass
class World:
    """Analysis composed on the above. `restart` composes it anew on the same surroundings, as a new process
    would.
    """

    settings: Settings = field(default_factory=Settings)
    folder: Path | None = None
    bus: Bus = field(default_factory=Bus)
    history: History = field(default_factory=History)
    model: Model = field(default_factory=Model)
    replay: Replay = field(default_factory=Replay)
    clock: PatientClock = field(default_factory=PatientClock)

    def __post_init__(self) -> None:
        self.store: Store = NoStore()
        self.restart()

    @property
    def plan(self) -> Plan:
        return self.feeds.plan

    def restart(self) -> None:
        if isinstance(self.store, SqliteStore):
            self.store.close()
        if self.folder is not None:
            self.store = SqliteStore(self.folder / "analysis.db")
        log = structlog.get_logger()
        plan = plan_of(self.settings)
        self.record = Record()
        self.warm_up = WarmUp(self.history, self.clock, log, plan.computed_on, self.settings.warm_up_seconds)
        self.feeds = Feeds(plan, self.store, self.warm_up, self.clock)
        self.feeds.recover()
        self.record.recover(self.store.signals(KEPT))
        patience = Patience(
            self.settings.predict_seconds,
            self.settings.lockstep_predict_seconds,
            self.settings.inference_failures,
            self.settings.inference_pause_seconds,
        )
        self.predictions = Predictions(self.model, self.clock, log, patience)
        self.ticks = Ticks(
            self.feeds,
            self.predictions,
            self.bus,
            self.replay,
            self.record,
            self.clock,
            log,
            ContextTracer(),
            self.settings.quiet_grace_seconds,
        )
        self.queries = Queries(self.feeds, self.record)


def heard(batch: TickBatch, *, speed: float = 0.0, ended: bool = False) -> TicksHeard:
    time_ns = batch.times_ns[-1] if len(batch) else 0
    return TicksHeard(batch, MarketClock(batch.session_id, time_ns, speed, batch.last_sequence), ended)


async def through(world: World, batch: TickBatch, size: int = 100, speed: float = 0.0) -> None:
    """Give the ticks in batches of `size`, each handled before the next."""
    for part in batch.split(size):
        await world.ticks.handle([heard(part, speed=speed)])


def ending(batch: TickBatch) -> TicksHeard:
    """The empty batch that ends a session after `batch`."""
    empty = TickBatch(batch.session_id, batch.symbol, batch.last_sequence + 1, batch.digits, (), (), ())
    clock = MarketClock(batch.session_id, batch.times_ns[-1], 0.0, batch.last_sequence)
    return TicksHeard(empty, clock, ended=True)


def ticks_at(
    times_s: Iterable[float],
    *,
    session: str = "s1",
    symbol: str = "EURUSD",
    first: int = 1,
    bids: Sequence[int] | None = None,
) -> TickBatch:
    """Ticks at seconds since 1970, bids rising by a point from 1.00000 unless given, a spread of 2."""
    times = [round(each * 1e9) for each in times_s]
    prices = list(bids) if bids is not None else [100_000 + first + index for index in range(len(times))]
    return TickBatch(session, symbol, first, DIGITS, times, prices, [bid + 2 for bid in prices])


@lru_cache
def _file(path: Path) -> TickBatch:
    times: list[int] = []
    bids: list[int] = []
    asks: list[int] = []
    with read_tick_blocks(path) as blocks:
        for block in blocks:
            times += block.times_ns
            bids += block.bids
            asks += block.asks
        symbol = blocks.instrument.symbol
    return TickBatch("file", symbol, 1, DIGITS, times, bids, asks)


def file_batch(shared_data: Path, start: str) -> TickBatch:
    """A whole tick file as one batch of session "file", by the beginning of its name."""
    return _file(next((shared_data / "ticks").glob(f"{start}*")))


@lru_cache
def file_bars(path: Path, timeframe: Timeframe) -> tuple[Bar, ...]:
    """Bars of a bid/ask file."""
    return tuple(_bars(path, timeframe))


def _bars(path: Path, timeframe: Timeframe) -> Iterator[Bar]:
    for row in read_bars(path, symbol="EURUSD"):
        assert isinstance(row, BarRow), row
        assert row.bid is not None
        assert row.ask is not None
        bid, ask = row.bid, row.ask
        yield Bar(
            "EURUSD", timeframe, row.open_ns, DIGITS,
            bid[0], bid[1], bid[2], bid[3], ask[0], ask[1], ask[2], ask[3], 0,
        )  # fmt: skip
