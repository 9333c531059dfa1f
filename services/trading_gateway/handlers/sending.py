"""Requests to one venue outside, those of an order one after the other, and what their failures mean.

A refusal and what for certain was not sent are the end of the matter. Everything else (a time-out, a broken
connection, an adapter that failed) leaves the outcome unknown: nothing is sent again, and after the settle
window the venue is asked.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from services.errors import FxError
from services.trading_gateway.domain import links, venue
from services.trading_gateway.domain.changes import Ask, Replace, Request, Submit, Withdraw
from services.trading_gateway.domain.inputs import AskDue
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.reports import (
    AmendRefused,
    CancelRefused,
    Ended,
    OrderReport,
    Unanswered,
)
from services.trading_gateway.domain.values import OrderStatus
from services.trading_gateway.handlers.desk import Desk
from services.trading_gateway.ports import (
    Clock,
    KeyTakenError,
    NotSentError,
    OutcomeUnknownError,
    Venue,
    VenueRefusedError,
)

T = TypeVar("T")
NOT_SENT = "NOT_SENT"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a venue is waited for, in seconds of the wall."""

    answer_s: float = 5.0
    """After that the outcome of a request counts as unknown."""
    settle_s: float = 5.0
    """After that what the venue does not have will not arrive any more."""
    audit_s: float = 30.0
    """How often books and venue are compared while all goes well."""
    retry_s: float = 1.0
    """Between two attempts to open a session, or to compare."""


