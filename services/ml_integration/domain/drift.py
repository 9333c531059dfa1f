"""Whether the features a model sees still look like those it was trained on.

Population stability index over the training deciles: a tenth of the training rows lies between two cut
points; the index sums (share - 0.1) · ln(share / 0.1) of the shares seen now. Below 0.1 nothing has
happened, above 0.25 the distribution is another one.

Few rows give an index above 0 by chance alone, and rows of consecutive bars are few even when they are many:
a change over 48 bars hardly moves from one bar to the next. n independent rows of the training distribution
give about chi-squared(9) / n, so drift must exceed the threshold by what chance seldom exceeds, with n the
independent rows that the serial correlation leaves. Measured on EURUSD H1 of 2007 to 2014, windows of 200
consecutive training rows: without this every one of them drifts, with it 2 %, the spread set aside, which
did change from year to year and is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.ml_integration.domain.predictions import Floats

_LEVELS = np.arange(1, 10) / 10
_SHARE = 0.1
_CHANCE = 27.88
"""What chi-squared of 9 degrees of freedom exceeds once in a thousand."""
_MOST_CORRELATION = 0.999
_RE_ARM = 0.8
"""A drift is over below this part of the threshold, so that an index on the line is told once."""
_LOOK_EVERY = 20
"""Rows between two looks at whether drift begins: a look costs ten times a row."""

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class DriftRules:
    """`window` rows are looked at, at least `minimum` are needed; an index above `threshold` is drift."""

    window: int
    minimum: int
    threshold: float


@dataclass(frozen=True, slots=True)
class DriftFigures:
    """Index of each feature, strongest first, over so many observations."""

    features: tuple[tuple[str, float], ...]
    observations: int
    minimum: int
    drifted: bool

    @property
    def worst(self) -> float:
        """The largest index, 0 for no feature."""
        return self.features[0][1] if self.features else 0.0


class DriftWindow:
    """The last rows of features a model saw, counted against the cut points of its training rows."""

    def __init__(self, names: Sequence[str], deciles: Sequence[Sequence[float]], rules: DriftRules) -> None:
        self._columns = [i for i, cuts in enumerate(deciles) if len(cuts) == len(_LEVELS)]
        self._names = [names[i] for i in self._columns]
        self._cuts = np.array([deciles[i] for i in self._columns], dtype=np.float64).reshape(-1, len(_LEVELS))
        self._rules = rules
        self._rows = np.zeros((rules.window, len(self._columns)))
        self._below = np.zeros(self._cuts.shape, dtype=np.int64)
        self._up_to = np.zeros(self._cuts.shape, dtype=np.int64)
        self._seen = 0
        self._armed = True

    @property
    def observations(self) -> int:
        """Rows in the window."""
        return min(self._seen, self._rules.window)

    def add(self, row: Floats) -> bool:
        """Count a row of all features; True when drift is seen to begin."""
        if not self._columns:
            return False
        values = row[self._columns]
        place = self._seen % self._rules.window
        if self._seen >= self._rules.window:
            self._count(self._rows[place], -1)
        self._rows[place] = values
        self._count(values, 1)
        self._seen += 1
        return self._seen % _LOOK_EVERY == 0 and self._begins()

    def _count(self, values: Floats, by: int) -> None:
        column = values[:, np.newaxis]
        self._below += by * (column < self._cuts)
        self._up_to += by * (column <= self._cuts)

    def _begins(self) -> bool:
        if self.observations < self._rules.minimum:
            return False
        worst = float(self._beyond_chance().max())
        if self._armed and worst > self._rules.threshold:
            self._armed = False
            return True
        if worst < _RE_ARM * self._rules.threshold:
            self._armed = True
        return False

    def _indices(self) -> Floats:
        return stability_index(self._below, self._up_to, max(self.observations, 1))

    def _beyond_chance(self) -> Floats:
        place = self._seen % self._rules.window
        rows = self._rows[: self.observations]
        if self._seen > self._rules.window:
            rows = np.concatenate([rows[place:], rows[:place]])
        return self._indices() - _CHANCE / independent_rows(rows)

    def figures(self) -> DriftFigures:
        """All indices, strongest first, as they are: what chance may have added is in `drifted` only."""
        if not self.observations or not self._columns:
            return DriftFigures((), self.observations, self._rules.minimum, drifted=False)
        indices = self._indices()
        order = np.argsort(-indices, kind="stable")
        features = tuple((self._names[i], float(indices[i])) for i in order)
        enough = self.observations >= self._rules.minimum
        drifted = enough and float(self._beyond_chance().max()) > self._rules.threshold
        return DriftFigures(features, self.observations, self._rules.minimum, drifted)


def stability_index(below: Counts, up_to: Counts, observations: int) -> Floats:
    """Index of each feature, shape (features,), from counts (features, 9) of rows below and up to each cut.

    A value that many rows share (a continuity of 1, an hour of the day) may lie on a cut, or on several
    equal ones. Its rows then belong partly to either side: they are split where the training rows would have
    been, as far as there are enough of them, or else a constant feature would drift against itself. An empty
    share counts as half a row: its logarithm would be infinite.
    """
    reached = np.clip(_LEVELS, below / observations, up_to / observations)
    shares = np.diff(reached, prepend=0.0, append=1.0, axis=1)
    seen = np.maximum(shares, 0.5 / observations)
    index: Floats = ((seen - _SHARE) * np.log(seen / _SHARE)).sum(axis=1)
    return index


def independent_rows(rows: Floats) -> Floats:
    """How many independent rows say as much as these consecutive ones of (n, features), for each feature.

    n (1 - r) / (1 + r) with r the correlation of a row with the one before, as of a first-order process.
    """
    offsets = rows - rows.mean(axis=0)
    variance = (offsets * offsets).sum(axis=0)
    covariance = (offsets[1:] * offsets[:-1]).sum(axis=0)
    # A feature that stands still carries no memory: it is stuck, and shall be told.
    moves = np.ptp(rows, axis=0) > 0
    correlation = np.divide(covariance, variance, out=np.zeros(len(variance)), where=moves)
    correlation = correlation.clip(0.0, _MOST_CORRELATION)
    count: Floats = len(rows) * (1 - correlation) / (1 + correlation)
    return count
