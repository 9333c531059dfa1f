"""What is watched of one served model: drift, performance, skew. It lasts as long as the artifact serves."""

from __future__ import annotations

from dataclasses import dataclass

from services.ml_integration.domain.drift import DriftFigures, DriftRules, DriftWindow
from services.ml_integration.domain.models import ModelVersion
from services.ml_integration.domain.performance import Performance, PerformanceFigures
from services.ml_integration.domain.predictions import Floats, Prediction


@dataclass(frozen=True, slots=True)
class DriftReport:
    """Drift of the model an endpoint serves."""

    endpoint: str
    model_name: str
    model_version: int
    figures: DriftFigures


@dataclass(frozen=True, slots=True)
class PerformanceReport:
    """Performance of the model an endpoint serves, beside its figures on validation rows."""

    endpoint: str
    model_name: str
    model_version: int
    figures: PerformanceFigures
    validation_log_loss: float
    validation_accuracy: float
    feature_skew: float


class Watch:
    """Looks at every prediction of a model on an endpoint."""

    def __init__(self, endpoint: str, version: ModelVersion, rules: DriftRules) -> None:
        self._endpoint = endpoint
        self._version = version
        self.drift = DriftWindow(version.feature_names, version.deciles, rules)
        self.performance = Performance(version.horizon)
        self.reported = 0
        """Outcomes known when performance was last published."""
        self.feature_skew = 0.0
        """Largest difference seen between a feature sent and the same recomputed from storage."""
        self.to_compare: tuple[int, Floats] | None = None
        """The last bar whose features were sent by a caller and not yet compared, and those features."""

    def add(self, prediction: Prediction, row: Floats) -> bool:
        """Take in a prediction and its features; True when with it drift begins."""
        self.performance.add(prediction.open_ns, prediction.probability_up)
        if prediction.open_ns is not None and not prediction.features_fetched:
            self.to_compare = (prediction.open_ns, row)
        return self.drift.add(row)

    def drift_report(self) -> DriftReport:
        """Drift so far."""
        version = self._version
        return DriftReport(self._endpoint, version.name, version.version, self.drift.figures())

    def performance_report(self) -> PerformanceReport:
        """Performance so far."""
        version = self._version
        return PerformanceReport(
            self._endpoint,
            version.name,
            version.version,
            self.performance.figures(),
            version.validation_log_loss,
            version.validation_accuracy,
            self.feature_skew,
        )
