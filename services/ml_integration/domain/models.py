"""Endpoints and the model versions they name, as the workbench tells them."""

from __future__ import annotations

from dataclasses import dataclass

from services.quant.timeframes import Timeframe


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where predictions of a symbol and timeframe are answered from. Each change has another revision."""

    name: str
    symbol: str
    timeframe: Timeframe
    model_name: str
    model_version: int
    revision: int
    deployed_ns: int


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """What is known of a model beside its artifact.

    `deciles`: for each feature its nine inner cut points over the training rows, or nothing.
    """

    name: str
    version: int
    symbol: str
    timeframe: Timeframe
    horizon: int
    feature_names: tuple[str, ...]
    feature_set_version: int
    artifact_hash: str
    deciles: tuple[tuple[float, ...], ...]
    validation_log_loss: float
    validation_accuracy: float


def default_endpoint(symbol: str, timeframe: Timeframe) -> str:
    """The name the workbench gives an endpoint when nobody names it: "eurusd-1h"."""
    return f"{symbol.lower()}-{timeframe.text}"
