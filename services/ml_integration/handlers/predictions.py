"""Answers: one row with its contributions, or many rows.

A single answer is listed, streamed, published and watched; a batch is somebody's history and is not.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from services.broadcast import Broadcast
from services.errors import FxError, Kind, invalid_field
from services.market.instruments import require_known
from services.ml_integration.domain.models import ModelVersion
from services.ml_integration.domain.predictions import Floats, Prediction, derived_id, strongest
from services.ml_integration.handlers.models import Models, Served
from services.ml_integration.handlers.outgoing import Outgoing
from services.ml_integration.handlers.reports import Reports
from services.ml_integration.ports import Clock, Meter, Pipeline
from services.quant.timeframes import Timeframe

LISTED = 100
IN_LINE_ROWS = 64
"""With more rows the model works in a thread, so that calls meanwhile are answered."""


@dataclass(frozen=True, slots=True)
class SentFeatures:
    """A row and the version of its feature set."""

    values: Floats
    feature_set_version: int


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. `timeframe` None: one hour, or the endpoint's; `features` None: fetch for `time_ns`."""

    symbol: str
    timeframe: Timeframe | None = None
    endpoint: str = ""
    features: SentFeatures | None = None
    open_ns: int | None = None
    time_ns: int | None = None
    contributions: bool = False
    prediction_id: str = ""
    signal_id: str = ""


@dataclass(frozen=True, slots=True)
class BatchQuestion:
    """Rows by column; every column is as long as there are bars."""

    symbol: str
    timeframe: Timeframe | None
    endpoint: str
    columns: Sequence[Floats]
    rows: int
    feature_set_version: int


@dataclass(frozen=True, slots=True)
class BatchScores:
    """Probabilities of rows in order, and who gave them."""

    probability_up: Floats
    served: Served


