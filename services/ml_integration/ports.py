"""What inference needs from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from services.ml_integration.domain.models import Endpoint, ModelVersion
from services.ml_integration.domain.performance import Close
from services.ml_integration.domain.predictions import Floats, Prediction
from services.ml_integration.domain.watch import DriftReport, PerformanceReport
from services.quant.timeframes import Timeframe


class Model(Protocol):
    """A classifier in memory. Rows are in the order of its feature set; calls may come from any thread."""

    def probability(self, row: Floats) -> float:
        """Of the price being higher, for one row (features,)."""

    def probabilities(self, rows: Floats) -> Floats:
        """The same for rows (n, features), shape (n,)."""

    def contributions(self, row: Floats) -> Floats:
        """What each feature adds to the log-odds of a row, and last what stands without: (features + 1,)."""

    def importance(self) -> tuple[Floats, Floats]:
        """Gain and number of splits of each feature, (features,) each."""


class Loader(Protocol):
    """Makes models of artifacts."""

    async def load(self, artifact: bytes, version: ModelVersion) -> Model:
        """FxError FAILED_PRECONDITION `ARTIFACT_CORRUPT` when it is no model of these features."""


class Workbench(Protocol):
    """What serves, and the models. FxError UNAVAILABLE, DEADLINE_EXCEEDED, NOT_FOUND."""

    async def endpoints(self) -> list[Endpoint]:
        """All."""

    async def endpoint(self, name: str) -> Endpoint:
        """One."""

    async def version(self, name: str, version: int) -> ModelVersion:
        """What is known of a model version."""

    async def download(self, name: str, version: int) -> bytes:
        """Its artifact."""


@dataclass(frozen=True, slots=True)
class FeatureVector:
    """Features of a stored bar."""

    open_ns: int
    names: tuple[str, ...]
    values: Floats
    feature_set_version: int


class Pipeline(Protocol):
    """Stored bars and their features. FxError UNAVAILABLE, DEADLINE_EXCEEDED."""

    async def features(self, symbol: str, timeframe: Timeframe, time_ns: int | None) -> FeatureVector:
        """Of the last bar closed by a time, or of the last stored. FxError FAILED_PRECONDITION `NO_DATA`,
        `NOT_ENOUGH_BARS`.
        """

    async def closes(self, symbol: str, timeframe: Timeframe, from_ns: int) -> list[Close]:
        """The first few thousand whole bars from a time, oldest first."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """What an endpoint served last."""

    endpoint: Endpoint
    version: ModelVersion


class Store(Protocol):
    """What must outlive the process for a start without the workbench."""

    async def pinned(self) -> list[Pinned]:
        """What was served last, by endpoint."""

    async def pin(self, table: Sequence[Pinned]) -> None:
        """Replace the table; artifacts nobody in it names go."""

    async def artifact(self, artifact_hash: str) -> bytes | None:
        """A kept artifact, None unless it is there and whole."""

    async def keep(self, artifact_hash: str, content: bytes) -> None:
        """Keep an artifact."""


@dataclass(frozen=True, slots=True)
class PerformanceUpdate:
    """Numbered report of this instance."""

    report_number: int
    instance_id: str
    report: PerformanceReport


@dataclass(frozen=True, slots=True)
class DriftUpdate:
    """Numbered report of this instance."""

    report_number: int
    instance_id: str
    report: DriftReport


Event: TypeAlias = Prediction | PerformanceUpdate | DriftUpdate


class Publisher(Protocol):
    """Events out. FxError UNAVAILABLE, RESOURCE_EXHAUSTED."""

    async def publish(self, event: Event) -> None:
        """Return once it is stored."""


class Meter(Protocol):
    """Takes measurements."""

    def answered(self, endpoint: str, seconds: float, rows: int) -> None:
        """A model answered for so many rows."""


class Clock(Protocol):
    """Wall time, handed in by the runtime."""

    def now_ns(self) -> int:
        """Wall time."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class Log(Protocol):
    """Structured log lines."""

    def info(self, event: str, **fields: object) -> object:
        """Something worth knowing."""

    def warning(self, event: str, **fields: object) -> object:
        """Something somebody should look at."""
