"""What inference thinks of a signal. A signal never waits long for it and never needs it."""

from __future__ import annotations

from dataclasses import dataclass

from services.analysis_engine.domain.feed import Opinion
from services.analysis_engine.domain.signals import Evidence, Prediction, PredictionStatus
from services.analysis_engine.ports import Clock, Importance, Inference, Log, PredictionRequest
from services.errors import FxError, Kind
from services.quant.feature_formulas import FEATURE_WINDOW
from services.quant.features import FEATURE_SET_VERSION, feature_row

_AWAY = (Kind.UNAVAILABLE, Kind.DEADLINE_EXCEEDED, Kind.RESOURCE_EXHAUSTED)


@dataclass(frozen=True, slots=True)
class Patience:
    """`deadline_s` for one call, `patient_s` where the market waits for us; after `failures` in a row nobody
    asks for `pause_s` of wall time.
    """

    deadline_s: float = 0.25
    patient_s: float = 5.0
    failures: int = 3
    pause_s: float = 2.0

    def limit_s(self, *, patient: bool) -> float:
        """Deadline of one call."""
        return self.patient_s if patient else self.deadline_s


class Predictions:
    """Asks inference for signals, one after the other, so that its answers always come in the same order."""

    def __init__(self, inference: Inference, clock: Clock, log: Log, patience: Patience) -> None:
        self._inference = inference
        self._clock = clock
        self._log = log
        self._patience = patience
        self._failures = 0
        self._resting_until = float("-inf")
        self._importance: dict[tuple[str, int], Importance] = {}

    async def of(self, opinion: Opinion, signal_id: str, *, patient: bool) -> Prediction:
        """The prediction that goes with a signal, or why there is none."""
        bar = opinion.bar.bar
        if len(opinion.series) < FEATURE_WINDOW:
            return Prediction(PredictionStatus.NOT_ENOUGH_BARS)
        if self._clock.monotonic() < self._resting_until:
            return Prediction(PredictionStatus.UNAVAILABLE)
        features = tuple(feature_row(opinion.series).tolist())
        request = PredictionRequest(
            signal_id, signal_id, bar.symbol, bar.timeframe, bar.open_ns, features, FEATURE_SET_VERSION
        )
        limit_s = self._patience.limit_s(patient=patient)
        try:
            prediction = await self._inference.predict(request, limit_s)
        except FxError as error:
            return self._without(error, signal_id, limit_s)
        self._failures = 0
        return prediction

    def _without(self, error: FxError, signal_id: str, limit_s: float) -> Prediction:
        if error.kind is Kind.FAILED_PRECONDITION:
            self._failures = 0
            return Prediction(PredictionStatus.NO_MODEL)
        if error.kind in _AWAY:
            self._failures += 1
            if self._failures >= self._patience.failures:
                # No more than a third of the time is spent on waiting for nobody.
                self._resting_until = self._clock.monotonic() + max(self._patience.pause_s, 2 * limit_s)
        # FEATURES_MISMATCH and the like: inference is there, but this model cannot answer us.
        self._log.warning("prediction.failed", signal=signal_id, reason=error.reason, detail=error.detail)
        return Prediction(PredictionStatus.UNAVAILABLE)

    async def evidence(
        self, prediction: Prediction, opinion: Opinion, *, patient: bool
    ) -> tuple[Evidence, ...]:
        """What the model goes by in general: the share of all gain of the feature that weighed most here."""
        if prediction.status is not PredictionStatus.PREDICTED or not prediction.contributions:
            return ()
        importance = await self._importance_of(prediction, opinion, self._patience.limit_s(patient=patient))
        feature = prediction.contributions[0].feature
        if importance is None or feature not in importance.gain:
            return ()
        return (Evidence(f"model gain share of {feature}", importance.gain[feature]),)

    async def _importance_of(
        self, prediction: Prediction, opinion: Opinion, limit_s: float
    ) -> Importance | None:
        version = (prediction.model_name, prediction.model_version)
        known = self._importance.get(version)
        if known is not None:
            return known
        bar = opinion.bar.bar
        try:
            importance = await self._inference.importance(
                bar.symbol, bar.timeframe, prediction.endpoint, limit_s
            )
        except FxError as error:
            self._log.warning("importance.failed", model=version[0], version=version[1], reason=error.reason)
            return None
        if (importance.model_name, importance.model_version) != version:
            return None  # deployed in between: the next prediction will be of that version
        self._importance[version] = importance
        top = sorted(importance.gain.items(), key=lambda item: -item[1])[:5]
        self._log.info("model.seen", model=version[0], version=version[1], top=dict(top))
        return importance