class Predictions:
    """Asks the model that serves."""

    def __init__(
        self,
        models: Models,
        pipeline: Pipeline,
        reports: Reports,
        outgoing: Outgoing,
        clock: Clock,
        meter: Meter,
        kept: int,
    ) -> None:
        self._models = models
        self._pipeline = pipeline
        self._reports = reports
        self._outgoing = outgoing
        self._clock = clock
        self._meter = meter
        self._kept = kept
        self._made: OrderedDict[tuple[str, int], Prediction] = OrderedDict()
        self._live: Broadcast[Prediction] = Broadcast()

    async def predict(self, question: Question) -> Prediction:
        """One prediction. A repeated id is answered again, but counted and published once.

        FxError FAILED_PRECONDITION `NO_MODEL`, `NO_FEATURES`; INVALID_ARGUMENT `FEATURES_MISMATCH`.
        """
        served = await self._models.serving(question.symbol, question.timeframe, question.endpoint)
        row, open_ns = await self._row(question, served)
        begun = self._clock.monotonic()
        prediction = self._ask(served, question, row, open_ns)
        self._meter.answered(served.endpoint.name, self._clock.monotonic() - begun, 1)
        await self._outgoing.room()
        self._take_in(served, prediction, row)
        return prediction

    async def _row(self, question: Question, served: Served) -> tuple[Floats, int | None]:
        if question.features is not None:
            _require(served.version, question.features)
            return question.features.values, question.open_ns
        return await self._fetched(question, served)

    async def _fetched(self, question: Question, served: Served) -> tuple[Floats, int]:
        of, version, time_ns = served.endpoint, served.version, question.time_ns
        if time_ns is None and question.open_ns is not None:
            time_ns = question.open_ns + of.timeframe.ns
        try:
            vector = await self._pipeline.features(of.symbol, of.timeframe, time_ns)
        except FxError as error:
            if error.kind is not Kind.FAILED_PRECONDITION:
                raise
            raise FxError(error.kind, "NO_FEATURES", error.detail) from error
        if (vector.names, vector.feature_set_version) != (version.feature_names, version.feature_set_version):
            raise FxError(
                Kind.FAILED_PRECONDITION,
                "NO_FEATURES",
                f"the pipeline computes feature set {vector.feature_set_version}; {version.name}"
                f" {version.version} was trained on {version.feature_set_version}: train it again",
            )
        return vector.values, vector.open_ns

    @staticmethod
    def _ask(served: Served, question: Question, row: Floats, open_ns: int | None) -> Prediction:
        of, version = served.endpoint, served.version
        parts = served.model.contributions(row)[:-1] if question.contributions else None
        return Prediction(
            prediction_id=question.prediction_id
            or derived_id(of.name, of.symbol, of.timeframe, open_ns, row),
            endpoint=of.name,
            model_name=version.name,
            model_version=version.version,
            symbol=of.symbol,
            timeframe=of.timeframe,
            open_ns=open_ns,
            probability_up=served.model.probability(row),
            contributions=() if parts is None else strongest(version.feature_names, row, parts),
            signal_id=question.signal_id,
            features_fetched=question.features is None,
        )

    def _take_in(self, served: Served, prediction: Prediction, row: Floats) -> None:
        """Awaits nothing, so that order and room stay as they are."""
        identity = (prediction.prediction_id, prediction.model_version)
        if identity in self._made:
            return
        self._made[identity] = prediction
        if len(self._made) > self._kept:
            self._made.popitem(last=False)
        self._outgoing.add(prediction)
        self._live.publish(prediction)
        if served.watch.add(prediction, row):
            self._outgoing.add(self._reports.drift_update(served))

    async def batch(self, question: BatchQuestion) -> BatchScores:
        """Many rows of one endpoint, in order; neither published nor watched: they are history."""
        served = await self._models.serving(question.symbol, question.timeframe, question.endpoint)
        rows = _rows(served.version, question)
        begun = self._clock.monotonic()
        if question.rows <= IN_LINE_ROWS:
            answers = served.model.probabilities(rows)
        else:
            answers = await asyncio.to_thread(served.model.probabilities, rows)
        self._meter.answered(served.endpoint.name, self._clock.monotonic() - begun, question.rows)
        return BatchScores(answers, served)

    async def list(self, symbols: Sequence[str], endpoint: str, limit: int) -> list[Prediction]:
        """Newest first; all symbols and endpoints unless named; limit 0: 100. FxError `UNKNOWN_SYMBOL`."""
        require_known(symbols)
        found = (
            each
            for each in reversed(self._made.values())
            if (not symbols or each.symbol in symbols) and (not endpoint or each.endpoint == endpoint)
        )
        return list(islice(found, limit or LISTED))

    def stream(self, symbols: Sequence[str]) -> AsyncIterator[Prediction | None]:
        """Predictions as they are made, None once a second without one. FxError `UNKNOWN_SYMBOL`."""
        require_known(symbols)
        wanted = frozenset(symbols)
        return self._live.subscribe(lambda each: not wanted or each.symbol in wanted)

    def close(self) -> None:
        """End all streams."""
        self._live.close()


def _require(version: ModelVersion, features: SentFeatures) -> None:
    """Number, version and finite values. FxError INVALID_ARGUMENT `FEATURES_MISMATCH`."""
    _require_set(version, len(features.values), features.feature_set_version, "features")
    if not np.isfinite(features.values).all():
        raise invalid_field("FEATURES_MISMATCH", "features.values", "must be finite")


def _require_set(version: ModelVersion, count: int, feature_set_version: int, field: str) -> None:
    of = f"{version.name} {version.version}"
    if feature_set_version != version.feature_set_version:
        raise invalid_field(
            "FEATURES_MISMATCH",
            f"{field}.feature_set_version" if field == "features" else "feature_set_version",
            f"{of} was trained on feature set {version.feature_set_version}, not {feature_set_version}",
        )
    if count != len(version.feature_names):
        raise invalid_field(
            "FEATURES_MISMATCH",
            f"{field}.values" if field == "features" else field,
            f"{of} takes {len(version.feature_names)} features, not {count}",
        )


def _rows(version: ModelVersion, question: BatchQuestion) -> Floats:
    """Shape (rows, features). FxError INVALID_ARGUMENT `FEATURES_MISMATCH`."""
    _require_set(version, len(question.columns), question.feature_set_version, "columns")
    for i, column in enumerate(question.columns):
        if len(column) != question.rows:
            raise invalid_field(
                "FEATURES_MISMATCH",
                f"columns[{i}].values",
                f"has {len(column)} values for {question.rows} bars",
            )
        if not np.isfinite(column).all():
            raise invalid_field("FEATURES_MISMATCH", f"columns[{i}].values", "must be finite")
    return np.column_stack(question.columns)
