"""The pipeline's handlers on a real DuckDB file; peers that record."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from services.data_pipeline.adapters.catalogue import DuckCatalogue
from services.data_pipeline.adapters.duck import Duck
from services.data_pipeline.adapters.event_store import DuckEventStore
from services.data_pipeline.adapters.files import FolderUploads, ParquetExports
from services.data_pipeline.adapters.history import DuckHistory
from services.data_pipeline.domain.executions import Execution
from services.data_pipeline.handlers import Datasets, Executions, ImportFile, Imports, Queries, Scoring
from services.data_pipeline.ports import Scores
from services.quant.timeframes import Timeframe
from services.requests import Requests
from services.runtime.clock import WallClock
from services.runtime.ids import Uuid7Ids
from services.uploads import Announced

UNSENT = Announced(0, "")
"""Stands in a header until the file is sent."""


@dataclass
class RecordingPublisher:
    """Keeps (what, execution id, state)."""

    events: list[tuple[str, str, str]] = field(default_factory=list)

    async def started(self, execution: Execution) -> None:
        self.events.append(("started", execution.execution_id, execution.state.value))

    async def ended(self, execution: Execution) -> None:
        self.events.append(("ended", execution.execution_id, execution.state.value))


@dataclass
class HalfScorer:
    """Answers one half to everything."""

    batches: list[int] = field(default_factory=list)

    async def predict(
        self, symbol: str, timeframe: Timeframe, open_ns: int, features: npt.NDArray[np.float64], version: int
    ) -> Scores:
        return await self.batch_predict(symbol, timeframe, [open_ns], features.reshape(1, -1), version)

    async def batch_predict(
        self,
        symbol: str,
        timeframe: Timeframe,
        open_ns: Sequence[int],
        features: npt.NDArray[np.float64],
        version: int,
    ) -> Scores:
        assert len(features) == len(open_ns)
        assert version >= 1
        self.batches.append(len(open_ns))
        return Scores(symbol, timeframe, open_ns, [0.5] * len(open_ns), "half", "half", 1)


@dataclass
class Depot:
    """Everything composed."""

    duck: Duck
    store: DuckEventStore
    history: DuckHistory
    publisher: RecordingPublisher
    executions: Executions
    imports: Imports
    queries: Queries
    datasets: Datasets
    scorer: HalfScorer
    scoring: Scoring
    folder: Path

    async def run_import(self, path: Path, header: ImportFile) -> tuple[Execution, str]:
        """Import a file and wait for its end."""

        content = path.read_bytes()  # noqa: ASYNC240 - a test's file

        async def parts() -> AsyncIterator[ImportFile | bytes]:
            yield replace(header, content=Announced.of(path))
            for start in range(0, len(content), 100_000):
                yield content[start : start + 100_000]

        execution, source_id = await self.imports.receive(parts())
        async for each in self.executions.stream(execution.execution_id):
            execution = each
        return execution, source_id


async def opened(folder: Path) -> Depot:
    """A depot on the folder's database."""
    duck = Duck(folder / "pipeline.duckdb", memory_mb=256)
    store, history, clock = DuckEventStore(duck), DuckHistory(duck), WallClock()
    catalogue = DuckCatalogue(duck, folder / "datasets")
    publisher, scorer = RecordingPublisher(), HalfScorer()
    executions, requests = Executions(catalogue, publisher, clock, Uuid7Ids(clock)), Requests(catalogue)
    await store.load()
    await executions.recover()
    return Depot(
        duck,
        store,
        history,
        publisher,
        executions,
        Imports(FolderUploads(folder / "uploads"), store, executions),
        Queries(history),
        Datasets(history, catalogue, executions, requests, clock),
        scorer,
        Scoring(
            history,
            catalogue,
            scorer,
            ParquetExports(duck, folder / "exports"),
            executions,
            requests,
            frozenset({Timeframe.H1}),
        ),
        folder,
    )


@pytest.fixture
async def depot(tmp_path: Path) -> AsyncIterator[Depot]:
    depot = await opened(tmp_path)
    yield depot
    await depot.executions.close()
    await depot.duck.close()