class Sending:
    """Sends what the desk has committed."""

    def __init__(
        self,
        desk: Desk,
        venue: Venue,
        patience: Patience,
        hear: Callable[[OrderReport], Awaitable[None]],
        ask: Callable[[str], Awaitable[None]],
    ) -> None:
        """`hear` books a report, `ask` brings an order to what the venue says of it."""
        self._desk = desk
        self._venue = venue
        self._patience = patience
        self._hear = hear
        self._ask = ask
        self._lanes: dict[str, deque[Request]] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.sent: set[str] = set()
        """Orders of which something was sent, by this process or perhaps by one before, and not answered.
        What is not among them may not even be durable yet.
        """

    @property
    def under_way(self) -> frozenset[str]:
        """Orders of which something is being sent, or an answer waited for."""
        return frozenset(self._lanes) | frozenset(self._watches)

    def give(self, requests: Iterable[Request]) -> None:
        """Send durable requests."""
        for request in requests:
            self.sent.add(request.order_id)
            lane = self._lanes.get(request.order_id)
            if lane is None:
                self._lanes[request.order_id] = deque([request])
                self._spawn(self._work(request.order_id))
            else:
                lane.append(request)

    def inherit(self, order_ids: Iterable[str]) -> None:
        """The books were built anew: of these it is not known what was sent."""
        self.sent |= set(order_ids)

    def heard(self, order_ids: Iterable[str]) -> None:
        """Something was reported of orders: those answered are not waited for any more."""
        for order_id in order_ids:
            order = self._order(order_id)
            if order is None or not links.waiting(order):
                self._unwatch(order_id)
                self.sent.discard(order_id)

    def doubt(self, order_id: str) -> None:
        """The venue does not have an order: it may still be on its way, so it is asked for once more."""
        self._watch(order_id, 0)

    async def close(self) -> None:
        """Stop: what was not answered is asked for at the next start."""
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # One order after the other

    async def _work(self, order_id: str) -> None:
        lane = self._lanes[order_id]
        try:
            while lane:
                try:
                    await self._send(lane[0])
                except FxError as failure:
                    # The books are rebuilt, and compared with the venue after that.
                    self._desk.log.warning("venue.not_booked", order_id=order_id, error=str(failure))
                lane.popleft()
        finally:
            del self._lanes[order_id]

    async def _send(self, request: Request) -> None:
        order = self._order(request.order_id)
        if order is None:
            return
        self._unwatch(order.order_id)
        match request:
            case Submit() if order.status is OrderStatus.PLACED:
                await self._submit(order)
            case Submit() if order.status is OrderStatus.PENDING_CANCEL and not order.at_venue:
                # Cancelled before it was sent: there is nothing to send.
                await self._hear(venue.close(order, self._time(order), order.reason, order.reason_detail))
            case Withdraw():
                await self._withdraw(order)
            case Replace() if order.status is OrderStatus.PENDING_AMEND:
                await self._replace(order)
            case Ask():
                await self._ask(order.order_id)

    async def _submit(self, order: Order) -> None:
        try:
            await self._within(self._venue.submit(order))
        except VenueRefusedError as no:
            await self._end(order, no.reason, no.detail)
        except NotSentError as why:
            await self._end(order, NOT_SENT, str(why))
        except (OutcomeUnknownError, KeyTakenError):
            self._watch(order.order_id, 0)
        else:
            self._watch(order.order_id, self._patience.answer_s)

    async def _end(self, order: Order, reason: str, detail: str) -> None:
        await self._hear(Ended(self._time(order), order.order_id, OrderStatus.REJECTED, reason, detail))

    async def _withdraw(self, order: Order) -> None:
        if order.status is not OrderStatus.PENDING_CANCEL and not order.final:
            return
        try:
            await self._within(self._venue.cancel(order))
        except VenueRefusedError as no:
            if no.reason == "UNKNOWN_ORDER":
                self._watch(order.order_id, 0)
            else:
                await self._hear(CancelRefused(self._time(order), order.order_id, no.reason, no.detail))
        except NotSentError:
            return  # it stays asked for, and is sent when the venue is there again
        except OutcomeUnknownError:
            self._watch(order.order_id, 0)
        else:
            self._watch(order.order_id, self._patience.answer_s)

    async def _replace(self, order: Order) -> None:
        asked = order.amend_revision
        try:
            await self._within(self._venue.amend(order))
        except VenueRefusedError as no:
            if no.reason == "UNKNOWN_ORDER":
                self._watch(order.order_id, 0)
                return
            await self._hear(AmendRefused(self._time(order), order.order_id, no.reason, no.detail, asked))
        except NotSentError as why:
            await self._hear(AmendRefused(self._time(order), order.order_id, NOT_SENT, str(why), asked))
        except OutcomeUnknownError:
            self._watch(order.order_id, 0)
        else:
            self._watch(order.order_id, self._patience.answer_s)

    async def _within(self, call: Coroutine[Any, Any, T]) -> T:
        """What a call answers. Raises OutcomeUnknownError when it takes too long or fails in its own way."""
        task = asyncio.ensure_future(call)
        try:
            answered = await soon(self._desk.clock, task, self._patience.answer_s)
        finally:
            task.cancel()  # of no consequence for one that is done
        if not answered:
            raise OutcomeUnknownError("no answer in time")
        try:
            return task.result()
        except (VenueRefusedError, NotSentError, OutcomeUnknownError, KeyTakenError):
            raise
        except Exception as failure:
            self._desk.log.exception("venue.failed")
            raise OutcomeUnknownError(f"the adapter failed: {failure}") from failure

    # Waiting for answers

    def _watch(self, order_id: str, answer_s: float) -> None:
        self._unwatch(order_id)
        order = self._order(order_id)
        if order is None or not links.waiting(order):
            return  # the answer was faster than the return of the call
        self._watches[order_id] = self._spawn(self._wait(order_id, answer_s))

    def _unwatch(self, order_id: str) -> None:
        watch = self._watches.pop(order_id, None)
        if watch is not None and watch is not asyncio.current_task():
            watch.cancel()

    async def _wait(self, order_id: str, answer_s: float) -> None:
        """Once the answer is late the outcome is unknown; after the settle window the venue is asked."""
        desk, settle_s = self._desk, self._patience.settle_s
        try:
            await desk.clock.sleep(answer_s)
            order = self._order(order_id)
            if order is not None and order.status is OrderStatus.PLACED:
                time_ns = self._time(order)
                await self._hear(Unanswered(time_ns, order_id, time_ns + round(settle_s * 1e9)))
            await desk.clock.sleep(settle_s)
            order = self._order(order_id)
            if order is not None and links.waiting(order):
                with desk.step() as engine:
                    engine.ask_due(AskDue(self._time(order), order_id))
                await desk.settle()
        except FxError as failure:
            desk.log.warning("venue.not_booked", order_id=order_id, error=str(failure))
        finally:
            if self._watches.get(order_id) is asyncio.current_task():
                del self._watches[order_id]

    def _order(self, order_id: str) -> Order | None:
        engine = self._desk.standing
        return None if engine is None else engine.book.orders.get(order_id)

    def _time(self, order: Order) -> int:
        return max(self._desk.time(order.scope), order.updated_ns)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def soon(clock: Clock, waited_for: asyncio.Future[T], seconds: float) -> bool:
    """True when it is done within the time; it goes on in any case."""
    bound = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((waited_for, bound), return_when=asyncio.FIRST_COMPLETED)
    finally:
        bound.cancel()
    return waited_for.done()
