"""What analysis finds: closed bars, indicator snapshots, patterns, signals. Values only; times are market
times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from services.quant.bars import Bar
from services.quant.timeframes import SECOND_NS, Timeframe

IndicatorValues = Mapping[str, Mapping[str, float]]
"""Values at a bar's close by the indicator's text, then by output name; nan while warming up."""


class Side(Enum):
    """Direction a signal or pattern speaks for."""

    BUY = "buy"
    SELL = "sell"

    @property
    def opposite(self) -> Side:
        """The other one."""
        return Side.SELL if self is Side.BUY else Side.BUY


class PredictionStatus(Enum):
    """State of a signal's prediction."""

    PREDICTED = "predicted"
    NO_MODEL = "no_model"
    """No model serves the symbol and timeframe."""
    UNAVAILABLE = "unavailable"
    """Inference did not answer in time, or was known not to."""
    NOT_ENOUGH_BARS = "not_enough_bars"
    """Too few bars for a feature vector."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One number a signal rests on."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Contribution:
    """How far one feature moved a prediction (log-odds), positive towards "up"."""

    feature: str
    value: float
    contribution: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model said. `probability_up`: that the price is higher after the model's horizon."""

    status: PredictionStatus
    prediction_id: str = ""
    probability_up: float = 0.0
    endpoint: str = ""
    model_name: str = ""
    model_version: int = 0
    contributions: tuple[Contribution, ...] = ()

    def probability(self, side: Side) -> float:
        """That the price moves the way of `side`; 0 without a prediction."""
        if self.status is not PredictionStatus.PREDICTED:
            return 0.0
        return self.probability_up if side is Side.BUY else 1.0 - self.probability_up


@dataclass(frozen=True, slots=True)
class ClosedBar:
    """A bar with the feed session it belongs to and the tick that closed it (or the last before the clock
    did).
    """

    session_id: str
    bar: Bar
    tick_sequence: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All indicators of a symbol at a bar's close."""

    session_id: str
    symbol: str
    timeframe: Timeframe
    open_ns: int
    values: IndicatorValues


@dataclass(frozen=True, slots=True)
class FoundPattern:
    """A candlestick pattern completed by a bar. `side` None: it speaks of indecision. `strength` 1 plain, 2
    confirmed by the following bar.
    """

    session_id: str
    symbol: str
    timeframe: Timeframe
    open_ns: int
    name: str
    side: Side | None
    strength: int


@dataclass(frozen=True, slots=True)
class Signal:
    """A strategy's call at a bar's close. Prices are raw at `digits`; `number` counts within the session."""

    signal_id: str
    session_id: str
    symbol: str
    timeframe: Timeframe
    strategy: str
    side: Side
    strength: float
    reason: str
    evidence: tuple[Evidence, ...]
    bar_open_ns: int
    time_ns: int
    tick_sequence: int
    bid: int
    ask: int
    digits: int
    prediction: Prediction
    number: int


Finding = ClosedBar | Snapshot | FoundPattern | Signal


def signal_id(session_id: str, symbol: str, timeframe: Timeframe, strategy: str, open_ns: int) -> str:
    """Identity of a signal: "r1:EURUSD:1h:trend:20140501T1300Z"."""
    opened = datetime.fromtimestamp(open_ns // SECOND_NS, UTC)
    return f"{session_id}:{symbol}:{timeframe.text}:{strategy}:{opened:%Y%m%dT%H%MZ}"
