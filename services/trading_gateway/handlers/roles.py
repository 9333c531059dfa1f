"""Trades or stands by, as the lease says.

The gateway that holds the lease has the books in memory, follows the feed, takes signals and publishes. One
that loses it, or could not renew it in time, drops the books at that moment: its paper venue is part of them,
so nothing more is matched or sent. One that takes it builds them from the store, as after a restart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from services.errors import FxError
from services.trading_gateway.handlers.desk import RECOVER_S, Desk
from services.trading_gateway.ports import Lease

Action = Callable[[], Awaitable[None]]


class Roles:
    """The life of one gateway among several."""

    def __init__(
        self,
        lease: Lease,
        desk: Desk,
        begin: Action,
        loops: Sequence[Action],
        consume: Action,
        stop_consuming: Action,
        tell: Action,
    ) -> None:
        """`begin` builds the books; `loops` run while they are ours, and what `consume` begins; `tell` is the
        last word of a gateway that is stopped.
        """
        self._lease = lease
        self._desk = desk
        self._begin = begin
        self._loops = loops
        self._consume = consume
        self._stop_consuming = stop_consuming
        self._tell = tell
        self._begun = 0

    async def join(self) -> None:
        """Stand for the lease; whoever has it now builds the books before the first call."""
        await self._lease.campaign()
        if self._lease.term:
            await self._built(self._lease.term)

    async def run(self) -> None:
        """Background: trade in each term of ours."""
        while True:
            await self._lease.until(lambda: self._lease.term > 0)
            await self._trade(self._lease.term)

    async def _trade(self, term: int) -> None:
        over = asyncio.create_task(self._lease.until(lambda: self._lease.term != term))
        trading = asyncio.create_task(self._work(term))
        try:
            await asyncio.wait({over, trading}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
            if self._lease.held:
                await self._tell()
            await self._desk.stand_down()
            await _ended(trading)
            await self._stop_consuming()
            await self._desk.stand_down()  # from the books that were being built at that moment
        if not trading.cancelled():
            trading.result()

    async def _work(self, term: int) -> None:
        while self._begun != term and not await self._built(term):
            await self._desk.clock.sleep(RECOVER_S)
        await self._consume()
        async with asyncio.TaskGroup() as group:
            for each in self._loops:
                group.create_task(_run(each))

    async def _built(self, term: int) -> bool:
        try:
            await self._begin()
        except FxError as failure:
            self._desk.log.warning("books.not_built", error=str(failure))
            return False
        self._begun = term
        self._desk.log.info("books.built", term=term)
        return True


async def _run(action: Action) -> None:
    await action()


async def _ended(task: asyncio.Task[Any]) -> None:
    """End it. Asked again, because a task group whose member fails at that moment loses the request."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=1.0)
