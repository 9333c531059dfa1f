"""What the pipeline needs from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from services.data_pipeline.domain.datasets import Dataset, Rows
from services.data_pipeline.domain.executions import Execution
from services.data_pipeline.domain.records import Arrivals, EventRecord, Span, Stored, StoredCount
from services.market.ticks import TickBatch
from services.quant.bars import Bar
from services.quant.timeframes import Timeframe
from services.requests import Answers


class EventStore(Protocol):
    """Takes events in, each with exactly one effect."""

    async def commit(self, arrivals: Arrivals) -> Stored:
        """Store what is not there yet, in one transaction. FxError RESOURCE_EXHAUSTED `DISK_FULL`."""

    async def check(self) -> None:
        """Raises when the store does not work."""


class History(Protocol):
    """Reads what is stored."""

    async def bars(
        self, symbol: str, timeframe: Timeframe, span: Span, source_id: str, limit: int, *, latest: bool
    ) -> list[Bar]:
        """At most `limit` bars oldest first: the first of the span, or its last. Newest source wins a
        time.
        """

    def read_bars(
        self, symbol: str, timeframe: Timeframe, span: Span, source_id: str
    ) -> AsyncIterator[Sequence[Bar]]:
        """All bars of the span in chunks, oldest first."""

    def read_ticks(self, symbol: str, source_id: str, after_sequence: int) -> AsyncIterator[TickBatch]:
        """All ticks of a source after a sequence in chunks."""

    async def events(
        self, types: Sequence[str], key: str, before: int | None, limit: int
    ) -> list[tuple[int, EventRecord]]:
        """Newest first, each with its place in the store; only those before a place."""

    async def counts(self, source_id: str) -> list[StoredCount]:
        """How much of everything, or of one source."""

    def size_bytes(self) -> int:
        """Bytes of the database file."""


class Imports(Protocol):
    """Takes files in under a source of their own."""

    async def begin(self, source_id: str) -> bool:
        """Make room for a source; False when it is stored already. What a broken import left goes first."""

    async def ticks(self, batch: TickBatch) -> None:
        """Store ticks of the source."""

    async def bars(self, source_id: str, bars: Sequence[Bar]) -> None:
        """Store bars of the source."""

    async def finish(self, source_id: str) -> None:
        """The source is whole from now on."""

    async def undo(self, source_id: str) -> None:
        """Remove all rows of the source."""


class Catalogue(Answers, Protocol):
    """Executions, datasets and answered requests."""

    async def save_execution(self, execution: Execution) -> None:
        """Insert or replace."""

    async def execution(self, execution_id: str) -> Execution | None:
        """One."""

    async def executions(self, kinds: Sequence[str], before: str, limit: int) -> list[Execution]:
        """Newest first, after a given id in that order."""

    async def save_dataset(self, dataset: Dataset, rows: Rows) -> None:
        """Insert or replace, with its rows."""

    async def dataset(self, dataset_id: str) -> Dataset | None:
        """One."""

    async def datasets(self, symbol: str) -> list[Dataset]:
        """Newest first."""

    async def rows(self, dataset_id: str) -> Rows:
        """The rows of a dataset."""

    async def save_scores(self, execution_id: str, scores: Scores) -> None:
        """Keep predictions of stored bars."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Predictions of bars: `probability_up` for each opening time."""

    symbol: str
    timeframe: Timeframe
    open_ns: Sequence[int]
    probability_up: Sequence[float]
    endpoint: str
    model_name: str
    model_version: int


class Scorer(Protocol):
    """Inference. FxError FAILED_PRECONDITION `NO_MODEL`, UNAVAILABLE, DEADLINE_EXCEEDED."""

    async def predict(
        self, symbol: str, timeframe: Timeframe, open_ns: int, features: npt.NDArray[np.float64], version: int
    ) -> Scores:
        """One bar's features."""

    async def batch_predict(
        self,
        symbol: str,
        timeframe: Timeframe,
        open_ns: Sequence[int],
        features: npt.NDArray[np.float64],
        version: int,
    ) -> Scores:
        """Many bars' features, rows in order."""


class Publisher(Protocol):
    """Events out."""

    async def started(self, execution: Execution) -> None:
        """A pipeline began."""

    async def ended(self, execution: Execution) -> None:
        """It completed or failed."""


class Upload(Protocol):
    """A file on its way in; `size` and `sha256` are of what came so far."""

    @property
    def size(self) -> int:
        """In bytes."""

    @property
    def sha256(self) -> str:
        """In hexadecimal."""

    def write(self, content: bytes) -> None:
        """Append. FxError RESOURCE_EXHAUSTED `DISK_FULL`."""

    def finish(self) -> Path:
        """The whole file; it stays until `abandon`."""

    def abandon(self) -> None:
        """Forget it."""


class Uploads(Protocol):
    """Room for files on their way in."""

    def begin(self) -> Upload:
        """Take a new file."""


class Exports(Protocol):
    """Writes stored rows as files."""

    async def bars(self, symbol: str, timeframe: Timeframe, span: Span, name: str) -> tuple[str, int]:
        """Bars as Parquet; where, relative to the data folder, and how many rows."""


class Clock(Protocol):
    """Wall time, handed in by the runtime."""

    def now_ns(self) -> int:
        """Wall time."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class Ids(Protocol):
    """Unique ids."""

    def new(self) -> str:
        """A new one."""
