"""The desk: one engine, one order of things. An input is applied, committed, and only then sent to the venue.

Applying is synchronous, so steps never interleave; commits queue in the order of the steps, so the store
never shows an effect without its cause. When a commit fails the books in memory are ahead of the truth: they
are thrown away and built again from the store, and nothing is taken until that has worked.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from structlog.typing import FilteringBoundLogger

from services.broadcast import Broadcast
from services.crash import crash_point
from services.errors import FxError, Kind
from services.market.freshness import FEED_STALE_AFTER_S, FeedPulse
from services.requests import reused
from services.tracing import Tracer
from services.trading_gateway.domain import links
from services.trading_gateway.domain.autotrade import Policy
from services.trading_gateway.domain.changes import Answered, Changes
from services.trading_gateway.domain.engine import Engine
from services.trading_gateway.domain.ids import fingerprint
from services.trading_gateway.domain.markets import LIVE
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.rules import Rules
from services.trading_gateway.domain.values import PAPER
from services.trading_gateway.handlers.stories import Stories
from services.trading_gateway.ports import Clock, Lease, Meter, Outbox, Store, Told

RECOVER_S = 0.5
ANSWERS_KEPT = 1_000


class Outside(Protocol):
    """Venues outside, as the desk sees them."""

    def require(self, name: str) -> str:
        """The name of a venue that there is; paper for no name. Raises FxError `UNKNOWN_VENUE`."""

    def committed(self, engine: Engine, changes: Changes) -> None:
        """Changes are durable: what they ask of a venue outside may leave."""

    def rebuilt(self) -> None:
        """The books were built anew from the store."""

    async def stand_down(self) -> None:
        """Nothing more is sent; what is on its way is given up."""


class _Nowhere:
    """No venue but the one in the engine."""

    def require(self, name: str) -> str:
        """Paper."""
        if name in ("", PAPER):
            return PAPER
        raise FxError(Kind.INVALID_ARGUMENT, "UNKNOWN_VENUE", f"no venue {name}; there is {PAPER}")

    def committed(self, engine: Engine, changes: Changes) -> None:
        """Nothing leaves."""

    def rebuilt(self) -> None:
        """Nobody is told."""

    async def stand_down(self) -> None:
        """Nothing is on its way."""


@dataclass(frozen=True, slots=True)
class Conduct:
    """How the desk trades: limits, auto-trading, what a stale feed is."""

    rules: Rules
    policy: Policy
    feed_stale_s: float = FEED_STALE_AFTER_S


class Desk:
    """Owns the engine. `start` before anything else."""

    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        clock: Clock,
        meter: Meter,
        conduct: Conduct,
        log: FilteringBoundLogger,
        tracer: Tracer,
        lease: Lease | None = None,
    ) -> None:
        """`lease`: where several desks share the store, whether this one may act."""
        self.store = store
        self.clock = clock
        self.meter = meter
        self.log = log
        self.tracer = tracer
        self.stories = Stories(tracer)
        self.orders: Broadcast[Order] = Broadcast()
        """Orders as they are committed."""
        self.generation = 0
        """Grows when the books were built anew: whoever follows the feed starts over from its positions."""
        self.outside: Outside = _Nowhere()
        """Set by whoever holds the links, before `start`."""
        self._lease = lease
        self._outbox = outbox
        self._conduct = conduct
        self._engine: Engine | None = None
        self._broken = asyncio.Event()
        self._pulse = FeedPulse()
        self._queue: deque[tuple[contextvars.Context, Changes, Told, asyncio.Future[None]]] = deque()
        self._commits: set[asyncio.Future[None]] = set()
        self._settling: set[asyncio.Future[Any]] = set()
        self._waiters: list[asyncio.Future[None]] = []
        self._answers: OrderedDict[str, Answered] = OrderedDict()

    # Life

    async def start(self) -> None:
        """Build the books from the store and give the venue what was on its way to it."""
        engine = Engine(self._conduct.rules, self._conduct.policy, await self.store.load())
        self.stories.restore(await self.store.stories())
        self._engine = engine
        self.generation += 1
        with self._in_doubt():
            for asked in links.doubts(engine.book, "", self.time(LIVE), "the gateway has started"):
                self.engine.link(asked)  # unless the lease went meanwhile
            self.engine.deliver(engine.resume())
        await self.settle()
        self.outside.rebuilt()

    async def recover(self) -> None:
        """Background: build the books anew whenever they had to be thrown away."""
        while True:
            await self._broken.wait()
            await asyncio.gather(*self._commits, return_exceptions=True)
            self._broken.clear()
            self._answers.clear()
            try:
                await self.start()
            except FxError as failure:
                self.log.warning("books.not_rebuilt", error=str(failure))
                self._break()
                await self.clock.sleep(RECOVER_S)
            else:
                self.log.info("books.rebuilt", generation=self.generation)

    async def finish(self) -> None:
        """At the end: what is under way is committed and with the venue."""
        while self._settling:
            await asyncio.gather(*self._settling, return_exceptions=True)

    async def stand_down(self) -> None:
        """Another desk may have the books now. At once nothing is matched, sent to the venue or answered from
        these; returns when no commit of ours is under way any more. `start` builds them anew.
        """
        self._engine = None
        await self.outside.stand_down()
        await self.finish()
        self._answers.clear()
        self._broken.clear()

    @property
    def engine(self) -> Engine:
        """The engine. Raises FxError UNAVAILABLE `LEASE_LOST` while another desk has the books,
        `STORE_UNAVAILABLE` while there is none.
        """
        if not self._may_act:
            detail = "another gateway has these books, or will within seconds"
            raise FxError(Kind.UNAVAILABLE, "LEASE_LOST", detail, retry_after_s=1.0)
        if self._engine is None:
            detail = "the books are being rebuilt from the store"
            raise FxError(Kind.UNAVAILABLE, "STORE_UNAVAILABLE", detail, retry_after_s=RECOVER_S)
        return self._engine

    # Steps

    @contextmanager
    def step(self) -> Iterator[Engine]:
        """A synchronous step of the engine; follow it with `settle`.

        An FxError is the engine's answer and changed nothing; any other failure leaves the books in doubt.
        """
        engine = self.engine
        try:
            yield engine
        except FxError:
            raise
        except BaseException:
            self._break()
            raise
        crash_point("trading.applied", *engine.book.changes.inputs)

    async def settle(self) -> Mapping[str, Order]:
        """Commit what changed, give durable requests to the venue, and so on until nothing is left to do: the
        orders that changed, as last committed here.

        Call it right after the step, with nothing awaited in between. Goes on to its end when the caller is
        cancelled. Raises FxError when the store fails; nothing that was not committed has had an effect.
        """
        engine = self._engine
        changes = None if engine is None else engine.take_changes()
        if engine is not None and changes:
            task = asyncio.create_task(self._settle(engine, changes, self._enqueue(changes)))
            self._settling.add(task)
            task.add_done_callback(self._settled)
            return await asyncio.shield(task)
        return {}

    async def durable(self) -> None:
        """Return once all that was applied before this call is committed and the venue has answered.

        Raises FxError when that failed.
        """
        if self._settling:
            await asyncio.gather(*self._settling, return_exceptions=True)
        _ = self.engine

    async def once(
        self, request_id: str, used_for: Sequence[object], act: Callable[[Engine], Sequence[str]]
    ) -> list[str]:
        """Run `act` unless this request id was answered before; the ids that it gave, then or now.

        The answer commits with what `act` changes. Raises FxError ALREADY_EXISTS `REQUEST_ID_REUSED` when the
        id was used for something else.
        """
        stored = await self.store.answer(request_id)
        use = fingerprint(*used_for)
        known = stored or self._answers.get(request_id)
        if known is None:
            with self.step() as engine:
                known = Answered(request_id, use, " ".join(act(engine)))
                engine.answered(known)
            self._answers[request_id] = known
            await self.settle()
            while len(self._answers) > ANSWERS_KEPT:
                self._answers.popitem(last=False)
            # Commits keep the order of the steps: what went before is durable too. What others began since is
            # theirs to wait for, and a cancel in a flood of orders would wait for all of them.
            _ = self.engine  # raises where the books, or the lease of them, were lost meanwhile
            return known.answer.split()
        if known.used_for != use:
            raise reused(request_id)
        await self.durable()
        return known.answer.split()

    def doubt(self) -> None:
        """A step failed halfway: the books in memory are not to be trusted."""
        self._break()

    # Time and waiting

    def time(self, scope: str) -> int:
        """Market time of a scope; the wall's where the live market was never heard."""
        time_ns = self.engine.time(scope)
        return self.clock.now_ns() if not time_ns and scope == LIVE else time_ns

    def heard(self) -> None:
        """The feed lives."""
        self._pulse = self._pulse.heard(self.clock.monotonic())

    def feed_alive(self, scope: str) -> bool:
        """False when neither tick nor heartbeat came lately. A replay's feed is a file: it is never stale."""
        return scope != LIVE or not self._pulse.stale(self.clock.monotonic(), self._conduct.feed_stale_s)

    @property
    def standing(self) -> Engine | None:
        """The engine, or None while there is none to act with: for what only looks."""
        return self._engine if self._may_act else None

    @property
    def backlog(self) -> int:
        """Events that wait for the bus."""
        return self._outbox.backlog

    @property
    def bus_full(self) -> bool:
        """True while the bus has no room for them."""
        return self._outbox.full

    def moved(self) -> None:
        """Something that waiters look at may have changed."""
        waiting, self._waiters = self._waiters, []
        for each in waiting:
            if not each.done():
                each.set_result(None)

    async def until(self, reached: Callable[[], bool]) -> None:
        """Return once `reached()` holds; it is asked anew after every move."""
        while not reached():
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    # Inside

    async def _settle(
        self, engine: Engine, changes: Changes, committed: asyncio.Future[None]
    ) -> Mapping[str, Order]:
        inputs, orders = changes.inputs, dict[str, Order]()
        while changes:
            await committed
            orders.update(changes.orders)
            if engine is not self._engine or not self._may_act:
                return (
                    orders  # rebuilt meanwhile, here or elsewhere: the new engine sends what was on its way
                )
            crash_point("trading.before_venue", *changes.asked)
            with self._in_doubt():
                engine.deliver(changes.requests)
                self.outside.committed(engine, changes)
            crash_point("trading.after_venue", *changes.asked)
            changes = engine.take_changes()
            if changes:
                committed = self._enqueue(changes)
        if not self._commits:
            engine.book.forget_finished()
        crash_point("trading.settled", *inputs)
        return orders

    def _enqueue(self, changes: Changes) -> asyncio.Future[None]:
        """Commit after everything enqueued before; the future is done when it is durable."""
        loop = asyncio.get_running_loop()
        committed: asyncio.Future[None] = loop.create_future()
        self._commits.add(committed)
        committed.add_done_callback(self._settled)
        told = self.stories.tell(changes)
        self._queue.append((contextvars.copy_context(), changes, told, committed))
        # Callbacks and the tasks that they make start in order: commits reach the store in that of the steps.
        loop.call_soon(self._start_commit)
        return committed

    def _start_commit(self) -> None:
        context, changes, told, committed = self._queue.popleft()
        work = self._commit(changes, told, committed)
        task = asyncio.get_running_loop().create_task(work, context=context)
        self._settling.add(task)
        task.add_done_callback(self._settled)

    async def _commit(self, changes: Changes, told: Told, committed: asyncio.Future[None]) -> None:
        crash_point("trading.before_store", *changes.inputs)
        try:
            await self.store.commit(changes, told)
        except Exception as failure:
            for step in told.steps:
                step.end("NOT_COMMITTED")
            # Whatever it was, the books are ahead of the store now.
            self.log.exception("books.not_committed")
            self._break()
            committed.set_exception(failure)
            return
        crash_point("trading.stored", *changes.inputs)
        committed.set_result(None)
        for step in told.steps:
            step.end()
        self.meter.committed(changes)
        self._outbox.wake()
        for order in changes.orders.values():
            self.orders.publish(order)
        self.moved()

    @contextmanager
    def _in_doubt(self) -> Iterator[None]:
        """Whatever fails in here, the books can no longer be trusted."""
        try:
            yield
        except BaseException:
            self._break()
            raise

    @property
    def _may_act(self) -> bool:
        return self._lease is None or self._lease.held

    def _break(self) -> None:
        self._engine = None
        self._broken.set()

    def _settled(self, done: asyncio.Future[Any]) -> None:
        self._settling.discard(done)
        self._commits.discard(done)
        if not done.cancelled():
            done.exception()  # whoever waits sees it; where nobody does any more, it was logged
