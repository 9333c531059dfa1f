"""Watches how full the streams are that refuse what has no room: whoever publishes to them looks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from nats import errors
from structlog.typing import FilteringBoundLogger

from services.errors import FxError
from services.runtime.bus.link import Link
from services.runtime.bus.metrics import BusMetrics

ALARM = 0.8
"""Share of a stream's bytes from which people should know: time is left to make room."""
_LOOK_S = 5.0


class Fullness:
    """Keeps `fxmesh_bus_stream_fill_ratio` of some streams, from `run` until cancelled."""

    def __init__(
        self, link: Link, streams: Sequence[str], metrics: BusMetrics, log: FilteringBoundLogger
    ) -> None:
        self._link = link
        self._streams = streams
        self._metrics = metrics
        self._log = log

    async def run(self) -> None:
        """Look every few seconds, as long as there is a server to ask."""
        while self._streams:
            session = await self._link.session()
            try:
                for stream in self._streams:
                    info = await session.jetstream.stream_info(stream)
                    self._see(stream, info.state.bytes / max(1, info.config.max_bytes or 0))
            except (errors.Error, TimeoutError, FxError) as trouble:
                self._log.debug("bus.fullness_unknown", error=str(trouble))
            await asyncio.sleep(_LOOK_S)

    def _see(self, stream: str, share: float) -> None:
        was = self._metrics.fill.get(stream, 0.0)
        self._metrics.fill[stream] = share
        if (was >= ALARM) != (share >= ALARM):
            word = "bus.stream_filling" if share >= ALARM else "bus.stream_has_room"
            self._log.warning(word, stream=stream, share=round(share, 3))
