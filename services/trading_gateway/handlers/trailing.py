"""Unpaced replays: ticks are read behind analysis, so that its signals are here when their ticks are.

Nobody paces such a replay, and reading ticks is quicker than making bars and signals of them: read at once,
the market would have moved on by hours before a signal came. So trading asks analysis how far it is, and
reads what analysis is done with once as many signals came as it has made. That is a courtesy, not a barrier:
where analysis does not answer or stands still, reading goes on, and the ticks read so are counted.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from services.errors import FxError
from services.market.ticks import TickBatch
from services.trading_gateway.handlers.desk import Desk
from services.trading_gateway.handlers.interleaving import Interleaving
from services.trading_gateway.handlers.signals import Signals
from services.trading_gateway.ports import Analysis, TicksCame

POLL_S = 0.01
PATIENCE_S = 2.0
"""How long analysis, or its signals on their way, may stand still."""
FIRST_PATIENCE_S = 20.0
"""The same before its first tick, which has to wait until analysis has warmed up."""
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 4.0
"""Between two questions to an analysis that does not answer; each pause is twice the one before."""


class Trailing:
    """Reads the ticks of unpaced replays, each replay in its order."""

    def __init__(self, desk: Desk, analysis: Analysis, signals: Signals, interleaving: Interleaving) -> None:
        self.ahead: Counter[str] = Counter()
        """Ticks read before analysis was done with them, by session."""
        self._desk = desk
        self._analysis = analysis
        self._signals = signals
        self._interleaving = interleaving
        self._waiting: asyncio.Queue[TicksCame] = asyncio.Queue()
        self._done: dict[str, int] = {}
        """Sequence up to which analysis is done and its signals are here."""
        self._stood_still: dict[str, tuple[int, int]] = {}
        """Where all was last seen standing still: not waited for again until something has moved."""
        self._pause_s = 0.0
        """Above zero while analysis does not answer."""
        self.asks_again_s = 0.0
        """When an analysis that does not answer is asked next."""
        self._missed = 0

    def put(self, item: TicksCame) -> None:
        """Ticks to be read once analysis is past them."""
        self._waiting.put_nowait(item)

    def forget(self) -> None:
        """The feed starts over: what waits comes again."""
        while not self._waiting.empty():
            self._waiting.get_nowait()

    async def run(self) -> None:
        """Background: read what waits. When the store fails, the feed starts over and all comes again."""
        while True:
            item = await self._waiting.get()
            session_id = item.batch.session_id
            if len(item.batch) and not await self._accompanied(item.batch):
                self.ahead[session_id] += len(item.batch)
            try:
                await self._interleaving.read(item)
            except FxError as failure:
                self._desk.log.warning("replay.not_read", session=session_id, error=str(failure))
            if item.ended:
                self._signals.let_go(session_id)

    async def _accompanied(self, batch: TickBatch) -> bool:
        """Return once analysis is done with a batch (True), or does not answer or get any further."""
        if self._pause_s and asyncio.get_running_loop().time() < self.asks_again_s:
            self._missed += len(batch)
            return False
        try:
            return await self._until_past(batch)
        except FxError as failure:
            self._missed += len(batch)
            self._not_answered(failure)
            return False

    async def _until_past(self, batch: TickBatch) -> bool:
        loop, session_id = asyncio.get_running_loop(), batch.session_id
        last, until_s = (-1, -1), 0.0
        while self._done.get(session_id, 0) < batch.last_sequence:
            sequence, made = await self._analysis.progress(session_id, batch.symbol)
            self._answered()
            here = self._came(session_id)
            if here >= made:
                self._done[session_id] = sequence
            if last != (sequence, here):
                last = (sequence, here)
                until_s = loop.time() + (PATIENCE_S if sequence else FIRST_PATIENCE_S)
            elif loop.time() >= until_s:
                self._stood_still[session_id] = last
            if self._done.get(session_id, 0) < batch.last_sequence:
                if self._stood_still.get(session_id) == last:
                    return False
                await asyncio.sleep(POLL_S)
        return True

    def _came(self, session_id: str) -> int:
        """Signals of a session that are here."""
        engine = self._desk.standing
        return 0 if engine is None else engine.signal_counts.get(session_id, 0)

    def _not_answered(self, failure: FxError) -> None:
        """Said once an outage."""
        if not self._pause_s:
            self._desk.log.warning("analysis.away", reading="goes on without it", error=str(failure))
        self._pause_s = min(max(2 * self._pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        self.asks_again_s = asyncio.get_running_loop().time() + self._pause_s

    def _answered(self) -> None:
        if self._pause_s:
            self._desk.log.info("analysis.back", ticks_read_without=self._missed)
            self._pause_s, self._missed = 0.0, 0
