"""One running replay: reads its file block by block and lets the batches go at its pace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager

from services.errors import FxError, Kind
from services.market.clock import MarketClock
from services.market.formats import TickBlock
from services.market.formats.tallies import count_rejects, first_reject
from services.market.instruments import instrument
from services.market.ticks import TickBatch
from services.market_data.domain.history import TickMessage
from services.market_data.domain.lockstep import ANALYSIS, TRADING, Lockstep
from services.market_data.domain.replays import Pace, Pacer, Replay, ReplayState
from services.market_data.domain.standstill import Standstill
from services.market_data.handlers.feed import Barrier, Feed
from services.market_data.ports import Clock, Reading, SessionRecord, SessionRecords

NAP_S = 0.05
"""Longest a paced replay sleeps without looking whether it was paused, stopped or set to another speed."""
BACKLOG_POLL_S = 0.02
READERS_BOUND = 256
"""Tick batches the slowest tick stream may lag behind an unpaced replay."""
READERS = "tick streams"
BUS = "nats"
SHOWN_AFTER_S = 1.0
"""A shorter wait is how the pace is kept, and nothing to show."""


class ReplayRun:
    """Runs a replay to its end, whatever happens: consumers always see the end of its session."""

    def __init__(
        self,
        replay: Replay,
        reading: Reading,
        feed: Feed,
        records: SessionRecords,
        clock: Clock,
        backlog_bound: int,
        patience_s: float,
    ) -> None:
        self.replay = replay
        self._reading = reading
        self._feed = feed
        self._records = records
        self._record = SessionRecord(feed.sessions.get(replay.replay_id), replay)
        self._clock = clock
        self._bound = backlog_bound
        self._patience_s = patience_s
        self._pacer = Pacer(replay.speed)
        self._going = asyncio.Event()
        self._going.set()
        self._stopped = False
        self._ended = asyncio.Event()
        self._last_sequence = 0

    async def ended_within(self, seconds: float) -> bool:
        """Wait for the end, but no longer."""
        try:
            await asyncio.wait_for(self._ended.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def interrupted(self) -> None:
        """Say that it was cut off, once its task is over."""
        self.replay.interrupted(self._clock.now_ns())
        self._records.keep(self._record)

    def control(self, action: str, speed: float | None) -> None:
        """Pause, resume, stop, or set the speed."""
        if action == "pause":
            self._going.clear()
            self.replay.state = ReplayState.PAUSED
            return
        if action == "speed" and speed is not None:
            self.replay.speed = speed
            self._pacer.restart(speed)
            return
        self._stopped = self._stopped or action == "stop"
        self._pacer.restart()
        self.replay.state = ReplayState.RUNNING
        self._going.set()

    async def run(self) -> None:
        """Read, publish, end."""
        replay = self.replay
        if replay.pace is Pace.LOCKSTEP:
            step = Lockstep(replay.replay_id, replay.symbol)
            self._feed.lockstep[step.session_id, step.symbol] = step
        state = ReplayState.FAILED
        try:
            await self._publish_file()
            self._require_ticks()
            await self._publish_end()
            if replay.pace is Pace.LOCKSTEP:
                await self._acknowledged(self._last_sequence, ended=True)
            state = ReplayState.STOPPED if self._stopped else ReplayState.COMPLETED
        except FxError as error:
            # The reading knows the file by its hash, people by its name.
            replay.failure = error.detail.replace(replay.file_id, replay.file_name)
            replay.failure_reason = error.reason
            await self._publish_end()
        finally:
            self._reading.close()
            self._feed.lockstep.pop((replay.replay_id, replay.symbol), None)
            replay.ended_ns = self._clock.now_ns()
            self._feed.sessions.end(replay.replay_id, replay.ended_ns)
            replay.state = state
            self._records.keep(self._record)
            self._ended.set()

    async def _publish_file(self) -> None:
        async for batch in self._batches():
            if self.replay.pace is Pace.PACED:
                await self._paced(batch)
            elif self.replay.pace is Pace.UNPACED:
                await self._unpaced(batch)
            else:
                await self._lockstep(batch)
            if self._stopped:
                return

    def _require_ticks(self) -> None:
        """FxError when the whole file gave none: that is no replay."""
        replay = self.replay
        if not (replay.ticks or self._stopped):
            detail = f"no line of {replay.file_name} could be taken: {first_reject(replay.rejects)}"
            raise FxError(Kind.INVALID_ARGUMENT, "REPLAY_REJECTED", detail)

    async def _batches(self) -> AsyncIterator[TickBatch]:
        """The ticks of each block, rejects counted as they are met."""
        try:
            for block in self._reading.blocks():
                self._count(block)
                if len(block):
                    yield block.batch(self.replay.replay_id)
                else:
                    await asyncio.sleep(0)
        except FxError:
            self._count_refused()
            raise
        self.replay.damage = self._reading.damage

    def _count_refused(self) -> None:
        """The line that a strict replay ends at, if it is that."""
        if self._reading.refused is not None:
            self.replay.lines = self._reading.refused[0]
            count_rejects(self.replay.rejects, [self._reading.refused])

    def _count(self, block: TickBlock) -> None:
        replay = self.replay
        replay.lines = block.last_line
        replay.bytes_read = self._reading.bytes_read
        replay.crossed += block.crossed
        rejects = replay.rejects
        count_rejects(rejects, ((each.line, each.reason, each.detail) for each in block.rejects))
        count_rejects(rejects, ((each.line, each.reason, each.detail) for each in block.notes), warning=True)

    async def _release(self, batches: list[TickBatch]) -> None:
        session_id = self.replay.replay_id
        messages = [TickMessage(each, MarketClock(session_id, each.times_ns[-1], 0.0, 0)) for each in batches]
        await self._feed.ingest(messages)
        self._last_sequence = batches[-1].last_sequence
        self.replay.ticks += sum(map(len, batches))
        self.replay.market_ns = batches[-1].times_ns[-1]
        self._records.keep(self._record)

    async def _unpaced(self, batch: TickBatch) -> None:
        await self._going.wait()
        await self._release(list(batch.split(self.replay.batch_size)))
        await self._kept_up(batch.symbol)

    async def _kept_up(self, symbol: str) -> None:
        """Return once nobody lags too far. FxError UNAVAILABLE when one of them has stood still too long."""
        standstill, waited_s = Standstill(), self._clock.monotonic()
        try:
            while not self._stopped and (lags := await self._lags(symbol)):
                now_s = self._clock.monotonic()
                name, still_s = standstill.longest(lags, now_s)
                if still_s > self._patience_s:
                    raise self._stood_still(name)
                self.replay.waiting_for = name if now_s - waited_s > SHOWN_AFTER_S else ""
                await self._clock.sleep(BACKLOG_POLL_S)
        finally:
            self.replay.waiting_for = ""

    async def _lags(self, symbol: str) -> Mapping[str, int]:
        """Tick batches still to handle, of those alone that have too many."""
        lags = {}
        if (backlog := self._feed.ticks.backlog) > READERS_BOUND:
            lags[READERS] = backlog
        try:
            consumers = await self._feed.consumers_backlog(symbol)
        except FxError as error:
            if error.kind is not Kind.UNAVAILABLE:
                raise
            return {**lags, BUS: 1}
        return {**lags, **{name: lag for name, lag in consumers.items() if lag > self._bound}}

    def _stood_still(self, name: str) -> FxError:
        who = "a reader of the tick stream" if name == READERS else name
        return FxError(
            Kind.UNAVAILABLE,
            "PEER_UNAVAILABLE",
            f"{who} has handled no tick for {self._patience_s:g} s, and the replay waits at tick"
            f" {self._last_sequence} so that none gets lost; see `fxmesh status`",
        )

    async def _paced(self, batch: TickBatch) -> None:
        start = 0
        while start < len(batch) and not self._stopped:
            await self._going.wait()
            now_s = self._clock.monotonic()
            stop = start
            limit = min(len(batch), start + self.replay.batch_size)
            while stop < limit and self._pacer.due_s(batch.times_ns[stop], now_s) <= 0:
                stop += 1
            if stop > start:
                await self._release([batch[start:stop]])
                start = stop
            else:
                await self._clock.sleep(min(self._pacer.due_s(batch.times_ns[start], now_s), NAP_S))

    async def _lockstep(self, batch: TickBatch) -> None:
        for part in batch.split(self.replay.batch_size):
            await self._going.wait()
            if self._stopped:
                return
            await self._release([part])
            await self._acknowledged(part.last_sequence, ended=False)

    async def _acknowledged(self, sequence: int, *, ended: bool) -> None:
        """Analysis first; then trading, which learns by the barrier how many signals to expect."""
        step = self._feed.lockstep[self.replay.replay_id, self.replay.symbol]
        await self._acknowledgement(step, ANALYSIS, sequence, ended=ended)
        step.barrier = sequence
        self._feed.ticks.publish(Barrier(step.session_id, step.symbol, sequence, step.signals))
        await self._acknowledgement(step, TRADING, sequence, ended=ended)

    async def _acknowledgement(self, step: Lockstep, consumer: str, sequence: int, *, ended: bool) -> None:
        with self._shown(consumer):
            try:
                await asyncio.wait_for(step.wait(consumer, sequence, ended=ended), self._patience_s)
            except TimeoutError:
                raise FxError(
                    Kind.UNAVAILABLE,
                    "PEER_UNAVAILABLE",
                    f"{consumer} did not acknowledge tick {sequence} within {self._patience_s:g} s;"
                    " see `fxmesh status`",
                ) from None

    @contextmanager
    def _shown(self, name: str) -> Iterator[None]:
        """The replay waits for `name`, and says so when it takes long."""
        later = asyncio.get_running_loop().call_later(SHOWN_AFTER_S, self._show, name)
        try:
            yield
        finally:
            later.cancel()
            self._show("")

    def _show(self, name: str) -> None:
        self.replay.waiting_for = name

    async def _publish_end(self) -> None:
        replay = self.replay
        clock = MarketClock(replay.replay_id, replay.market_ns, 0.0, self._last_sequence)
        end = TickMessage.end(clock, replay.symbol, instrument(replay.symbol).digits)
        await self._feed.ingest([end])
