"""Figures of a classifier, computed from probabilities and outcomes; no model in sight."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
LEAST_PROBABILITY = 1e-12


def log_loss(labels: Floats, probabilities: Floats) -> float:
    """Mean negative log-likelihood of 0/1 labels (n,) under probabilities (n,) of 1; ln 2 is a coin's."""
    clipped = np.clip(probabilities, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    return float(-np.mean(labels * np.log(clipped) + (1 - labels) * np.log(1 - clipped)))


def accuracy(labels: Floats, probabilities: Floats) -> float:
    """Share of rows on the right side of one half."""
    return float(np.mean((probabilities > 0.5) == (labels > 0.5)))


def auc(labels: Floats, probabilities: Floats) -> float:
    """Area under the ROC curve, by ranks with ties shared (Mann-Whitney); 0.5 when only one class is
    there.
    """
    positives = labels > 0.5
    count_1, count_0 = int(positives.sum()), int((~positives).sum())
    if not count_1 or not count_0:
        return 0.5
    _, inverse, counts = np.unique(probabilities, return_inverse=True, return_counts=True)
    last_rank = np.cumsum(counts)
    ranks = (last_rank - (counts - 1) / 2)[inverse]
    return float((ranks[positives].sum() - count_1 * (count_1 + 1) / 2) / (count_1 * count_0))


def deciles(features: Floats) -> tuple[tuple[float, ...], ...]:
    """The nine inner cut points of each column of (n, names)."""
    points = np.quantile(features, np.linspace(0.1, 0.9, 9), axis=0)
    return tuple(tuple(float(value) for value in column) for column in points.T)


def split_in_time(rows: int, validation_share: float, horizon: int) -> tuple[slice, slice]:
    """Training rows, then validation rows; `horizon` rows between them are left out, whose labels look
    across.
    """
    first = round(rows * (1 - validation_share))
    return slice(0, max(0, first - horizon)), slice(first, rows)
