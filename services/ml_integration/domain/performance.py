"""How predictions came out, by the same measures the workbench takes on validation rows.

The outcome of a prediction at the close of a bar is whether the mid at the close `horizon` stored bars later
is higher. Across a gap longer than any closure of the market there is none: another feed's bars follow.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from services.quant.timeframes import DAY_NS

LONGEST_GAP_NS = 5 * DAY_NS
"""Christmas beside a weekend is four days."""
_LEAST_PROBABILITY = 1e-12
_MOST_PENDING = 10_000


@dataclass(frozen=True, slots=True)
class Close:
    """A stored bar's end: `mid` is bid plus ask, in points, of which only order matters."""

    open_ns: int
    mid: int


@dataclass(frozen=True, slots=True)
class PerformanceFigures:
    """`resolved` of `predictions` have a known outcome; the rest is over those, 0 without any."""

    predictions: int
    resolved: int
    accuracy: float
    log_loss: float
    brier_score: float


class Performance:
    """Predictions of one model version that wait for their outcome, and the sums over those that had one."""

    def __init__(self, horizon: int) -> None:
        self._horizon = horizon
        self._pending: deque[tuple[int, float]] = deque(maxlen=_MOST_PENDING)
        self._predictions = 0
        self._resolved = 0
        self._right = 0
        self._loss = 0.0
        self._squares = 0.0

    @property
    def resolved(self) -> int:
        """Predictions whose outcome is known."""
        return self._resolved

    @property
    def first_pending_ns(self) -> int | None:
        """The earliest bar whose prediction waits for an outcome."""
        return min((open_ns for open_ns, _ in self._pending), default=None)

    def add(self, open_ns: int | None, probability: float) -> None:
        """Count a prediction; without a bar it will never have an outcome."""
        self._predictions += 1
        if open_ns is not None:
            self._pending.append((open_ns, probability))

    def resolve(self, closes: Sequence[Close]) -> int:
        """Settle what consecutive stored bars, oldest first, tell about; how many outcomes became known."""
        if not closes:
            return 0
        before = self._resolved
        place = {each.open_ns: i for i, each in enumerate(closes)}
        stretches = _stretches(closes)
        waiting = [each for each in self._pending if not self._settle(each, closes, place, stretches)]
        self._pending = deque(waiting, maxlen=_MOST_PENDING)
        return self._resolved - before

    def _settle(
        self,
        prediction: tuple[int, float],
        closes: Sequence[Close],
        place: dict[int, int],
        stretches: Sequence[int],
    ) -> bool:
        """True when the prediction need not wait any longer, with an outcome or for ever without."""
        open_ns, probability = prediction
        start = place.get(open_ns)
        if start is None:  # its bar was not stored, unless bars have not come so far yet
            later = closes[-self._horizon - 1] if len(closes) > self._horizon else None
            return later is not None and later.open_ns > open_ns
        end = start + self._horizon
        if end >= len(closes):
            return stretches[-1] != stretches[start]
        if stretches[end] == stretches[start]:
            self._count(probability, up=closes[end].mid > closes[start].mid)
        return True

    def _count(self, probability: float, *, up: bool) -> None:
        likely = probability if up else 1 - probability
        self._resolved += 1
        self._right += (probability > 0.5) == up
        self._loss -= math.log(min(max(likely, _LEAST_PROBABILITY), 1 - _LEAST_PROBABILITY))
        self._squares += (1 - likely) ** 2

    def figures(self) -> PerformanceFigures:
        """The means so far."""
        count = max(self._resolved, 1)
        return PerformanceFigures(
            self._predictions,
            self._resolved,
            self._right / count,
            self._loss / count,
            self._squares / count,
        )


def _stretches(closes: Sequence[Close]) -> list[int]:
    """The number of the uninterrupted stretch each bar is in."""
    numbers = [0]
    for i in range(1, len(closes)):
        broken = closes[i].open_ns - closes[i - 1].open_ns > LONGEST_GAP_NS
        numbers.append(numbers[-1] + broken)
    return numbers
