"""Inference events out through the bus."""

from __future__ import annotations

from services.ml_integration import wire
from services.ml_integration.ports import Event
from services.runtime.ports import Bus


class BusPublisher:
    """`ports.Publisher`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def publish(self, event: Event) -> None:
        """Return once it is stored."""
        await self._bus.publish(wire.event(event))
