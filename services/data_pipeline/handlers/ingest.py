"""Stores every event with exactly one effect, and tells the scorer about new bars."""

from __future__ import annotations

from collections.abc import Callable

from services.data_pipeline.domain.records import Arrivals, Stored
from services.data_pipeline.ports import EventStore
from services.quant.bars import Bar


class Ingest:
    """One commit per call; returning means that everything is on disk."""

    def __init__(self, store: EventStore, on_bar: Callable[[Bar], None]) -> None:
        self._store = store
        self._on_bar = on_bar
        self.ticks = 0
        self.events = 0

    async def store(self, arrivals: Arrivals) -> Stored:
        """Store what is new. Raises FxError when it cannot be: the bus then offers it again."""
        stored = await self._store.commit(arrivals)
        self.ticks += stored.ticks
        self.events += stored.events
        for bar in stored.bars:
            self._on_bar(bar)
        return stored
