"""What analysis needs from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.analysis_engine.domain.feed import FeedKey, FeedState
from services.analysis_engine.domain.signals import Finding, Prediction, Signal
from services.quant.bars import Bar
from services.quant.timeframes import Timeframe
from services.tracing import Story


class Publisher(Protocol):
    """Events out. Returns once they are stored; FxError UNAVAILABLE when they may not be."""

    async def publish(self, findings: Sequence[Finding], stories: Mapping[str, Story]) -> None:
        """In order. The same finding again is recognised by its identity and changes nothing.

        `stories`: of signals, by id, where they are not of the work in hand.
        """


class StoredBars(Protocol):
    """History, for warm-up."""

    async def last(
        self, symbol: str, timeframe: Timeframe, digits: int, before_ns: int, count: int, timeout_s: float
    ) -> list[Bar]:
        """The last `count` bars that open before `before_ns`, oldest first. FxError UNAVAILABLE,
        DEADLINE_EXCEEDED.
        """


@dataclass(frozen=True, slots=True)
class PredictionRequest:
    """One prediction to ask for: the feature vector of the bar that a signal was made at."""

    prediction_id: str
    signal_id: str
    symbol: str
    timeframe: Timeframe
    bar_open_ns: int
    features: tuple[float, ...]
    feature_set_version: int


@dataclass(frozen=True, slots=True)
class Importance:
    """Share of the total gain of each feature (0..1) in a model."""

    model_name: str
    model_version: int
    gain: Mapping[str, float]


class Inference(Protocol):
    """Models. FxError FAILED_PRECONDITION `NO_MODEL`; UNAVAILABLE, DEADLINE_EXCEEDED."""

    async def predict(self, request: PredictionRequest, timeout_s: float) -> Prediction:
        """With the five strongest contributions."""

    async def importance(
        self, symbol: str, timeframe: Timeframe, endpoint: str, timeout_s: float
    ) -> Importance:
        """Of the model that the endpoint serves now."""


class Replays(Protocol):
    """Whoever waits for us in a lockstep replay."""

    async def acknowledge(
        self, session_id: str, symbol: str, sequence: int, signals: int, *, ended: bool
    ) -> None:
        """All ticks up to `sequence` are handled and `signals` signals of the session published in all.

        FxError FAILED_PRECONDITION `REPLAY_NOT_LOCKSTEP` for any other session.
        """


@dataclass(frozen=True, slots=True)
class KeptBar:
    """A bar to keep for a restart; `own` of the session itself, else stored before it and used to warm up."""

    bar: Bar
    own: bool


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A feed as it stands after its events are published, and what came since the last one."""

    state: FeedState
    bars: Sequence[KeptBar]
    signals: Sequence[Signal] = ()


class Store(Protocol):
    """What a restart goes on from. FxError when it cannot be written: nothing was stored then."""

    def load(self) -> list[FeedState]:
        """Every feed, the least recently saved first."""

    def bars(self, key: FeedKey) -> list[KeptBar]:
        """The bars of a feed, oldest first within a timeframe."""

    def signals(self, count: int) -> list[Signal]:
        """The last `count` signals of all feeds, oldest first."""

    def save(self, checkpoints: Sequence[Checkpoint]) -> None:
        """All or none; bars and signals are added to those kept before."""

    def forget(self, key: FeedKey) -> None:
        """Drop a feed."""

    def prune(self, key: FeedKey, timeframe: Timeframe, before_ns: int) -> None:
        """Drop bars that open before `before_ns`."""


class Clock(Protocol):
    """Wall and monotonic time, handed in by the runtime."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class Log(Protocol):
    """Structured log lines."""

    def info(self, event: str, **fields: object) -> object:
        """Something worth knowing."""

    def warning(self, event: str, **fields: object) -> object:
        """Something somebody should look at."""
