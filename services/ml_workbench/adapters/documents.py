"""Runs, versions, endpoints as JSON documents, and back."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from services.ml_workbench.domain.models import Deployment, Endpoint, ModelVersion
from services.ml_workbench.domain.runs import ModelMetrics, TrainingRun, TrainingSpec, TrainingState
from services.quant.timeframes import Timeframe


def dump(value: Any) -> str:
    """Any value of the domain as JSON with sorted keys."""
    return json.dumps(asdict(value), default=lambda each: each.value, sort_keys=True)


def run_of(text: str) -> TrainingRun:
    """A run."""
    fields = json.loads(text)
    fields["spec"] = TrainingSpec(**_timed(fields["spec"]))
    fields["state"] = TrainingState(fields["state"])
    fields["metrics"] = ModelMetrics(**fields["metrics"]) if fields["metrics"] else None
    return TrainingRun(**fields)


def version_of(text: str) -> ModelVersion:
    """A model version."""
    fields = _timed(json.loads(text))
    fields["metrics"] = ModelMetrics(**fields["metrics"])
    fields["feature_names"] = tuple(fields["feature_names"])
    fields["deciles"] = tuple(tuple(column) for column in fields["deciles"])
    return ModelVersion(**fields)


def endpoint_of(text: str) -> Endpoint:
    """An endpoint."""
    return Endpoint(**_timed(json.loads(text)))


def deployment_of(text: str) -> Deployment:
    """A deployment."""
    return Deployment(**json.loads(text))


def _timed(fields: dict[str, Any]) -> dict[str, Any]:
    return fields | {"timeframe": Timeframe.parse(fields["timeframe"])}
