"""Has inference look at stored bars: each new one as it is stored, and whole spans on request."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

import numpy as np

from services.data_pipeline.domain.executions import Execution, PipelineKind
from services.data_pipeline.domain.records import Span
from services.data_pipeline.handlers.datasets import vector
from services.data_pipeline.handlers.executions import Executions
from services.data_pipeline.ports import Catalogue, Exports, History, Scorer
from services.errors import FxError, Kind
from services.market.instruments import instrument
from services.quant.bars import Bar
from services.quant.feature_formulas import FEATURE_WINDOW
from services.quant.features import FEATURE_SET_VERSION, feature_matrix
from services.quant.timeframes import Timeframe
from services.requests import Requests, derived_id

CHUNK_ROWS = 2000
WAITING_BARS = 256
"""Symbols and timeframes whose newest bar may wait to be scored."""


class Scoring:
    """Sends processed rows to inference and keeps what it answers."""

    def __init__(
        self,
        history: History,
        catalogue: Catalogue,
        scorer: Scorer,
        exports: Exports,
        executions: Executions,
        requests: Requests,
        timeframes: frozenset[Timeframe],
    ) -> None:
        self._history = history
        self._catalogue = catalogue
        self._scorer = scorer
        self._exports = exports
        self._executions = executions
        self._requests = requests
        self._timeframes = timeframes
        self._waiting: OrderedDict[tuple[str, Timeframe], Bar] = OrderedDict()
        self._wake = asyncio.Event()

    def offer(self, bar: Bar) -> None:
        """Score this bar soon. Only the newest of a symbol and timeframe waits: older ones are history."""
        if bar.timeframe in self._timeframes and not bar.partial and len(self._waiting) < WAITING_BARS:
            self._waiting[bar.symbol, bar.timeframe] = bar
            self._wake.set()

    async def run(self) -> None:
        """Loop: score what waits. Inference that is away or has no model costs the score, nothing else."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                _, bar = self._waiting.popitem(last=False)
                try:
                    await self._score_bar(bar)
                except FxError as error:
                    if error.kind not in (
                        Kind.FAILED_PRECONDITION,
                        Kind.UNAVAILABLE,
                        Kind.DEADLINE_EXCEEDED,
                        Kind.RESOURCE_EXHAUSTED,
                        Kind.NOT_FOUND,
                    ):
                        raise

    async def _score_bar(self, bar: Bar) -> None:
        span = Span(None, bar.open_ns + 1)
        bars = await self._history.bars(bar.symbol, bar.timeframe, span, "", FEATURE_WINDOW, latest=True)
        row = vector(bar.symbol, bar.timeframe, bars)
        scores = await self._scorer.predict(
            bar.symbol, bar.timeframe, row.open_ns, row.values, FEATURE_SET_VERSION
        )
        await self._catalogue.save_scores("live", scores)

    async def start(
        self, request_id: str, kind: PipelineKind, symbol: str, timeframe: Timeframe, span: Span
    ) -> Execution:
        """Score or export stored bars in the background; the same request again gives the same execution."""
        instrument(symbol)

        async def work(execution: Execution) -> None:
            if kind is PipelineKind.SCORE:
                await self._score(execution, symbol, timeframe, span)
            else:
                await self._export(execution, symbol, timeframe, span)

        async def act() -> str:
            name = derived_id(request_id)
            execution_id = f"{kind.value}-{name}"
            if await self._catalogue.execution(execution_id) is None:
                await self._executions.begin(kind, f"{symbol} {timeframe}", work, name)
            return execution_id

        content = repr((kind, symbol, timeframe, span))
        return await self._executions.get(await self._requests.once(request_id, content, act))

    async def _score(self, execution: Execution, symbol: str, timeframe: Timeframe, span: Span) -> None:
        chunks = self._history.read_bars(symbol, timeframe, span, "")
        bars = [bar async for chunk in chunks for bar in chunk if not bar.partial]
        if not bars:
            raise FxError(Kind.FAILED_PRECONDITION, "NO_DATA", f"no {timeframe} bars of {symbol} are stored")
        open_ns, features, valid = await asyncio.to_thread(feature_matrix, bars)
        times, rows = open_ns[valid], np.ascontiguousarray(features[valid])
        execution.rows_read, execution.progress_total = len(bars), len(rows)
        for start in range(0, len(rows), CHUNK_ROWS):
            part = slice(start, start + CHUNK_ROWS)
            scores = await self._scorer.batch_predict(
                symbol, timeframe, times[part].tolist(), rows[part], FEATURE_SET_VERSION
            )
            await self._catalogue.save_scores(execution.execution_id, scores)
            execution.rows_written += len(scores.open_ns)
            execution.progress = execution.rows_written

    async def _export(self, execution: Execution, symbol: str, timeframe: Timeframe, span: Span) -> None:
        name = f"{execution.execution_id}-{symbol}-{timeframe}.parquet"
        execution.output, execution.rows_written = await self._exports.bars(symbol, timeframe, span, name)
        execution.rows_read = execution.progress = execution.progress_total = execution.rows_written
