"""Model versions, aliases, endpoints and deployments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.errors import FxError, Kind
from services.ml_workbench.domain.runs import ModelMetrics
from services.quant.timeframes import Timeframe


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a model. `deciles`: nine inner cut points of each feature over the training rows."""

    name: str
    version: int
    run_id: str
    symbol: str
    timeframe: Timeframe
    horizon: int
    feature_names: tuple[str, ...]
    feature_set_version: int
    dataset_id: str
    dataset_hash: str
    artifact_hash: str
    artifact_bytes: int
    metrics: ModelMetrics
    deciles: tuple[tuple[float, ...], ...]
    created_ns: int


@dataclass(frozen=True, slots=True)
class Model:
    """A model as listed."""

    name: str
    latest_version: int
    symbol: str
    timeframe: Timeframe
    aliases: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where predictions for a symbol and timeframe are answered from."""

    name: str
    symbol: str
    timeframe: Timeframe
    model_name: str
    model_version: int
    revision: int
    deployed_ns: int


@dataclass(frozen=True, slots=True)
class Deployment:
    """A change of what an endpoint serves; `previous_version` 0 for the first."""

    endpoint: str
    revision: int
    model_name: str
    model_version: int
    previous_model: str
    previous_version: int
    deployed_ns: int


def default_name(symbol: str, timeframe: Timeframe) -> str:
    """The name of the model and endpoint of a symbol and timeframe, e.g. "eurusd-1h"."""
    return f"{symbol.lower()}-{timeframe.text}"


def deployed(
    before: Endpoint | None, name: str, version: ModelVersion, now_ns: int
) -> tuple[Endpoint, Deployment]:
    """The endpoint once it serves `version`. FxError FAILED_PRECONDITION when it serves something else's
    symbol.
    """
    if before is not None and (before.symbol, before.timeframe) != (version.symbol, version.timeframe):
        raise FxError(
            Kind.FAILED_PRECONDITION,
            "UNKNOWN_ENDPOINT",
            f"endpoint {name} serves {before.symbol} {before.timeframe}, not"
            f" {version.symbol} {version.timeframe}; choose another endpoint",
        )
    revision = before.revision + 1 if before else 1
    endpoint = Endpoint(
        name, version.symbol, version.timeframe, version.name, version.version, revision, now_ns
    )
    return endpoint, Deployment(
        name,
        revision,
        version.name,
        version.version,
        before.model_name if before else "",
        before.model_version if before else 0,
        now_ns,
    )
