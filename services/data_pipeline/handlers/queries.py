"""Questions about what is stored."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from services.data_pipeline.domain.records import EventRecord, Span, StoredCount
from services.data_pipeline.ports import History
from services.market.instruments import instrument
from services.market.ticks import TickBatch
from services.paging import decode_token, encode_token, page_size
from services.quant.bars import Bar
from services.quant.timeframes import Timeframe

BARS_PAGE = 500


@dataclass(frozen=True, slots=True)
class BarQuery:
    """Which bars: `latest` asks for the last page of the span rather than the first."""

    symbol: str
    timeframe: Timeframe
    span: Span
    source_id: str = ""
    latest: bool = False


class Queries:
    """Reads through the history port."""

    def __init__(self, history: History) -> None:
        self._history = history

    async def bars(self, query: BarQuery, asked: int, token: str) -> tuple[list[Bar], str]:
        """A page of bars, oldest first, and the token of the next page: newer bars, or older with
        `latest`.
        """
        instrument(query.symbol)
        size = page_size(asked, BARS_PAGE)
        span, position = query.span, decode_token(token, query)
        if position is not None:
            place = int(position[0])
            span = Span(span.start_ns, place) if query.latest else Span(place + 1, span.end_ns)
        bars = await self._history.bars(
            query.symbol, query.timeframe, span, query.source_id, size + 1, latest=query.latest
        )
        if len(bars) <= size:
            return bars, ""
        if query.latest:
            return bars[1:], encode_token([bars[1].open_ns], query)
        return bars[:size], encode_token([bars[size - 1].open_ns], query)

    def read_bars(self, query: BarQuery) -> AsyncIterator[Sequence[Bar]]:
        """All bars in chunks."""
        instrument(query.symbol)
        return self._history.read_bars(query.symbol, query.timeframe, query.span, query.source_id)

    def read_ticks(self, symbol: str, source_id: str, after_sequence: int) -> AsyncIterator[TickBatch]:
        """All ticks of a source in chunks."""
        instrument(symbol)
        return self._history.read_ticks(symbol, source_id, after_sequence)

    async def events(
        self, types: Sequence[str], key: str, asked: int, token: str
    ) -> tuple[list[EventRecord], str]:
        """A page of events, newest first."""
        size = page_size(asked)
        position = decode_token(token, tuple(types), key)
        before = None if position is None else int(position[0])
        found = await self._history.events(types, key, before, size + 1)
        more = encode_token([found[size - 1][0]], tuple(types), key) if len(found) > size else ""
        return [event for _, event in found[:size]], more

    async def report(self, source_id: str) -> tuple[list[StoredCount], int]:
        """Counts, and bytes of the database."""
        return await self._history.counts(source_id), self._history.size_bytes()
