"""Replays, and above all those in lockstep, where what is traded depends on the file only.

Market data sends a batch of ticks and, once analysis is done with it, a barrier that says how many signals
there are by now. A batch is held until its barrier comes; then ticks and signals are taken in the order of
the ticks, and the barrier is acknowledged. How fast anybody is, and how ticks are cut into batches, changes
nothing.

Whether an unpaced replay runs in lockstep shows in its first batch: if another comes before a barrier, it
does not.
"""

from __future__ import annotations

import asyncio

from services.errors import FxError, Kind
from services.trading_gateway.handlers.desk import Desk
from services.trading_gateway.handlers.interleaving import Interleaving
from services.trading_gateway.handlers.reading import Reading
from services.trading_gateway.handlers.signals import Signals
from services.trading_gateway.handlers.trailing import Trailing
from services.trading_gateway.ports import Barrier, MarketData, TicksCame

RETRY_S = 0.2
_AGAIN = (Kind.UNAVAILABLE, Kind.DEADLINE_EXCEEDED, Kind.RESOURCE_EXHAUSTED)


class Lockstep:
    """Takes the ticks of replays, and passes barriers in the order in which they were raised."""

    def __init__(
        self,
        desk: Desk,
        market: MarketData,
        signals: Signals,
        reading: Reading,
        interleaving: Interleaving,
        trailing: Trailing,
    ) -> None:
        self._desk = desk
        self._market = market
        self._signals = signals
        self._reading = reading
        self._interleaving = interleaving
        self._trailing = trailing
        self._held: dict[str, TicksCame] = {}
        self._trailed: set[str] = set()
        self._raised: asyncio.Queue[Barrier] = asyncio.Queue()

    def forget(self) -> None:
        """The feed starts over: what was held comes again, and shows again how its replay runs."""
        self._held.clear()
        self._trailed.clear()
        self._trailing.forget()

    def begin_anew(self) -> None:
        """The books were built as in a new process: barriers come again with their ticks."""
        self.forget()
        self._raised = asyncio.Queue()

    async def ticks(self, item: TicksCame) -> None:
        """Take ticks of a replay: read them, hold them for their barrier, or leave them to `trailing`."""
        session_id = item.batch.session_id
        if item.paced:
            await self._reading.read(item)
            return
        self._signals.lead(session_id)
        held = self._held.pop(session_id, None)
        if held is not None:
            self._trailed.add(session_id)
            self._trailing.put(held)
        if session_id in self._trailed:
            self._trailing.put(item)
        elif item.ended:
            await self._interleaving.read(item)
        else:
            self._held[session_id] = item

    def raised(self, barrier: Barrier) -> None:
        """A barrier came, after the ticks that it closes."""
        self._raised.put_nowait(barrier)

    async def run(self) -> None:
        """Background: pass one barrier after the other."""
        while True:
            barrier = await self._raised.get()
            while not await self._passed(barrier):
                await self._desk.clock.sleep(RETRY_S)

    async def _passed(self, barrier: Barrier) -> bool:
        """True once it is acknowledged, or market data does not wait for it any more."""
        await self._desk.until(lambda: self._complete(barrier))
        session_id = barrier.session_id
        try:
            held = self._held.pop(session_id, None)
            if held is not None:
                await self._interleaving.read(held)
            for signal in self._signals.undecided(session_id):
                await self._signals.decide(signal)
            with self._desk.step() as engine:
                engine.journal.mark_all()
            await self._desk.settle()
            await self._desk.durable()
            feed = engine.book.markets.feed(session_id, barrier.symbol)
            ended = feed is not None and feed.state.ended
            await self._market.acknowledge(session_id, barrier.symbol, barrier.sequence, ended=ended)
        except FxError as failure:
            self._desk.log.info("barrier.not_passed", session=session_id, error=str(failure))
            return failure.kind not in _AGAIN
        return True

    def _complete(self, barrier: Barrier) -> bool:
        """The ticks up to the barrier and all signals before it are here."""
        engine = self._desk.standing
        if engine is None or engine.signal_counts.get(barrier.session_id, 0) < barrier.signals:
            return False
        feed = engine.book.markets.feed(barrier.session_id, barrier.symbol)
        read = 0 if feed is None else feed.state.sequence
        held = self._held.get(barrier.session_id)
        return max(read, 0 if held is None else held.batch.last_sequence) >= barrier.sequence
