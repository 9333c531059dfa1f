"""A prediction, and how it gets its identity."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from services.quant.timeframes import Timeframe

Floats = npt.NDArray[np.float64]

CONTRIBUTIONS = 5
"""Strongest contributions that go with a prediction."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """How far a feature's value moved the log-odds, positive towards up."""

    feature: str
    value: float
    contribution: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer of a model. `open_ns` is None when nobody said which bar it is of."""

    prediction_id: str
    endpoint: str
    model_name: str
    model_version: int
    symbol: str
    timeframe: Timeframe
    open_ns: int | None
    probability_up: float
    contributions: tuple[Contribution, ...] = ()
    signal_id: str = ""
    features_fetched: bool = False


def derived_id(
    endpoint: str, symbol: str, timeframe: Timeframe, open_ns: int | None, features: Floats
) -> str:
    """The identity of a prediction nobody named: its bar, or its features where no bar is known."""
    if open_ns is None:
        last = "features-" + hashlib.sha256(features.tobytes()).hexdigest()[:16]
    else:
        last = f"{datetime.fromtimestamp(open_ns // 10**9, UTC):%Y%m%dT%H%M%SZ}"
    return f"{endpoint}/{symbol}/{timeframe.text}/{last}"


def strongest(names: tuple[str, ...], row: Floats, contributions: Floats) -> tuple[Contribution, ...]:
    """The strongest contributions by size. All arguments are in the order of the feature set."""
    order = np.argsort(-np.abs(contributions), kind="stable")[:CONTRIBUTIONS]
    return tuple(Contribution(names[i], float(row[i]), float(contributions[i])) for i in order)
