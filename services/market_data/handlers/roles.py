"""Leads or follows, as the lease says.

The leader runs the synthetic feed and the replays; the others mirror it. One that takes over first ends what
the leader before it was running: a feed session does not outlive the process that ran it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from services.market_data.handlers.feed import Feed
from services.market_data.handlers.mirror import Mirror
from services.market_data.handlers.replays import Replays
from services.market_data.ports import Clock, Leadership

FIRST_PICTURE_S = 5.0
"""How long a newcomer waits for the leader's picture before it takes calls without one."""


class Roles:
    """The life of one instance among several."""

    def __init__(
        self,
        leadership: Leadership,
        feed: Feed,
        replays: Replays,
        mirror: Mirror,
        clock: Clock,
        source: Callable[[], Awaitable[None]] | None,
    ) -> None:
        """`source` runs the feed of one term, until cancelled; None: prices come from replays only."""
        self._leadership = leadership
        self._feed = feed
        self._replays = replays
        self._mirror = mirror
        self._clock = clock
        self._source = source

    async def join(self) -> None:
        """Stand for the lease; where another one leads, wait for its picture, so that a newcomer answers as
        the others do from its first call.
        """
        await self._leadership.campaign()
        if self._leadership.term:
            return
        following = asyncio.create_task(self._follow())
        loaded = asyncio.create_task(self._mirror.loaded.wait())
        led = asyncio.create_task(self._leadership.until(self._leads))
        await asyncio.wait({loaded, led}, timeout=FIRST_PICTURE_S, return_when=asyncio.FIRST_COMPLETED)
        await _cancelled(loaded, led, following)

    async def run(self) -> None:
        """Background: lead while the lease is ours, follow whoever has it otherwise."""
        while True:
            if self._leads():
                await self._lead()
            else:
                await self._follow()

    def _leads(self) -> bool:
        return self._leadership.term > 0

    async def _lead(self) -> None:
        term = self._leadership.term
        self._feed.board.books_apart = False
        await self._while(lambda: self._leadership.term == term, self._reign())
        await self._replays.let_go()
        self._feed.let_go(self._clock.now_ns())

    async def _reign(self) -> None:
        await self._feed.end_running(self._clock.now_ns())
        self._replays.take_over()
        if self._source is None:
            await asyncio.Event().wait()
        else:
            await self._source()

    async def _follow(self) -> None:
        """The leader of the moment, until there is another one."""
        address = self._leadership.leader
        if address:
            await self._while(lambda: self._leadership.leader == address, self._mirror.keep(address))
        else:
            await self._leadership.until(lambda: bool(self._leadership.leader) or self._leads())

    async def _while(self, holds: Callable[[], bool], work: Coroutine[object, object, None]) -> None:
        """Do `work` for as long as `holds`; raises what it fails with."""
        working = asyncio.create_task(work)
        over = asyncio.create_task(self._leadership.until(lambda: not holds()))
        try:
            await asyncio.wait({working, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancelled(over, working)
        if not working.cancelled():
            working.result()


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    """End all. Asked again, because a task group whose member fails at that moment loses the request."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=1.0)
