"""The bus on NATS JetStream: what a service publishes and consumes, by the policies in the contracts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from google.protobuf.message import Message
from nats import errors
from structlog.typing import FilteringBoundLogger

from services.errors import FxError
from services.runtime.bus import tracing
from services.runtime.bus.consume import Consumer
from services.runtime.bus.dispatch import Dispatcher, by_event
from services.runtime.bus.envelope import Envelope, Envelopes
from services.runtime.bus.events import event_type, event_type_named
from services.runtime.bus.fullness import Fullness
from services.runtime.bus.handling import RetryPolicy
from services.runtime.bus.link import Link, end, unavailable
from services.runtime.bus.metrics import BusMetrics
from services.runtime.bus.naming import ALL_PARTITIONS, Retention, Stream, partition
from services.runtime.bus.observe import follow
from services.runtime.bus.parking import Parking
from services.runtime.bus.publish import Publisher
from services.runtime.bus.streams import DEAD_LETTERS, PARKED, backlog
from services.runtime.fatal import FatalError
from services.runtime.health import Health, tell
from services.runtime.policy import ServicePolicy
from services.runtime.ports import Clock, Observation, Subscription

if TYPE_CHECKING:
    from services.runtime.spans import Spans

_ASK_TIMEOUT_S = 5.0


class NatsBus:
    """The Bus of one service process. The link is shared, and closed by whoever opened it."""

    def __init__(
        self,
        link: Link,
        service: ServicePolicy,
        clock: Clock,
        log: FilteringBoundLogger,
        metrics: BusMetrics | None = None,
        retry: RetryPolicy | None = None,
        patience_s: float = 30.0,
        spans: Spans | None = None,
    ) -> None:
        self._link = link
        self._service = service
        self._log = log
        self._metrics = metrics or BusMetrics()
        self._retry = retry or RetryPolicy()
        self._spans = spans
        self._envelopes = Envelopes(service, clock)
        streams = [event_type_named(name).stream for name in service.publishes]
        self._publisher = Publisher(link, streams, log, patience_s)
        refusing = {each.name for each in streams if each.retention is Retention.MONEY}
        self._fullness = Fullness(link, [*sorted(refusing), DEAD_LETTERS, PARKED], self._metrics, log)
        self._failure: BaseException | None = None
        self._failed = asyncio.Event()
        self._consumers: list[Consumer] = []
        self._consumed: set[Stream] = set()
        self._observing: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Make the streams this service publishes to, waiting for NATS as long as it takes.

        Not needed before `publish`; it shows at start what would else show at the first event. Raises
        FatalError when a stream is configured otherwise, or the server does not let this process at it.
        """
        while True:
            session = await self._link.session()
            try:
                await self._publisher.prepare(session)
            except FxError as refused:
                raise FatalError(refused.detail) from refused
            except (errors.Error, TimeoutError) as trouble:
                self._log.warning("bus.cannot_prepare", error=str(trouble) or type(trouble).__name__)
                await asyncio.sleep(1)
            else:
                return

    async def publish(self, event: Message, *, causation_id: str | None = None) -> None:
        """Return once the event is stored.

        Raises FxError: INVALID_ARGUMENT for an event without identity or too large, PERMISSION_DENIED for one
        that the service's contract does not list, RESOURCE_EXHAUSTED `STREAM_FULL`, UNAVAILABLE
        `BUS_UNAVAILABLE` (stored or not: publish it again, it will not be doubled).
        """
        await self._send([self._envelopes.wrap(event, causation_id)])

    async def publish_many(self, events: Iterable[Message], *, causation_id: str | None = None) -> None:
        """Publish in order, pipelined; return once all are stored. Raises as `publish` does, some being
        stored.
        """
        await self._send([self._envelopes.wrap(event, causation_id) for event in events])

    async def subscribe(self, *subscriptions: Subscription) -> None:
        """Begin to consume; returns when every durable is being pulled. Raises FatalError, ValueError.

        Give all of a service's subscriptions at once: what no subscription wants is acknowledged unseen.
        """
        unlisted = set(by_event(subscriptions)) - set(self._service.consumes)
        if unlisted:
            raise ValueError(
                f"{self._service.name} does not list {sorted(unlisted)} under consumes in its contract"
            )
        parking = Parking(self._link, self._publisher, self._service.name, self._log)
        self._metrics.parked = lambda: (parking.total, parking.fullest)
        dispatcher = Dispatcher(
            self._service.name,
            subscriptions,
            parking,
            self._fail,
            self._log,
            self._metrics,
            self._retry,
            self._spans,
        )
        again = self._consumed.intersection(dispatcher.streams)
        if again:
            raise ValueError(f"already consuming {sorted(stream.name for stream in again)}: subscribe once")
        self._consumed.update(dispatcher.streams)
        consumer = Consumer(self._link, self._service.name, dispatcher, self._fail, self._log)
        self._consumers.append(consumer)
        await consumer.start()

    async def observe(self, observation: Observation) -> None:
        """Begin to hear events, until the bus is closed; see `observe.py`."""
        following = follow(self._link, observation, self._log)
        self._observing.append(asyncio.create_task(following, name="bus-observe"))

    async def pending(self, consumer: str, event: type[Message], key: str = "") -> int:
        """Events of the stream of `event` that the service named `consumer` has not acknowledged.

        With a key only those of its partition: two questions to the server instead of sixteen. A partition it
        never asked for counts with everything the stream holds. Raises FxError UNAVAILABLE.
        """
        session = await self._link.session(timeout_s=_ASK_TIMEOUT_S)
        stream = event_type(event.DESCRIPTOR).stream
        jetstream = session.jetstream
        partitions = (partition(key),) if key else ALL_PARTITIONS
        try:
            counts = await asyncio.gather(
                *(backlog(jetstream, stream, consumer, each) for each in partitions)
            )
            known = sum(count for count in counts if count is not None)
            if None not in counts:
                return known
            return known + (await jetstream.stream_info(stream.name)).state.messages
        except (errors.Error, TimeoutError) as trouble:
            raise unavailable(f"NATS does not say what {consumer} has pending: {trouble}") from trouble

    async def watch(self, health: Health) -> None:
        """Keep the dependency `bus` of `health` true, and `streams` where one does not store, until
        cancelled.

        Raises what ended the consuming for good, e.g. FatalError when a stream was changed under this
        process.
        """
        following = asyncio.create_task(self._follow(health), name="bus-health")
        failing = asyncio.create_task(self._failed.wait(), name="bus-failure")
        looking = asyncio.create_task(self._fullness.run(), name="bus-fullness")
        broken = self._publisher.broken.trouble
        telling = asyncio.create_task(tell(health, "streams", broken), name="bus-streams")
        try:
            await asyncio.wait((following, failing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            following.cancel()
            failing.cancel()
            looking.cancel()
            telling.cancel()
        if self._failure is not None:
            raise self._failure
        await following

    async def drain(self) -> None:
        """Stop fetching, let the batches in hand finish and be acknowledged. Publishing still works."""
        consumers, self._consumers = self._consumers, []
        self._consumed.clear()
        await asyncio.gather(*(consumer.drain() for consumer in consumers))

    async def close(self) -> None:
        """Drain if that has not happened yet; stop observing."""
        await self.drain()
        observing, self._observing = self._observing, []
        for task in observing:
            await end(task)

    async def _follow(self, health: Health) -> None:
        health.starting("bus", f"connecting to NATS at {self._link.shown_url}")
        number = 0
        while True:
            session = await self._link.session(after=number)
            number = session.number
            health.up("bus")
            await session.lost.wait()
            health.down("bus", f"lost the connection to NATS at {self._link.shown_url}")

    def _fail(self, failure: BaseException) -> None:
        self._failure = self._failure or failure
        self._failed.set()

    async def _send(self, envelopes: list[Envelope]) -> None:
        if not envelopes:
            return
        ready, ended = tracing.publishing(self._spans, envelopes)
        try:
            await self._publisher.send(ready)
        except BaseException as failure:
            ended(failure)
            raise
        ended(None)
        for envelope in envelopes:
            self._metrics.published(envelope.headers["ce-type"])
