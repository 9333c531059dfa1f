"""What the workbench needs from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from services.ml_workbench.domain.models import Deployment, Endpoint, Model, ModelVersion
from services.ml_workbench.domain.runs import ModelMetrics, TrainingRun, TrainingSpec
from services.requests import Answers


@dataclass(frozen=True, slots=True)
class TrainingData:
    """A dataset. `features` (n, names), `labels` (n,) of 0 and 1, oldest first."""

    dataset_id: str
    content_hash: str
    feature_names: tuple[str, ...]
    feature_set_version: int
    features: npt.NDArray[np.float64]
    labels: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """What training gave: the artifact and its figures."""

    artifact: bytes
    metrics: ModelMetrics
    deciles: tuple[tuple[float, ...], ...]


class Datasets(Protocol):
    """The pipeline. FxError FAILED_PRECONDITION `NO_DATA`, UNAVAILABLE, DEADLINE_EXCEEDED."""

    async def fetch(self, run: TrainingRun) -> TrainingData:
        """Build the dataset of a run and fetch its rows."""


class Trainer(Protocol):
    """Fits a model."""

    async def train(
        self,
        data: TrainingData,
        spec: TrainingSpec,
        parameters: Mapping[str, float],
        on_round: Callable[[int], bool],
    ) -> TrainedModel:
        """Fit on the first rows, measure on the last. `on_round(done)` returns False to stop early."""


class Artifacts(Protocol):
    """Model files by the SHA-256 of their content."""

    async def put(self, content: bytes) -> str:
        """Store; the hash."""

    def read(self, artifact_hash: str) -> AsyncIterator[bytes]:
        """Content in chunks. FxError `ARTIFACT_CORRUPT` when it is not what its name says."""


class Store(Answers, Protocol):
    """Runs, the registry and endpoints. A change and its event are one commit."""

    async def save_run(self, run: TrainingRun, event: str = "") -> None:
        """Insert or replace; `event`: "started", "completed", "failed" or none."""

    async def run(self, run_id: str) -> TrainingRun | None:
        """One."""

    async def runs(self, model_name: str, after: str, limit: int) -> list[TrainingRun]:
        """Newest first, after a run in that order."""

    async def register(self, version: ModelVersion) -> ModelVersion:
        """Add a version with the next number, unless the run has one: that is returned."""

    async def models(self) -> list[Model]:
        """By name."""

    async def versions(self, name: str) -> list[ModelVersion]:
        """Newest first."""

    async def aliases(self, name: str) -> dict[str, int]:
        """Alias to version."""

    async def set_alias(self, name: str, alias: str, version: int) -> None:
        """Point an alias at a version."""

    async def delete_alias(self, name: str, alias: str) -> bool:
        """Remove; False when there was none."""

    async def endpoint(self, name: str) -> Endpoint | None:
        """One."""

    async def endpoints(self) -> list[Endpoint]:
        """By name."""

    async def deploy(self, endpoint: Endpoint, deployment: Deployment) -> None:
        """Store both with their event. FxError ABORTED when the endpoint changed meanwhile."""

    async def deployments(
        self, endpoint: str, before: int | None, limit: int
    ) -> list[tuple[int, Deployment]]:
        """Newest first with their places."""


class Clock(Protocol):
    """Wall time."""

    def now_ns(self) -> int:
        """Now."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""
