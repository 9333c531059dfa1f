"""What can be said of a served model: importance, drift, performance; and this process's numbered reports."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

import numpy as np

from services.ml_integration.domain.watch import DriftReport, PerformanceReport
from services.ml_integration.handlers.models import Models, Served
from services.ml_integration.ports import DriftUpdate, PerformanceUpdate
from services.quant.timeframes import Timeframe


@dataclass(frozen=True, slots=True)
class Importance:
    """Share of the gain and splits of each feature, strongest first."""

    served: Served
    features: tuple[tuple[str, float, int], ...]


class Reports:
    """Reads the models and their watches."""

    def __init__(self, models: Models, instance_id: str) -> None:
        self._models = models
        self._instance_id = instance_id
        self._drift_numbers = count(1)
        self._performance_numbers = count(1)

    async def importance(self, symbol: str, timeframe: Timeframe | None, endpoint: str) -> Importance:
        """Of the model that serves. FxError as `Models.serving`."""
        served = await self._models.serving(symbol, timeframe, endpoint)
        gain, splits = served.model.importance()
        shares = gain / (gain.sum() or 1.0)
        names = served.version.feature_names
        order = np.argsort(-shares, kind="stable")
        return Importance(served, tuple((names[i], float(shares[i]), int(splits[i])) for i in order))

    async def drift(self, endpoint: str) -> DriftReport:
        """FxError NOT_FOUND `UNKNOWN_ENDPOINT`."""
        return (await self._models.at(endpoint)).watch.drift_report()

    async def performance(self, endpoint: str) -> PerformanceReport:
        """As of now; `Outcomes.look_up` first learns what is known by now. FxError NOT_FOUND
        `UNKNOWN_ENDPOINT`.
        """
        return (await self._models.at(endpoint)).watch.performance_report()

    def drift_update(self, served: Served) -> DriftUpdate:
        """The next numbered drift report."""
        return DriftUpdate(next(self._drift_numbers), self._instance_id, served.watch.drift_report())

    def performance_update(self, served: Served) -> PerformanceUpdate:
        """The next numbered performance report."""
        report = served.watch.performance_report()
        return PerformanceUpdate(next(self._performance_numbers), self._instance_id, report)
