"""A training run: what it is asked to do and how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from services.errors import FxError, Kind, invalid_field
from services.quant.timeframes import Timeframe

ALLOWED_PARAMETERS: Mapping[str, tuple[float, float]] = {
    "learning_rate": (1e-4, 1.0),
    "num_leaves": (2, 1024),
    "max_depth": (-1, 64),
    "min_data_in_leaf": (1, 100_000),
    "feature_fraction": (0.05, 1.0),
    "bagging_fraction": (0.05, 1.0),
    "bagging_freq": (0, 1000),
    "lambda_l1": (0.0, 1e4),
    "lambda_l2": (0.0, 1e4),
    "min_gain_to_split": (0.0, 1e4),
    "max_bin": (2, 1024),
    "path_smooth": (0.0, 1e4),
    "extra_trees": (0, 1),
}
"""LightGBM parameters a caller may set, with their ranges; the others decide what a run means or would do."""
WHOLE_NUMBERS = frozenset(
    {"num_leaves", "max_depth", "min_data_in_leaf", "bagging_freq", "max_bin", "extra_trees"}
)


class TrainingState(Enum):
    """Where a run is."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class TrainingSpec:
    """What a run is asked to do. `horizon` in bars; `deploy_to` an endpoint, empty: none."""

    model_name: str
    symbol: str
    timeframe: Timeframe
    start_ns: int | None
    end_ns: int | None
    horizon: int
    rounds: int
    validation_share: float
    parameters: Mapping[str, str]
    seed: int
    deploy_to: str = ""

    def checked_parameters(self) -> dict[str, float]:
        """The parameters as numbers. FxError INVALID_ARGUMENT `BAD_PARAMETER` for what may not be set so."""
        numbers = {}
        for name, text in sorted(self.parameters.items()):
            if name not in ALLOWED_PARAMETERS:
                known = ", ".join(ALLOWED_PARAMETERS)
                raise invalid_field(
                    "BAD_PARAMETER", f"parameters[{name}]", f"may not be set; known are {known}"
                )
            low, high = ALLOWED_PARAMETERS[name]
            try:
                value = int(text) if name in WHOLE_NUMBERS else float(text)
            except ValueError:
                raise invalid_field(
                    "BAD_PARAMETER", f"parameters[{name}]", f"{text!r} is no number"
                ) from None
            if not low <= value <= high:
                raise invalid_field("BAD_PARAMETER", f"parameters[{name}]", f"must lie in {low:g}..{high:g}")
            numbers[name] = value
        return numbers


@dataclass(frozen=True, slots=True)
class ModelMetrics:
    """Figures on the validation rows, which lie after all training rows in time; `baseline_*` of a
    constant guess.
    """

    training_rows: int
    validation_rows: int
    log_loss: float
    baseline_log_loss: float
    auc: float
    accuracy: float
    baseline_accuracy: float
    best_round: int


@dataclass(slots=True)
class TrainingRun:
    """A run. Times are wall nanoseconds; `model_version` 0 until a version is registered."""

    run_id: str
    spec: TrainingSpec
    queued_ns: int
    state: TrainingState = TrainingState.QUEUED
    rounds_done: int = 0
    dataset_id: str = ""
    metrics: ModelMetrics | None = None
    model_version: int = 0
    started_ns: int | None = None
    ended_ns: int | None = None
    failure_reason: str = ""
    failure: str = ""
    cancel_asked: bool = field(default=False, compare=False)

    @property
    def ended(self) -> bool:
        """Over, one way or another."""
        return self.state in (TrainingState.COMPLETED, TrainingState.FAILED, TrainingState.CANCELLED)

    def end(self, state: TrainingState, ended_ns: int, failure: FxError | None = None) -> None:
        """Close the run."""
        self.state, self.ended_ns = state, ended_ns
        if failure is not None:
            self.failure_reason, self.failure = failure.reason, failure.detail

    def require_running(self) -> None:
        """FxError FAILED_PRECONDITION `RUN_FINISHED` once it is over."""
        if self.ended:
            raise FxError(
                Kind.FAILED_PRECONDITION, "RUN_FINISHED", f"run {self.run_id} is over: {self.state.value}"
            )
