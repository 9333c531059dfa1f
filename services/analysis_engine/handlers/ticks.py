"""Everything consumed passes here: ticks make bars, bars make indicators, patterns and signals.

Exactly one effect per tick: ticks seen before are trimmed; findings are published before the checkpoint is
saved, and that before the events are acknowledged. What a crash leaves undone is made again with the same
identities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.analysis_engine.domain.feed import Opinion
from services.analysis_engine.domain.signals import ClosedBar, Evidence, Signal, signal_id
from services.analysis_engine.handlers.feeds import Desk, Feeds
from services.analysis_engine.handlers.predictions import Predictions
from services.analysis_engine.handlers.record import Record
from services.analysis_engine.ports import Clock, KeptBar, Log, Publisher, Replays
from services.errors import FxError, Kind
from services.market.clock import MarketClock
from services.market.dedupe import Admission
from services.market.ticks import TickBatch
from services.quant.timeframes import SECOND_NS
from services.tracing import NO_STORY, Story, Tracer

LIVE_SPEED = 1.0
ACKNOWLEDGE_ATTEMPTS = 3
ACKNOWLEDGE_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class TicksHeard:
    """A batch with the clock after it. `ended`: no tick of the symbol follows in the session."""

    batch: TickBatch
    clock: MarketClock
    ended: bool
    story: Story = NO_STORY


@dataclass(frozen=True, slots=True)
class QuoteHeard:
    """A conflated quote: all that matters of it here is the time."""

    symbol: str
    clock: MarketClock
    story: Story = NO_STORY


@dataclass(frozen=True, slots=True)
class BookHeard:
    """An order book. `imbalance` -1 all size on the ask side .. 1 all on the bid side; None without sizes."""

    session_id: str
    symbol: str
    sequence: int
    imbalance: float | None


Heard = TicksHeard | QuoteHeard | BookHeard


class Ticks:
    """Takes what market data publishes."""

    def __init__(
        self,
        feeds: Feeds,
        predictions: Predictions,
        publisher: Publisher,
        replays: Replays,
        record: Record,
        clock: Clock,
        log: Log,
        tracer: Tracer,
        grace_s: float,
    ) -> None:
        """`grace_s`: market seconds a live feed's ticks may lag behind its clock."""
        self._feeds = feeds
        self._predictions = predictions
        self._publisher = publisher
        self._replays = replays
        self._record = record
        self._clock = clock
        self._log = log
        self._tracer = tracer
        self._grace_ns = round(grace_s * SECOND_NS)
        self.ticks = self.duplicates = self.missing = 0

    async def handle(self, heard: Sequence[Heard]) -> None:
        """Handle events of one partition, in order; returns once their effects are published and stored."""
        desks: dict[tuple[str, str], Desk] = {}
        for event in heard:
            desk = await self._take(event)
            if desk is not None:
                desks[desk.feed.key] = desk
        for desk in desks.values():
            await self._judge(desk)
            await self._publish(desk)
        self._feeds.save(list(desks.values()))
        for desk in desks.values():
            await self._acknowledge(desk)

    async def _take(self, event: Heard) -> Desk | None:
        match event:
            case TicksHeard():
                return await self._take_ticks(event)
            case QuoteHeard():
                return self._take_time(event)
            case BookHeard():
                desk = self._feeds.find((event.session_id, event.symbol))
                # On a replay no book follows the ticks, and what a signal says must not depend on timing.
                if desk is not None and desk.feed.live:
                    desk.feed.book.imbalance = event.imbalance
                return None

    async def _take_ticks(self, event: TicksHeard) -> Desk | None:
        batch = event.batch
        key = (batch.session_id, batch.symbol)
        desk = self._feeds.find(key)
        seen = self._feeds.tracker.last(*key)
        if desk is None and not len(batch.trimmed_after(seen)) and (seen or not event.ended):
            return None  # a feed that was dropped, or that has not begun
        live = event.clock.speed == LIVE_SPEED
        first_ns = batch.times_ns[0] if len(batch) else event.clock.time_ns
        desk = await self._feeds.open(key, batch.digits, first_ns, live=live)
        if desk.feed.ended:
            return desk
        admission = self._feeds.tracker.accept(batch)
        self._count(admission)
        self._close(desk, desk.feed.take(admission.batch), event.story)
        if event.ended:
            self._close(desk, desk.feed.end(event.clock.time_ns), event.story)
        desk.unsaved = desk.unsaved or event.ended or len(admission.batch) > 0
        return desk

    def _count(self, admission: Admission) -> None:
        self.ticks += len(admission.batch)
        self.duplicates += admission.duplicates
        gap = admission.gap
        if gap is None:
            return
        batch = admission.batch
        if admission.joined:
            self._log.info("feed.joined", session=batch.session_id, symbol=batch.symbol, missed=len(gap))
            return
        self.missing += len(gap)
        self._log.warning(
            "feed.gap", session=batch.session_id, symbol=batch.symbol, first=gap.first, last=gap.last
        )

    def _take_time(self, event: QuoteHeard) -> Desk | None:
        """On a live feed bars of a quiet symbol close when their time is over. Replays go by ticks alone."""
        desk = self._feeds.find((event.clock.session_id, event.symbol))
        if desk is None or not desk.feed.live or desk.feed.ended or event.clock.speed != LIVE_SPEED:
            return None
        if event.clock.sequence > desk.feed.sequence:
            return None  # ticks that this clock covers have not come: they may belong to these bars
        self._close(desk, desk.feed.advance(event.clock.time_ns - self._grace_ns), event.story)
        return desk if desk.closed or desk.feed.short else None

    def _close(self, desk: Desk, closed: Sequence[ClosedBar], cause: Story) -> None:
        desk.closed.extend(closed)
        desk.causes.update({each.tick_sequence: cause for each in closed})
        desk.unsaved = desk.unsaved or bool(closed)

    async def _judge(self, desk: Desk) -> None:
        while desk.closed:
            closed = desk.closed.popleft()
            # Noted first: whatever happens to opinions of a bar, the bar itself must not get lost.
            desk.findings.append(closed)
            desk.kept.append(KeptBar(closed.bar, own=True))
            judgement = desk.feed.judge(closed)
            if judgement.snapshot is not None:
                desk.findings.append(judgement.snapshot)
            desk.findings += judgement.patterns
            for opinion in judgement.opinions:
                signal = await self._signal_of(desk, opinion)
                desk.findings.append(signal)
                desk.signals.append(signal)

    async def _signal_of(self, desk: Desk, opinion: Opinion) -> Signal:
        """A strategy's call is where the trace begins in which its prediction and orders can be read."""
        feed, bar = desk.feed, opinion.bar.bar
        identity = signal_id(feed.session_id, feed.symbol, bar.timeframe, opinion.strategy, bar.open_ns)
        around = self._tracer.current()
        with self._tracer.begin(
            "signal",
            desk.causes.get(opinion.bar.tick_sequence),
            signal_id=identity,
            symbol=feed.symbol,
            timeframe=bar.timeframe.text,
            strategy=opinion.strategy,
            side=opinion.call.side.value,
            tick_sequence=opinion.bar.tick_sequence,
        ) as step:
            signal = await self._signal(desk, opinion, identity)
            step.note(prediction=signal.prediction.status.value)
        if step.story != around:
            desk.stories[identity] = step.story
        return signal

    async def _signal(self, desk: Desk, opinion: Opinion, identity: str) -> Signal:
        feed, call, bar = desk.feed, opinion.call, opinion.bar.bar
        # A replay in lockstep waits for us anyway, and must not depend on how busy the machine is.
        patient = not feed.live and desk.lockstep is not False
        prediction = await self._predictions.of(opinion, identity, patient=patient)
        evidence = call.evidence + await self._predictions.evidence(prediction, opinion, patient=patient)
        if feed.book.imbalance is not None:
            evidence += (Evidence("order book imbalance", feed.book.imbalance),)
        return Signal(
            signal_id=identity,
            session_id=feed.session_id,
            symbol=feed.symbol,
            timeframe=bar.timeframe,
            strategy=opinion.strategy,
            side=call.side,
            strength=call.strength,
            reason=call.reason,
            evidence=evidence,
            bar_open_ns=bar.open_ns,
            time_ns=bar.end_ns,
            tick_sequence=opinion.bar.tick_sequence,
            bid=bar.bid_close,
            ask=bar.ask_close,
            digits=feed.digits,
            prediction=prediction,
            number=self._feeds.count_signal(feed),
        )

    async def _publish(self, desk: Desk) -> None:
        if desk.findings:
            self._record.expect(desk.findings)
            await self._publisher.publish(desk.findings, desk.stories)
            findings, desk.findings = desk.findings, []
            desk.stories.clear()
            desk.causes.clear()
            self._record.show(findings)
        short, desk.feed.short = desk.feed.short, []
        self._record.show_short(desk.feed.session_id, short)

    async def _acknowledge(self, desk: Desk) -> None:
        """Tell a lockstep replay how far we are. Whether it is one is asked once a session."""
        feed = desk.feed
        if feed.live or desk.lockstep is False:
            return
        signals = self._feeds.session_signals(feed.session_id)
        for attempt in range(1, ACKNOWLEDGE_ATTEMPTS + 1):
            try:
                await self._replays.acknowledge(
                    feed.session_id, feed.symbol, feed.sequence, signals, ended=feed.ended
                )
            except FxError as error:
                if error.kind is Kind.FAILED_PRECONDITION:
                    desk.lockstep = False
                    return
                # The ticks are done whatever becomes of this call; a replay that hears nothing ends by
                # itself.
                self._log.warning("replay.not_acknowledged", session=feed.session_id, reason=error.reason)
                await self._clock.sleep(ACKNOWLEDGE_PAUSE_S * attempt)
            else:
                desk.lockstep = True
                return
