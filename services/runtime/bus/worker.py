"""Turns what lanes deliver into batches for one subscription's handler, one batch at a time, and carries out
what people order for its parked keys.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from structlog.typing import FilteringBoundLogger

from services.errors import FxError
from services.runtime.bus.dead_letters import Kept
from services.runtime.bus.envelope import UndecodableError
from services.runtime.bus.fates import Fates
from services.runtime.bus.handling import Handling, RetryPolicy
from services.runtime.bus.held import Figures
from services.runtime.bus.holding import Holding
from services.runtime.bus.lane import Item
from services.runtime.bus.naming import order_of
from services.runtime.bus.parking import DROP, Order
from services.runtime.ports import Delivery, Subscription

_NOT_STORED_RETRY_S = 1.0
_ORDER_RETRY_S = 0.2


class StoppingError(Exception):
    """The bus drains: what is not settled goes back to the server."""


class Worker:
    """Serves one lane, or all lanes of a merged subscription."""

    def __init__(
        self,
        subscription: Subscription,
        fates: Fates,
        handling: Handling,
        retry: RetryPolicy,
        log: FilteringBoundLogger,
        figures: Figures,
    ) -> None:
        self._subscription = subscription
        self._max_batch = subscription.max_batch
        self._fates = fates
        self._log = log
        self._queue: deque[Item] = deque()
        self._orders: deque[Order] = deque()
        self._orders_due = 0.0
        self._wake = asyncio.Event()
        self._full = asyncio.Event()
        self._stopping = asyncio.Event()
        self.holding = Holding(handling, fates, retry, log, subscription.max_batch, figures)

    def put(self, item: Item) -> None:
        """Take an item in; lanes give theirs in order."""
        queue = self._queue
        queue.append(item)
        if len(queue) == 1:
            self._wake.set()
        if len(queue) == self._max_batch:
            self._full.set()

    def order(self, order: Order) -> None:
        """Carry out what somebody wants done about a key."""
        self._orders.append(order)
        self._orders_due = 0.0
        self._wake.set()

    def stop(self) -> None:
        """End after the attempt at hand."""
        self._stopping.set()
        self._wake.set()
        self._full.set()

    async def run(self) -> None:
        """Until stopped."""
        with suppress(StoppingError):
            while await self._something():
                if self._orders and time.monotonic() >= self._orders_due:
                    await self._carry_out(self._orders.popleft())
                if self.holding.due_s() == 0.0:
                    await self.holding.step()
                if self._queue:
                    await self._serve(self._take())

    async def _something(self) -> bool:
        """Wait for something to do, and for more of it where that is wanted; False when stopping."""
        if not self._queue:
            due_s = self.holding.due_s()
            if self._orders:
                orders_s = max(0.0, self._orders_due - time.monotonic())
                due_s = orders_s if due_s is None else min(due_s, orders_s)
            await _set_within(self._wake, due_s)
            self._wake.clear()
        if self._queue and not self._full.is_set():
            waited_s = time.monotonic() - self._queue[0].touched
            if waited_s < self._subscription.max_wait_s:
                await _set_within(self._full, self._subscription.max_wait_s - waited_s)
        return not self._stopping.is_set()

    def _take(self) -> list[Item]:
        size = min(len(self._queue), self._subscription.max_batch)
        batch = [self._queue.popleft() for _ in range(size)]
        if len(self._queue) < self._subscription.max_batch:
            self._full.clear()
        return batch

    async def _serve(self, items: Sequence[Item]) -> None:
        deliveries: list[Delivery] = []
        for item in items:
            try:
                deliveries.append(self._fates.open(item))
            except UndecodableError as broken:
                await self._bury(item, str(broken))
        if deliveries:
            await self.holding.run(deliveries)

    async def _bury(self, item: Item, reason: str) -> None:
        """Only what is safely among the dead letters is ended; until then its partition waits."""
        while True:
            try:
                return await self._fates.end(item, reason, item.deliveries, parks_key=False)
            except FxError as failure:
                self._log.error("bus.dead_letter_not_stored", subject=item.subject, error=str(failure))
                await self._pause(_NOT_STORED_RETRY_S)

    async def _pause(self, seconds: float) -> None:
        if await _set_within(self._stopping, seconds):
            raise StoppingError

    async def _carry_out(self, order: Order) -> None:
        key = order_of(order.subject)
        try:
            if not self.holding.is_trying(key):
                await self._begin(key, order)
                return
            # In hand: what is asked for can be done when that is settled one way or the other.
        except FxError as failure:
            self._log.warning("bus.order_waits", key=key, action=order.action, error=str(failure))
        self._orders.append(order)
        self._orders_due = time.monotonic() + _ORDER_RETRY_S

    async def _begin(self, key: str, order: Order) -> None:
        parking = self._fates.parking
        letters = await parking.letters(order.subject)
        wanted = next((each for each in letters if each.number == order.letter), None)
        others = any(each.parks_key for each in letters if each is not wanted)
        self._log.info("bus.order", key=key, action=order.action, letter=order.letter, found=bool(wanted))
        if wanted is not None and order.action == DROP:
            await parking.done(wanted)
            wanted = None
        if others or (wanted is None and not self.holding.parks(key)):
            await parking.carried_out(order)
            return
        try:
            entries = [] if wanted is None else [self._fates.open_kept(wanted)]
        except UndecodableError as broken:
            await self._still_undecodable(order, wanted, broken)
            return
        self._fates.expect(key, order)
        self.holding.recover(key, entries)

    async def _still_undecodable(self, order: Order, letter: Kept | None, broken: UndecodableError) -> None:
        if letter is not None:
            parks = letter.parks_key
            await self._fates.parking.bury_again(letter, str(broken), 1, parks_key=parks)
        await self._fates.parking.carried_out(order)


async def _set_within(event: asyncio.Event, seconds: float | None) -> bool:
    if event.is_set():
        return True
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
