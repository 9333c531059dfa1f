"""LightGBM: fits a binary classifier on the first rows in time and measures it on the last.

One thread, fixed seed and row-wise histograms: the same data gives the same bytes. lightgbm takes more than a
second to import, so that happens in the thread that trains.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from services.errors import FxError, Kind
from services.ml_workbench.domain import scoring
from services.ml_workbench.domain.runs import ModelMetrics, TrainingSpec
from services.ml_workbench.ports import TrainedModel, TrainingData

LEAST_TRAINING_ROWS = 200
LEAST_VALIDATION_ROWS = 50
# Weak signals and many rows: small steps, shallow trees, big leaves.
DEFAULTS: Mapping[str, Any] = {
    "objective": "binary",
    "metric": "binary_logloss",
    "learning_rate": 0.03,
    "num_leaves": 15,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 1.0,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


class LightGbmTrainer:
    """`ports.Trainer`."""

    def __init__(self, threads: int, early_stopping_rounds: int) -> None:
        self._threads = threads
        self._patience = early_stopping_rounds

    async def train(
        self,
        data: TrainingData,
        spec: TrainingSpec,
        parameters: Mapping[str, float],
        on_round: Callable[[int], bool],
    ) -> TrainedModel:
        """Runs in a thread; LightGBM lets go of the interpreter while it works."""
        return await asyncio.to_thread(self._train, data, spec, parameters, on_round)

    def _train(
        self,
        data: TrainingData,
        spec: TrainingSpec,
        parameters: Mapping[str, float],
        on_round: Callable[[int], bool],
    ) -> TrainedModel:
        import lightgbm

        fit, held_out = scoring.split_in_time(len(data.labels), spec.validation_share, spec.horizon)
        _require_rows(data.labels[fit], data.labels[held_out])
        names = list(data.feature_names)
        training = lightgbm.Dataset(data.features[fit], data.labels[fit], feature_name=names)
        validation = lightgbm.Dataset(
            data.features[held_out], data.labels[held_out], reference=training, feature_name=names
        )

        def progress(environment: Any) -> None:
            if not on_round(environment.iteration + 1):
                raise lightgbm.callback.EarlyStopException(environment.iteration, [])

        booster = lightgbm.train(
            {**DEFAULTS, **parameters, "seed": spec.seed % 2**31, "num_threads": self._threads},
            training,
            num_boost_round=spec.rounds,
            valid_sets=[validation],
            callbacks=[progress, lightgbm.early_stopping(self._patience, verbose=False)],
        )
        best = booster.best_iteration or booster.current_iteration()
        probabilities = booster.predict(data.features[held_out], num_iteration=best)
        return TrainedModel(
            booster.model_to_string(num_iteration=best).encode(),
            _metrics(data.labels[fit], data.labels[held_out], np.asarray(probabilities), best),
            scoring.deciles(data.features[fit]),
        )


def _require_rows(training: npt.NDArray[np.float64], validation: npt.NDArray[np.float64]) -> None:
    enough = len(training) >= LEAST_TRAINING_ROWS and len(validation) >= LEAST_VALIDATION_ROWS
    if not enough or len(np.unique(training)) < 2:
        raise FxError(
            Kind.FAILED_PRECONDITION,
            "TRAINING_DATA_TOO_SMALL",
            f"{len(training)} rows to train on, {len(validation)} to validate; at least"
            f" {LEAST_TRAINING_ROWS} with both outcomes and {LEAST_VALIDATION_ROWS} are needed",
        )


def _metrics(
    training: npt.NDArray[np.float64],
    validation: npt.NDArray[np.float64],
    probabilities: npt.NDArray[np.float64],
    best_round: int,
) -> ModelMetrics:
    base = np.full(len(validation), training.mean())
    return ModelMetrics(
        training_rows=len(training),
        validation_rows=len(validation),
        log_loss=scoring.log_loss(validation, probabilities),
        baseline_log_loss=scoring.log_loss(validation, base),
        auc=scoring.auc(validation, probabilities),
        accuracy=scoring.accuracy(validation, probabilities),
        baseline_accuracy=scoring.accuracy(validation, base),
        best_round=best_round,
    )
