"""Datasets and feature vectors of stored bars."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.data_pipeline.domain.datasets import Dataset, DatasetSpec, Rows, dataset_id
from services.data_pipeline.domain.executions import Execution, PipelineKind
from services.data_pipeline.domain.records import Span
from services.data_pipeline.handlers.executions import Executions
from services.data_pipeline.ports import Catalogue, Clock, History
from services.errors import FxError, Kind
from services.market.instruments import instrument, require_known
from services.quant.bars import Bar
from services.quant.feature_formulas import FEATURE_WINDOW
from services.quant.features import (
    FEATURE_NAMES,
    FEATURE_SET_VERSION,
    feature_matrix,
    feature_row,
)
from services.quant.labels import label_bars
from services.quant.timeframes import Timeframe
from services.requests import Requests

LEAST_ROWS = 50
CHUNK_ROWS = 2000


@dataclass(frozen=True, slots=True)
class FeatureVector:
    """Features of one bar, in the order of FEATURE_NAMES."""

    symbol: str
    timeframe: Timeframe
    open_ns: int
    values: npt.NDArray[np.float64]


class Datasets:
    """Builds datasets as pipeline executions; computes single feature vectors."""

    def __init__(
        self,
        history: History,
        catalogue: Catalogue,
        executions: Executions,
        requests: Requests,
        clock: Clock,
    ) -> None:
        self._history = history
        self._catalogue = catalogue
        self._requests = requests
        self._executions = executions
        self._clock = clock

    async def create(self, request_id: str, spec: DatasetSpec) -> Dataset:
        """Build, or return what the same request built. FxError FAILED_PRECONDITION `NO_DATA`."""
        instrument(spec.symbol)
        built: list[Dataset] = []

        async def work(execution: Execution) -> None:
            built.append(await self._build(execution, spec))

        async def act() -> str:
            subject = f"{spec.symbol} {spec.timeframe}, {spec.horizon} bars ahead"
            await self._executions.perform(PipelineKind.DATASET, subject, work)
            return built[0].dataset_id

        return await self.get(await self._requests.once(request_id, repr(spec), act))

    async def _build(self, execution: Execution, spec: DatasetSpec) -> Dataset:
        bars = await self._all_bars(spec)
        execution.rows_read = execution.progress_total = len(bars)
        rows = await asyncio.to_thread(_rows, bars, spec.horizon) if bars else None
        if rows is None or len(rows.labels) < LEAST_ROWS:
            count = 0 if rows is None else len(rows.labels)
            raise FxError(
                Kind.FAILED_PRECONDITION,
                "NO_DATA",
                f"{len(bars)} stored {spec.timeframe} bars of {spec.symbol} in that span give {count} rows,"
                f" at least {LEAST_ROWS} are needed; import a bar file or replay ticks first",
            )
        content_hash = rows.content_hash()
        dataset = Dataset(
            dataset_id=dataset_id(spec, FEATURE_SET_VERSION, content_hash),
            spec=spec,
            start_ns=int(rows.open_ns[0]),
            end_ns=int(rows.open_ns[-1]) + spec.timeframe.ns,
            rows=len(rows.labels),
            rows_without_features=len(bars) - len(rows.labels),
            feature_names=tuple(FEATURE_NAMES),
            feature_set_version=FEATURE_SET_VERSION,
            content_hash=content_hash,
            created_ns=self._clock.now_ns(),
        )
        await self._catalogue.save_dataset(dataset, rows)
        execution.rows_written, execution.progress = dataset.rows, execution.progress_total
        execution.subject = f"{execution.subject}: {dataset.dataset_id}"
        return await self.get(dataset.dataset_id)  # the first one made of these bars, if there was one

    async def _all_bars(self, spec: DatasetSpec) -> list[Bar]:
        chunks = self._history.read_bars(
            spec.symbol, spec.timeframe, Span(spec.start_ns, spec.end_ns), spec.source_id
        )
        return [bar async for chunk in chunks for bar in chunk if not bar.partial]

    async def get(self, dataset_id: str) -> Dataset:
        """FxError NOT_FOUND `UNKNOWN_DATASET`."""
        dataset = await self._catalogue.dataset(dataset_id)
        if dataset is None:
            raise FxError(Kind.NOT_FOUND, "UNKNOWN_DATASET", f"no dataset {dataset_id}")
        return dataset

    async def list(self, symbol: str) -> list[Dataset]:
        """Newest first; of one symbol unless empty. FxError INVALID_ARGUMENT `UNKNOWN_SYMBOL`."""
        require_known([symbol] if symbol else [])
        return await self._catalogue.datasets(symbol)

    async def chunks(self, dataset_id: str) -> AsyncIterator[tuple[Dataset, Rows]]:
        """The rows in chunks, oldest first."""
        dataset = await self.get(dataset_id)
        rows = await self._catalogue.rows(dataset_id)
        for start in range(0, len(rows.labels), CHUNK_ROWS):
            part = slice(start, start + CHUNK_ROWS)
            yield dataset, Rows(rows.open_ns[part], rows.features[part], rows.labels[part])

    async def features(self, symbol: str, timeframe: Timeframe, time_ns: int | None) -> FeatureVector:
        """Features of the last bar closed by a time, or of the last stored. FxError `NO_DATA`,
        `NOT_ENOUGH_BARS`.
        """
        instrument(symbol)
        # A bar that opened a timeframe before the time has closed by then.
        span = Span(None, None if time_ns is None else time_ns - timeframe.ns + 1)
        bars = await self._history.bars(symbol, timeframe, span, "", FEATURE_WINDOW, latest=True)
        return vector(symbol, timeframe, bars)


def vector(symbol: str, timeframe: Timeframe, bars: Sequence[Bar]) -> FeatureVector:
    """Features at the last of consecutive bars. FxError FAILED_PRECONDITION `NO_DATA`, `NOT_ENOUGH_BARS`."""
    if not bars:
        raise FxError(
            Kind.FAILED_PRECONDITION, "NO_DATA", f"no {timeframe} bars of {symbol} are stored up to then"
        )
    if len(bars) < FEATURE_WINDOW:
        raise FxError(
            Kind.FAILED_PRECONDITION,
            "NOT_ENOUGH_BARS",
            f"{len(bars)} {timeframe} bars of {symbol} are stored up to then; features need {FEATURE_WINDOW}",
        )
    return FeatureVector(symbol, timeframe, bars[-1].open_ns, feature_row(bars))


def _rows(bars: Sequence[Bar], horizon: int) -> Rows:
    open_ns, features, valid = feature_matrix(bars)
    labels = label_bars(bars, horizon)
    taken = valid & labels.known
    return Rows(open_ns[taken], features[taken], labels.values[taken])
