"""Ticks and signals of a replay in the order of the ticks: each signal is decided at the very tick that made
it.
"""

from __future__ import annotations

from dataclasses import replace

from services.trading_gateway.handlers.reading import Reading
from services.trading_gateway.handlers.signals import Signals
from services.trading_gateway.ports import TicksCame


class Interleaving:
    """Reads a batch with stops at its signals."""

    def __init__(self, signals: Signals, reading: Reading) -> None:
        self._signals = signals
        self._reading = reading

    async def read(self, item: TicksCame) -> None:
        """Read the ticks of a batch, deciding about each signal that is here once its tick was read.

        Signals that come later than their ticks are decided about before the next tick. Raises FxError when
        the store fails.
        """
        rest = item.batch
        for signal in self._signals.undecided(rest.session_id):
            count = signal.tick_sequence - rest.first_sequence + 1
            if count > len(rest):
                break
            if count > 0:
                await self._reading.read(replace(item, batch=rest[:count], clock_ns=0, ended=False))
                rest = rest[count:]
            await self._signals.decide(signal)
        await self._reading.read(replace(item, batch=rest))
