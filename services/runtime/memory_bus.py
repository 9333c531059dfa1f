"""The bus inside one process, for services/replay and tests: what a service sees is the same as on NATS.

Events are encoded and decoded, carry the same ids and headers, are doubled nowhere, reach each service in the
order they were published, and end among the dead letters when a handler keeps failing, with what follows of
their key parked behind them. One task a consuming service works through its queue, so the order of everything
follows from the order of publishing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from google.protobuf.message import Message
from structlog.typing import FilteringBoundLogger

from services.crash import crash_point
from services.runtime.bus.dispatch import by_event
from services.runtime.bus.envelope import Envelope, Envelopes, unwrap
from services.runtime.bus.events import event_type
from services.runtime.bus.handling import Handling, RetryPolicy
from services.runtime.bus.holding import Holding
from services.runtime.bus.naming import Stream, order_of, parse_subject
from services.runtime.policy import ServicePolicy
from services.runtime.ports import Clock, Delivery, Observation, Subscription

# As often as on NATS, but at once: nothing in this process gets better by waiting.
_RETRY = RetryPolicy(first_delay_s=0.0, longest_delay_s=0.0, hold_s=0.0)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What a consumer gave up."""

    consumer: str
    delivery: Delivery
    reason: str
    attempts: int


@dataclass(frozen=True, slots=True)
class _Stored:
    envelope: Envelope
    sequence: int


class MemoryBroker:
    """What NATS is to the processes: create one, and a bus of it for each service."""

    def __init__(self, clock: Clock, log: FilteringBoundLogger) -> None:
        self.dead_letters: list[DeadLetter] = []
        """In the order they were given up."""
        self.parked: list[tuple[str, Delivery]] = []
        """What waits behind them, with the consumer it waits for."""
        self._clock = clock
        self._log = log
        self._buses: list[MemoryBus] = []
        self._observations: list[Observation] = []
        self._ids: dict[Stream, set[str]] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    def bus(self, service: ServicePolicy) -> MemoryBus:
        """The bus of a service. It gets what its contract lists under `consumes` from now on, subscribed or
        not.
        """
        bus = MemoryBus(self, service, self._clock, self._log)
        self._buses.append(bus)
        return bus

    async def drain(self) -> None:
        """Return when every event published so far, and every event that followed from it, is handled."""
        await self._idle.wait()

    def store(self, envelope: Envelope) -> None:
        """Keep an event unless it is there already, and queue it for whoever consumes it."""
        assert envelope.stream is not None, "only events of a contract are published"
        ids = self._ids.setdefault(envelope.stream, set())
        if envelope.id in ids:
            return
        ids.add(envelope.id)
        stored = _Stored(envelope, len(ids))
        event = parse_subject(envelope.subject).event
        for observation in self._observations:
            if event in observation.events:
                observation.heard(event)
        for bus in self._buses:
            bus.offer(stored)
        self.check_idle()

    def observe(self, observation: Observation) -> None:
        """Tell of events from now on."""
        self._observations.append(observation)

    def redrive(self, letter: DeadLetter, *, drop: bool = False) -> None:
        """Let its consumer handle a dead letter, or forget it, and then what is parked behind it."""
        self.dead_letters.remove(letter)
        for bus in self._buses:
            if bus.name == letter.consumer:
                bus.recover(letter.delivery, drop=drop)
        self.check_idle()

    def pending(self, consumer: str, stream: Stream) -> int:
        """Events of a stream that the service named `consumer` has still to handle."""
        return sum(bus.waiting(stream) for bus in self._buses if bus.name == consumer)

    def check_idle(self) -> None:
        """Look whether there is still something to do."""
        if any(bus.busy for bus in self._buses):
            self._idle.clear()
        else:
            self._idle.set()


