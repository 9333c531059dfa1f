"""Learns from stored bars how predictions came out, and whether features sent equal those of storage.

Nothing here is urgent: without the pipeline it is done later.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from services.errors import FxError
from services.ml_integration.handlers.models import Models, Served
from services.ml_integration.handlers.outgoing import Outgoing
from services.ml_integration.handlers.reports import Reports
from services.ml_integration.ports import Clock, Log, Pipeline
from services.quant.timeframes import Timeframe


class Outcomes:
    """Asks the pipeline for what predictions wait for."""

    def __init__(
        self,
        models: Models,
        pipeline: Pipeline,
        reports: Reports,
        outgoing: Outgoing,
        clock: Clock,
        log: Log,
        outcomes_per_report: int,
    ) -> None:
        self._models = models
        self._pipeline = pipeline
        self._reports = reports
        self._outgoing = outgoing
        self._clock = clock
        self._log = log
        self._outcomes_per_report = outcomes_per_report
        self._looking = asyncio.Lock()
        self._away = ""

    async def run(self, every_s: float) -> None:
        """Loop."""
        while True:
            await self._clock.sleep(every_s)
            await self.look_up(self._models.all())

    async def at(self, endpoint: str, patience_s: float) -> None:
        """Look up what one endpoint's predictions wait for, for at most so long."""
        served = await self._models.at(endpoint)
        try:
            async with asyncio.timeout(patience_s):
                await self.look_up([served])
        except TimeoutError:
            return

    async def look_up(self, models: Sequence[Served]) -> None:
        """Settle what can be settled by now; publish performance where enough is new."""
        async with self._looking:
            try:
                await self._settle(models)
                for served in models:
                    await self._compare(served)
            except FxError as error:
                if error.reason != self._away:
                    self._log.info("outcomes.later", reason=error.reason, detail=error.detail)
                self._away = error.reason
                return
            self._away = ""

    async def _settle(self, models: Sequence[Served]) -> None:
        """One question to the pipeline for each symbol and timeframe."""
        groups: defaultdict[tuple[str, Timeframe], list[Served]] = defaultdict(list)
        for served in models:
            if served.watch.performance.first_pending_ns is not None:
                groups[served.endpoint.symbol, served.endpoint.timeframe].append(served)
        for (symbol, timeframe), group in groups.items():
            waiting = [each.watch.performance.first_pending_ns for each in group]
            from_ns = min(each for each in waiting if each is not None)
            closes = await self._pipeline.closes(symbol, timeframe, from_ns)
            for served in group:
                if served.watch.performance.resolve(closes):
                    await self._tell(served)

    async def _tell(self, served: Served) -> None:
        watch = served.watch
        if watch.performance.resolved - watch.reported < self._outcomes_per_report:
            return
        await self._outgoing.room()
        self._outgoing.add(self._reports.performance_update(served))
        watch.reported = watch.performance.resolved

    async def _compare(self, served: Served) -> None:
        """Compare the features of the last bar that a caller sent with those of the same bar in storage."""
        watch, of = served.watch, served.endpoint
        if watch.to_compare is None:
            return
        open_ns, row = watch.to_compare
        try:
            stored = await self._pipeline.features(of.symbol, of.timeframe, open_ns + of.timeframe.ns)
        except FxError as error:
            if error.reason not in ("NO_DATA", "NOT_ENOUGH_BARS"):
                raise
            return
        if stored.open_ns != open_ns or stored.names != served.version.feature_names:
            return  # its bar is not stored yet, or features have moved on
        difference = float(np.max(np.abs(stored.values - row)))
        if difference > watch.feature_skew:
            self._log.warning("features.skewed", endpoint=of.name, difference=difference)
            watch.feature_skew = difference
        if watch.to_compare[0] == open_ns:
            watch.to_compare = None
