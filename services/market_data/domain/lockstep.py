"""Who has handled how much of a lockstep replay: the next batch leaves when analysis and trading have
acknowledged.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

ANALYSIS = "analysis_engine"
TRADING = "trading_gateway"


@dataclass(slots=True)
class Lockstep:
    """Acknowledgements of one session and symbol. `signals`: how many analysis published up to its last
    one.
    """

    session_id: str
    symbol: str
    handled: dict[str, int] = field(default_factory=lambda: {ANALYSIS: -1, TRADING: -1})
    ended: set[str] = field(default_factory=set)
    signals: int = 0
    barrier: int | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def acknowledge(self, consumer: str, sequence: int, signals: int, *, ended: bool) -> None:
        """A consumer has handled everything up to `sequence`, and the session's end if `ended`."""
        self.handled[consumer] = max(self.handled[consumer], sequence)
        if consumer == ANALYSIS:
            self.signals = max(self.signals, signals)
        if ended:
            self.ended.add(consumer)
        self._changed.set()

    def reached(self, consumer: str, sequence: int, *, ended: bool) -> bool:
        """True when the consumer has acknowledged that much."""
        return consumer in self.ended if ended else self.handled[consumer] >= sequence

    async def wait(self, consumer: str, sequence: int, *, ended: bool = False) -> None:
        """Return once the consumer has acknowledged `sequence`, or with `ended` the end."""
        while not self.reached(consumer, sequence, ended=ended):
            self._changed.clear()
            await self._changed.wait()
