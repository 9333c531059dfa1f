"""The workbench's handlers on a real database and real LightGBM; the pipeline is a dataset in memory."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from services.errors import FxError
from services.ml_workbench.adapters.artifacts import FolderArtifacts
from services.ml_workbench.adapters.store import SCHEMA, SqliteWorkbench
from services.ml_workbench.adapters.trainer import LightGbmTrainer
from services.ml_workbench.domain.runs import TrainingRun, TrainingSpec
from services.ml_workbench.handlers import Registry, Serving, Training
from services.ml_workbench.ports import TrainingData
from services.quant.timeframes import Timeframe
from services.requests import Requests
from services.runtime.clock import WallClock
from services.runtime.store import SqliteStore

SPEC = TrainingSpec("eurusd-1h", "EURUSD", Timeframe.H1, None, None, 4, 40, 0.25, {}, 7)


def learnable(rows: int) -> TrainingData:
    """Labels that follow the first feature, with noise."""
    random = np.random.default_rng(5)
    features = random.normal(size=(rows, 3))
    labels = (features[:, 0] + random.normal(size=rows) > 0).astype(float)
    return TrainingData("ds-1", "hash", ("a", "b", "c"), 1, features, labels)


@dataclass
class HeldDatasets:
    """Gives what it holds, or fails."""

    data: TrainingData = field(default_factory=lambda: learnable(2000))
    failure: FxError | None = None

    async def fetch(self, run: TrainingRun) -> TrainingData:
        del run
        if self.failure is not None:
            raise self.failure
        return self.data


@dataclass
class Bench:
    """Everything composed."""

    database: SqliteStore
    store: SqliteWorkbench
    datasets: HeldDatasets
    artifacts: FolderArtifacts
    registry: Registry
    serving: Serving
    training: Training
    events: list[str]

    async def finished(self, run: TrainingRun) -> TrainingRun:
        """The run once it is over."""
        async with asyncio.timeout(60):
            async for each in self.training.stream(run.run_id):
                run = each
        return run


def opened(folder: Path) -> Bench:
    """A bench on the folder's database."""
    database, events, clock = SqliteStore.open(folder / "workbench.sqlite", SCHEMA), [], WallClock()
    store = SqliteWorkbench(database, lambda: events.append("event"))
    artifacts, datasets = FolderArtifacts(folder / "artifacts"), HeldDatasets()
    requests = Requests(store)
    registry = Registry(store, artifacts, requests)
    serving = Serving(store, registry, requests, clock)
    trainer = LightGbmTrainer(threads=1, early_stopping_rounds=20)
    training = Training(store, datasets, trainer, artifacts, serving, requests, clock)
    return Bench(database, store, datasets, artifacts, registry, serving, training, events)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = opened(tmp_path)
    worker = asyncio.create_task(bench.training.run())
    yield bench
    worker.cancel()
    await bench.database.close()
