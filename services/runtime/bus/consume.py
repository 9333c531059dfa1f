"""The consuming side of one service: its durables on every stream it wants something from, kept pulling.

Durables are shared by all subscriptions of the service. All of them deliver into one inbox; what comes in
says itself which durable it belongs to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from nats import errors
from structlog.typing import FilteringBoundLogger

from services.errors import FxError
from services.runtime.bus.client import Violation, forbidden
from services.runtime.bus.dispatch import Dispatcher
from services.runtime.bus.lane import Item, Lane
from services.runtime.bus.link import Link, Session, end
from services.runtime.bus.naming import ALL_PARTITIONS
from services.runtime.bus.streams import ensure_dead_letters, ensure_stream
from services.runtime.fatal import FatalError

_AT_ONCE = 8  # durables set up concurrently: enough to hide the round trip, few enough to stay responsive
_TICK_S = 1.0
_RETRY_S = 1.0
_ACK_PREFIX = b"$JS.ACK."
_SENT_BLINDLY = ("$js.ack.", "$js.api.consumer.msg.next.")


class Consumer:
    """Consumes for `service` (its folder name) from `start` until `drain`.

    `fail` is told when that cannot go on although nobody asked to stop.
    """

    def __init__(
        self,
        link: Link,
        service: str,
        dispatcher: Dispatcher,
        fail: Callable[[BaseException], None],
        log: FilteringBoundLogger,
    ) -> None:
        self._link = link
        self._dispatcher = dispatcher
        self._fail = fail
        self._log = log
        self._lanes: Mapping[tuple[bytes, bytes], Lane] = {
            (lane.stream.name.encode(), lane.durable.encode()): lane
            for lane in (
                Lane(stream, service, partition, dispatcher.accept, log, dispatcher.prefetch)
                for stream in dispatcher.streams
                for partition in ALL_PARTITIONS
            )
        }
        self._by_answer = {
            b".".join((_ACK_PREFIX + stream, durable)): lane
            for (stream, durable), lane in self._lanes.items()
        }
        """By how the subject begins where an event is acknowledged."""
        self._attention = asyncio.Event()
        self._refused: Violation | None = None
        self._begun: Session | None = None
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return once every durable is being pulled, however long NATS takes to be there.

        Raises FatalError when a stream or durable is configured otherwise.
        """
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._running = asyncio.create_task(self._follow(ready), name="bus-consume")
        await ready

    async def drain(self) -> None:
        """Stop fetching and let the batches in hand finish.

        What is in hand beyond them stays unacknowledged: the next process has it delivered before all else.
        Handing it back would let the server deliver it here again, and out of order afterwards.
        """
        self._dispatcher.stop()
        if self._running is not None:
            await end(self._running)
        await self._dispatcher.ended()
        if (session := self._link.current) is not None:
            with suppress(errors.Error, TimeoutError):
                await session.client.flush()

    async def _follow(self, ready: asyncio.Future[None]) -> None:
        while True:
            try:
                session = await self._link.session()
            except FatalError as wrong:
                self._end(wrong, ready)
                return
            try:
                await self._serve(session, ready)
            except FatalError as wrong:
                self._end(wrong, ready)
                return
            except FxError as refused:
                self._end(FatalError(refused.detail), ready)
                return
            except (errors.Error, TimeoutError) as trouble:
                self._log.warning("bus.cannot_consume", error=str(trouble) or type(trouble).__name__)
                if session.client.is_closed:
                    session.lost.set()
                await asyncio.sleep(_RETRY_S)

    def _end(self, failure: FatalError, ready: asyncio.Future[None]) -> None:
        if ready.done():
            self._fail(failure)
        else:
            ready.set_exception(failure)

    async def _serve(self, session: Session, ready: asyncio.Future[None]) -> None:
        """Pull on one session until it is lost."""
        inbox = session.client.new_inbox()
        subscription = await session.client.subscribe(f"{inbox}.>")
        session.client.listen(subscription, self._on_message)
        session.client.listeners.append(self._on_violation)
        pulling = asyncio.create_task(self._pull(session, inbox, ready), name="bus-pull")
        lost = asyncio.create_task(session.lost.wait(), name="bus-pull-lost")
        try:
            await asyncio.wait((pulling, lost), return_when=asyncio.FIRST_COMPLETED)
            if pulling.done():
                await pulling  # raises what is wrong
        finally:
            lost.cancel()
            await end(pulling)
            with suppress(errors.Error):
                await subscription.unsubscribe()

    async def _pull(self, session: Session, inbox: str, ready: asyncio.Future[None]) -> None:
        while True:
            self._attention.clear()
            await self._start_lanes(session, inbox)
            if not ready.done():
                ready.set_result(None)
            if self._refused is not None:
                raise forbidden(self._refused.operation, self._refused.subject)
            for lane in self._lanes.values():
                lane.tick()
            with suppress(TimeoutError):
                async with asyncio.timeout(_TICK_S):
                    await self._attention.wait()

    async def _start_lanes(self, session: Session, inbox: str) -> None:
        idle = [lane for lane in self._lanes.values() if not lane.pulls_on(session)]
        if not idle:
            return
        known = self._link.known
        for stream in dict.fromkeys(lane.stream for lane in idle):
            await ensure_stream(session.jetstream, stream, session.replicas, known)
        await ensure_dead_letters(session.jetstream, session.replicas, known)
        if self._begun is not session:
            await self._dispatcher.begin(session)
            self._begun = session
        gate = asyncio.Semaphore(_AT_ONCE)

        async def start(lane: Lane) -> None:
            async with gate:
                await lane.start(session, f"{inbox}.{lane.stream.name}.{lane.durable}")

        for result in await asyncio.gather(*map(start, idle), return_exceptions=True):
            if result is not None:
                raise result

    def _on_violation(self, violation: Violation) -> None:
        # Requests and answers are sent without waiting for a word: refused, nothing would ever come again.
        if violation.subject.startswith(_SENT_BLINDLY):
            self._refused = violation
            self._attention.set()

    def _on_message(self, subject: bytes, reply: bytes, payload: bytes, block: bytes) -> None:
        tokens = reply.rsplit(b".", 5)
        lane = self._by_answer.get(tokens[0])
        if lane is None and reply.startswith(_ACK_PREFIX):
            # 2.12 may put two tokens, domain and account, in front of the stream's name, and one at the end.
            every = reply.split(b".")
            lane, tokens = self._lanes.get((every[4], every[5])), every[5:]
        if lane is not None:
            sequence, deliveries = int(tokens[2]), int(tokens[1])
            lane.on_event(Item(lane, subject.decode(), reply, payload, block, sequence, deliveries))
        elif not reply:
            self._on_status(subject, block)

    def _on_status(self, subject: bytes, block: bytes) -> None:
        _, stream, durable = subject.rsplit(b".", 2)
        lane = self._lanes.get((stream, durable))
        if lane is not None:
            lane.on_status(block)
            if lane.broken:
                self._attention.set()