class MemoryBus:
    """The Bus of one service in a process of many."""

    def __init__(
        self, broker: MemoryBroker, service: ServicePolicy, clock: Clock, log: FilteringBoundLogger
    ) -> None:
        self._broker = broker
        self._service = service
        self._log = log
        self._consumes = frozenset(service.consumes)
        self._envelopes = Envelopes(service, clock)
        self._subscriptions: dict[str, Subscription] = {}
        self._classes: dict[str, type[Message]] = {}
        self._queue: deque[_Stored] = deque()
        self._wake = asyncio.Event()
        self._in_hand = 0
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._holdings: dict[int, Holding] = {}
        self._orders: deque[tuple[Delivery, bool]] = deque()

    async def publish(self, event: Message, *, causation_id: str | None = None) -> None:
        """Queue the event for its consumers. Raises as the bus on NATS for what it must not publish."""
        self._broker.store(self._envelopes.wrap(event, causation_id))

    async def publish_many(self, events: Iterable[Message], *, causation_id: str | None = None) -> None:
        """Publish in order."""
        for number, envelope in enumerate([self._envelopes.wrap(event, causation_id) for event in events]):
            if number:
                crash_point("bus.between_events")
            self._broker.store(envelope)

    async def subscribe(self, *subscriptions: Subscription) -> None:
        """Begin to consume, with what was published before. Raises ValueError as the bus on NATS does."""
        wanted = by_event(subscriptions)
        if unlisted := set(wanted) - self._consumes:
            raise ValueError(f"{self._service.name} does not list {sorted(unlisted)} under consumes")
        if self._subscriptions:
            raise ValueError("subscribe once, with all subscriptions")
        self._subscriptions, self._stopping = wanted, False
        self._wake.set()
        self._classes = {
            each.DESCRIPTOR.full_name: each for subscription in subscriptions for each in subscription.events
        }
        self._holdings = {id(each): self._holding(each) for each in subscriptions}
        self._task = asyncio.create_task(self._dispatch(), name=f"memory-bus-{self._service.name}")

    async def observe(self, observation: Observation) -> None:
        """Begin to hear events: each one as it is published."""
        self._broker.observe(observation)
        observation.listening()

    async def pending(self, consumer: str, event: type[Message], key: str = "") -> int:
        """Events of the stream of `event` that `consumer` has still to handle; one queue holds all keys."""
        del key
        stream = event_type(event.DESCRIPTOR).stream
        return self._broker.pending(consumer, stream)

    async def drain(self) -> None:
        """Let the batch in hand finish; what is queued stays unhandled."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task
        self._subscriptions.clear()
        self._broker.check_idle()

    async def close(self) -> None:
        """Drain if that has not happened yet."""
        await self.drain()

    @property
    def name(self) -> str:
        """The service's folder name."""
        return self._service.name

    @property
    def busy(self) -> bool:
        """True while something is queued or in hand that will be handled."""
        return (
            self._task is not None
            and not self._stopping
            and bool(self._queue or self._orders or self._in_hand)
        )

    def offer(self, stored: _Stored) -> None:
        """Queue an event if this service consumes it."""
        if parse_subject(stored.envelope.subject).event in self._consumes:
            self._queue.append(stored)
            self._wake.set()

    def waiting(self, stream: Stream) -> int:
        """Events of a stream that are queued or in hand."""
        return self._in_hand + sum(each.envelope.stream == stream for each in self._queue)

    def recover(self, delivery: Delivery, *, drop: bool) -> None:
        """Handle a dead letter unless it is dropped, then what is parked behind it."""
        self._orders.append((delivery, drop))
        self._wake.set()

    async def _dispatch(self) -> None:
        while True:
            await self._wake.wait()
            if self._stopping:
                return
            while self._orders:
                await self._carry_out(*self._orders.popleft())
            subscription, batch = self._take()
            if subscription is not None:
                self._in_hand = len(batch)
                holding = self._holdings[id(subscription)]
                await holding.run([self._open(stored) for stored in batch])
                await self._see_through(holding)
                self._in_hand = 0
            self._broker.check_idle()

    async def _carry_out(self, delivery: Delivery, drop: bool) -> None:  # noqa: FBT001
        holding = self._holdings[id(self._subscriptions[parse_subject(delivery.subject).event])]
        self._in_hand = 1
        holding.recover(order_of(delivery.subject), [] if drop else [delivery])
        await self._see_through(holding)
        self._in_hand = 0

    async def _see_through(self, holding: Holding) -> None:
        """Try what is held until it is handled or given up: nothing here gets better by waiting."""
        while holding.due_s() is not None and not self._stopping:
            await asyncio.sleep(0)
            await holding.step()

    def _take(self) -> tuple[Subscription | None, list[_Stored]]:
        """The next events that belong to one subscription, as many as it takes at once."""
        batch: list[_Stored] = []
        subscription = None
        while self._queue:
            wants = self._subscriptions.get(parse_subject(self._queue[0].envelope.subject).event)
            if wants is None:
                self._queue.popleft()  # no subscription wants it
                continue
            if subscription is not None and (wants is not subscription or len(batch) >= wants.max_batch):
                return subscription, batch
            subscription = wants
            batch.append(self._queue.popleft())
        self._wake.clear()
        return subscription, batch

    def _open(self, stored: _Stored) -> Delivery:
        envelope = stored.envelope
        event_class = self._classes[parse_subject(envelope.subject).event]
        return unwrap(
            event_class,
            envelope.subject,
            envelope.headers,
            envelope.payload,
            stored.sequence,
            redelivered=False,
        )

    def _holding(self, subscription: Subscription) -> Holding:
        fate = _MemoryFate(self._broker, self.name, self._log)
        return Holding(Handling(subscription.handler), fate, _RETRY, self._log, subscription.max_batch)


class _MemoryFate:
    """What is taken from the queue is gone from it: only letters and what is parked are kept."""

    def __init__(self, broker: MemoryBroker, consumer: str, log: FilteringBoundLogger) -> None:
        self._broker = broker
        self._consumer = consumer
        self._log = log

    async def settled(self, deliveries: Sequence[Delivery]) -> None:
        """Nothing to acknowledge."""

    async def bury(self, delivery: Delivery, reason: str, attempts: int) -> None:
        letter = DeadLetter(self._consumer, delivery, reason, attempts)
        self._broker.dead_letters.append(letter)
        self._log.error("bus.dead_letter", id=delivery.id, reason=reason, attempts=attempts)

    async def park(self, delivery: Delivery) -> None:
        self._broker.parked.append((self._consumer, delivery))

    async def behind(self, key: str) -> Sequence[Delivery]:
        """All of them: what of it is parked again comes after what is parked meanwhile."""
        kept = self._broker.parked
        found = [each for of, each in kept if of == self._consumer and order_of(each.subject) == key]
        self._broker.parked = [
            (of, each) for of, each in kept if of != self._consumer or order_of(each.subject) != key
        ]
        return found

    async def recovered(self, key: str, *, entirely: bool) -> None:
        """Nobody waits to hear."""
