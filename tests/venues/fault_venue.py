"""A venue behind the port that misbehaves on purpose, drawn from a seed.

Its reports come late, doubled, in any order or never; requests vanish on their way, answers on theirs, and
sessions end at any moment. Its books are true, and so is what it answers when it is asked for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from random import Random

from services.trading_gateway.domain.conditions import PERFECT, Conditions
from services.trading_gateway.domain.feeds import Quote
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.reports import CashMoved, Report
from services.trading_gateway.domain.simulated import SimulatedBooks, Step
from services.trading_gateway.domain.venue_views import Heard, Snapshot, VenueOrder
from services.trading_gateway.ports import (
    KeyTakenError,
    NotSentError,
    OutcomeUnknownError,
    SessionClosed,
    SessionOpened,
    VenueNotice,
    VenueRefusedError,
)
from tests.venues.subjects import FUNDS, quote


@dataclass(frozen=True)
class Faults:
    """Shares, from 0 to 1."""

    doubled: float = 0.0
    late: float = 0.0
    """Reports that wait for a later turn."""
    shuffled: float = 0.0
    """Turns in which what waits comes in any order."""
    missing: float = 0.0
    """Reports that never come: only `changes` has them."""
    lost: float = 0.0
    """Requests that never arrive and are said to be of unknown outcome."""
    unanswered: float = 0.0
    """Requests that arrive and are said to be of unknown outcome."""
    not_sent: float = 0.0
    drops: float = 0.0
    """Requests and reports after which the session ends."""
    silent: float = 0.0
    """Questions that time out."""
    hangs: float = 0.0
    """Requests that never return, done or not: the caller has to have a limit of its own."""


NONE = Faults()


class FaultVenue:
    """Its market and its faults are the test's."""

    def __init__(self, random: Random, faults: Faults = NONE, conditions: Conditions = PERFECT) -> None:
        self.venue = self
        self.faults = faults
        self.books = SimulatedBooks(conditions)
        self.books.cash.fund(*FUNDS)
        self.sent: list[tuple[str, str]] = []
        """(what, order id) of every request that arrived."""
        self._random = random
        self._quotes = 0
        self._session: asyncio.Event | None = None
        self._waiting: list[Report] = []

    # What the test does to it

    async def market(self, bid: str, ask: str, size: int | None = None) -> None:
        self._quotes += 1
        await self.quote(quote(self._quotes, bid, ask, size))

    async def quote(self, of: Quote) -> None:
        """Of any symbol."""
        self._happened(self.books.quote(of))

    async def move_cash(self, moved: CashMoved) -> None:
        """It moves cash by itself."""
        self._happened(self.books.move_cash(moved))

    async def bust(self, order_id: str, execution_id: str) -> None:
        """It takes one of its executions back."""
        time_ns = self.books.orders[order_id].order.updated_ns
        self._happened(self.books.bust(order_id, execution_id, time_ns, "erroneous"))

    async def drop(self) -> None:
        """The session ends; what waited to be told is never told."""
        self._end()

    async def restart(self) -> None:
        self._end()

    async def close(self) -> None:
        self._end()

    # The port

    async def submit(self, order: Order) -> None:
        await self._arrive("submit", order)
        if self.books.same(order) is False:
            raise KeyTakenError(order.order_id)
        await self._answer(self.books.submit(order, order.updated_ns))

    async def amend(self, order: Order) -> None:
        await self._arrive("amend", order)
        self._require_known(order)
        await self._answer(self.books.amend(order, order.updated_ns))

    async def cancel(self, order: Order) -> None:
        await self._arrive("cancel", order)
        self._require_known(order)
        await self._answer(
            self.books.cancel(
                order.order_id, order.updated_ns, order.reason or "CANCELLED", order.reason_detail
            )
        )

    async def order(self, order_id: str) -> VenueOrder | None:
        await self._asked()
        return self.books.order(order_id)

    async def snapshot(self) -> Snapshot:
        await self._asked()
        return self.books.snapshot()

    async def changes(self, cursor: str) -> Heard:
        await self._asked()
        heard = self.books.after(cursor)
        if len(heard.reports) > 1 and self._happens(self.faults.shuffled):
            # In pieces, as a venue with pages gives them.
            cut = self._random.randrange(1, len(heard.reports))
            return Heard(heard.reports[:cut], str(int(cursor or 0) + cut))
        return heard

    async def reports(self, cursor: str) -> AsyncGenerator[VenueNotice, None]:
        self._end()
        session = self._session = asyncio.Event()
        self._waiting = [*self.books.after(cursor).reports]
        try:
            yield SessionOpened()
            while self._session is session:
                for report in self._turn():
                    if self._session is session:
                        yield report
                if self._session is session and not self._waiting:
                    session.clear()
                    await session.wait()
                await asyncio.sleep(0)
            yield SessionClosed("the venue hung up")
        finally:
            if self._session is session:
                self._session = None

    # Inside

    def _turn(self) -> list[Report]:
        """What is told now of that which waits."""
        waiting, self._waiting = self._waiting, []
        if self._happens(self.faults.shuffled):
            self._random.shuffle(waiting)
        told: list[Report] = []
        for report in waiting:
            if self._happens(self.faults.missing):
                continue
            if self._happens(self.faults.late):
                self._waiting.append(report)
                continue
            told.append(report)
            if self._happens(self.faults.doubled):
                self._waiting.append(report)
        return told

    def _happened(self, step: Step) -> None:
        self._waiting += [each.report for each in step.reports]
        if self._session is not None:
            self._session.set()

    async def _arrive(self, what: str, order: Order) -> None:
        await asyncio.sleep(0)
        if self._session is None or self._happens(self.faults.not_sent):
            raise NotSentError("no session")
        if self._happens(self.faults.lost):
            raise OutcomeUnknownError("no answer came")
        self.sent.append((what, order.order_id))

    async def _answer(self, step: Step) -> None:
        self._happened(step)
        if self._happens(self.faults.drops):
            self._end()
            raise OutcomeUnknownError("the session broke")
        if self._happens(self.faults.hangs):
            await asyncio.get_running_loop().create_future()
        if self._happens(self.faults.unanswered):
            raise OutcomeUnknownError("no answer came")

    async def _asked(self) -> None:
        await asyncio.sleep(0)
        if self._session is None:
            raise NotSentError("no session")
        if self._happens(self.faults.silent):
            raise OutcomeUnknownError("no answer came")

    def _require_known(self, order: Order) -> None:
        if order.order_id not in self.books.orders:
            raise VenueRefusedError("UNKNOWN_ORDER", f"no order {order.order_id}")

    def _end(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            self._waiting.clear()
            session.set()

    def _happens(self, share: float) -> bool:
        return bool(share) and self._random.random() < share
