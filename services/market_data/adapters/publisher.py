"""Events out through the bus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fxmesh.marketdata.v1 import events_pb2

from services.market.clock import MarketClock
from services.market_data import wire
from services.market_data.domain.history import TickMessage
from services.market_data.domain.quotes import OrderBook, Quote
from services.runtime.ports import Bus

REQUIRED = ("data_pipeline", "analysis_engine")
"""Consumers that an unpaced replay waits for: what they miss could not be had again."""


class BusPublisher:
    """`ports.Publisher` over the bus."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def ticks(self, messages: Sequence[TickMessage]) -> None:
        """Tick batches, in order, acknowledgements pipelined."""
        await self._bus.publish_many([wire.tick_event(each) for each in messages])

    async def updates(self, updates: Iterable[tuple[int, Quote, MarketClock]]) -> None:
        """Conflated quotes."""
        await self._bus.publish_many([wire.update_event(*each) for each in updates])

    async def books(self, books: Iterable[tuple[int, OrderBook]]) -> None:
        """Order books."""
        await self._bus.publish_many([wire.book_event(*each) for each in books])

    async def backlog(self, symbol: str) -> Mapping[str, int]:
        """Events of the tick stream that each required consumer has still to handle."""
        event = events_pb2.PriceTickReceived
        return {name: await self._bus.pending(name, event, symbol) for name in REQUIRED}
