"""Routes what lanes deliver, and what people order, to the worker of the subscription that wants it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from nats import errors
from nats.aio.msg import Msg
from structlog.typing import FilteringBoundLogger

from services.runtime.bus.events import event_type
from services.runtime.bus.fates import Fates
from services.runtime.bus.handling import Handling, RetryPolicy
from services.runtime.bus.lane import PREFETCH, Item
from services.runtime.bus.link import Session
from services.runtime.bus.metrics import BusMetrics
from services.runtime.bus.naming import Stream, order_subject, parse_subject
from services.runtime.bus.parking import Order, Parking
from services.runtime.bus.worker import Worker
from services.runtime.ports import Subscription

if TYPE_CHECKING:
    from services.runtime.spans import Spans

_MOST_SUBJECTS = 65_536
_LOOKS_S = (0.0, 0.1, 0.5, 2.0)
"""An order may be heard before the stream has stored it: then it is looked for again, after so long."""


class Dispatcher:
    """The subscriptions of one service at work. Raises ValueError for an event that two of them want.

    `fail` is told of a worker that ended by a defect: its events would wait for ever.
    """

    def __init__(
        self,
        service: str,
        subscriptions: Sequence[Subscription],
        parking: Parking,
        fail: Callable[[BaseException], None],
        log: FilteringBoundLogger,
        metrics: BusMetrics,
        retry: RetryPolicy,
        spans: Spans | None = None,
    ) -> None:
        self._service = service
        self._parking = parking
        self._fail = fail
        self._log = log
        self._metrics = metrics
        self._retry = retry
        self._spans = spans
        self._subscriptions = by_event(subscriptions)
        metrics.expect(self._subscriptions)
        self._workers: dict[tuple[int, str], Worker] = {}
        self._by_subject: dict[str, Worker] = {}
        """The worker of each subject that was seen lately."""
        self._ordered: set[int] = set()
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The streams that hold what is wanted."""
        events = (each for subscription in self._subscriptions.values() for each in subscription.events)
        return tuple(dict.fromkeys(event_type(each.DESCRIPTOR).stream for each in events))

    @property
    def prefetch(self) -> int:
        """Events of one lane to have in hand, so that a batch can fill up and another be on its way."""
        return max([PREFETCH, *(2 * each.max_batch for each in self._subscriptions.values())])

    async def begin(self, session: Session) -> None:
        """Learn what is parked and what was ordered meanwhile; before anything is delivered on a session.

        Raises nats errors.
        """
        parked: dict[Worker, list[str]] = {worker: [] for worker in self._workers.values()}
        for key, subject in (await self._parking.load(session)).items():
            if (worker := self._worker(subject)) is not None:
                parked.setdefault(worker, []).append(key)
        for worker, keys in parked.items():
            worker.holding.park(keys)
        self._ordered.clear()
        await self._look(session)

        async def on_order(_: Msg) -> None:
            for pause_s in _LOOKS_S:
                await asyncio.sleep(pause_s)
                try:
                    if await self._look(session):
                        return
                except (errors.Error, TimeoutError) as trouble:
                    self._log.warning("bus.orders_not_read", error=str(trouble) or type(trouble).__name__)

        await session.client.subscribe(order_subject(self._service, ">"), cb=on_order)

    def accept(self, item: Item) -> bool:
        """Queue an item for its worker; False when no subscription wants it.

        Once stopped, everything is taken and nothing handled: it stays for the next process.
        """
        if self._stopping:
            return True
        if item.deliveries > 1:
            self._metrics.redelivered()
        worker = self._worker(item.subject)
        if worker is None:
            return False
        worker.put(item)
        return True

    def stop(self) -> None:
        """Let no further attempt begin."""
        self._stopping = True
        for worker in self._workers.values():
            worker.stop()

    async def ended(self) -> None:
        """Return when no handler runs any more, once stopped."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _look(self, session: Session) -> bool:
        """Obey what is new among the orders; False when nothing is."""
        new = [each for each in await self._parking.orders(session) if each.number not in self._ordered]
        for order in new:
            self._ordered.add(order.number)
            self._obey(order)
        return bool(new)

    def _obey(self, order: Order) -> None:
        worker = self._worker(order.subject)
        if worker is None:
            self._log.error("bus.order_for_nobody", subject=order.subject, action=order.action)
        else:
            worker.order(order)

    def _worker(self, subject: str) -> Worker | None:
        """Whoever handles events of this subject; None when no subscription wants them."""
        known = self._by_subject.get(subject)
        if known is not None:
            return known
        parsed = parse_subject(subject)
        subscription = self._subscriptions.get(parsed.event)
        if subscription is None:
            return None
        where = "" if subscription.merge else f"{parsed.stream.name}/{parsed.partition}"
        worker = self._workers.get((id(subscription), where))
        if worker is None:
            worker = self._workers[id(subscription), where] = self._hire(subscription)
            task = asyncio.create_task(worker.run(), name=f"bus-worker-{where or 'merged'}")
            task.add_done_callback(self._ended)
            self._tasks.append(task)
        if len(self._by_subject) >= _MOST_SUBJECTS:
            self._by_subject.clear()
        self._by_subject[subject] = worker
        return worker

    def _hire(self, subscription: Subscription) -> Worker:
        fates = Fates(subscription, self._parking, self._metrics, self._log)
        handling = Handling(subscription.handler, self._service, self._spans)
        return Worker(subscription, fates, handling, self._retry, self._log, self._metrics.figures)

    def _ended(self, task: asyncio.Task[None]) -> None:
        failure = None if task.cancelled() else task.exception()
        if failure is not None:
            self._log.error("bus.worker_failed", exc_info=failure)
            self._fail(failure)


def by_event(subscriptions: Sequence[Subscription]) -> dict[str, Subscription]:
    """Who wants which event, by full message name. Raises ValueError where two do."""
    wanted: dict[str, Subscription] = {}
    for subscription in subscriptions:
        for event in subscription.events:
            name = event_type(event.DESCRIPTOR).name
            if name in wanted:
                raise ValueError(f"two subscriptions of one service want {name}")
            wanted[name] = subscription
    return wanted
