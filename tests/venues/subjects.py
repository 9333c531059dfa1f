"""What the conformance suite needs of a venue beyond its port: a market to trade on, and a way to go wrong.

A subject for a real venue drives its practice environment; `misbehave` is where a proxy or the venue's test
facilities come in.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from services.market.instruments import instrument
from services.trading_gateway.adapters.simulated_venue import SimulatedVenue
from services.trading_gateway.domain.conditions import PERFECT, Conditions
from services.trading_gateway.domain.feeds import Quote
from services.trading_gateway.domain.ids import order_id
from services.trading_gateway.domain.orders import Amendment, Order, Terms, amendment_asked, changed
from services.trading_gateway.domain.placing import terms_key
from services.trading_gateway.domain.reports import CashMoved, Report
from services.trading_gateway.domain.terms import Typed, terms
from services.trading_gateway.domain.values import OrderOrigin, OrderStatus, OrderType, Side
from services.trading_gateway.domain.venue_views import Heard
from services.trading_gateway.ports import SessionClosed, SessionOpened, Venue, VenueNotice
from tests.trading_gateway.kit import SECOND, START, raw

GENEROUS_S = 30.0
ACCOUNT = "outside"
FUNDS = (ACCOUNT, "USD", "1000000")
"""What the account has at the venue before anything happens."""


class Subject(Protocol):
    """A venue under test."""

    @property
    def venue(self) -> Venue:
        """As the gateway has it; another after a restart."""

    async def market(self, bid: str, ask: str, size: int | None = None) -> None:
        """The next quote of EURUSD, a second after the last; `size` whole units on both sides."""

    async def move_cash(self, moved: CashMoved) -> None:
        """The venue moves cash of `ACCOUNT` by itself."""

    async def bust(self, order_id: str, execution_id: str) -> None:
        """The venue takes one of its executions back. A subject that has no busts skips the test."""

    async def drop(self) -> None:
        """End the session from the venue's side."""

    async def restart(self) -> None:
        """The venue's process, or the adapter's, begins anew; its books stay."""

    async def close(self) -> None:
        """Give back what was taken."""


class Simulated:
    """The simulated venue on its file."""

    def __init__(self, folder: Path, conditions: Conditions = PERFECT) -> None:
        self._path = folder / "sim.venue.db"
        self._conditions = conditions
        self._quotes = 0
        self.venue = SimulatedVenue(self._path, conditions, [FUNDS])

    async def open(self) -> Simulated:
        await self.venue.open()
        return self

    async def market(self, bid: str, ask: str, size: int | None = None) -> None:
        self._quotes += 1
        await self.venue.quote(quote(self._quotes, bid, ask, size))

    async def move_cash(self, moved: CashMoved) -> None:
        await self.venue.move_cash(moved)

    async def bust(self, order_id: str, execution_id: str) -> None:
        await self.venue.bust(order_id, execution_id, START, "erroneous")

    async def drop(self) -> None:
        self.venue.drop()

    async def restart(self) -> None:
        await self.venue.close()
        self.venue = SimulatedVenue(self._path, self._conditions, [FUNDS])
        await self.venue.open()

    async def close(self) -> None:
        await self.venue.close()


def quote(sequence: int, bid: str, ask: str, size: int | None = None) -> Quote:
    """A quote of EURUSD."""
    units = None if size is None else size * 100
    time_ns = START + sequence * SECOND
    return Quote("syn-1", "EURUSD", sequence, time_ns, raw("EURUSD", bid), raw("EURUSD", ask), units, units)


def asked(key: str, side: Side, size: str = "10000", limit: str = "1.10010") -> Order:
    """A limit order that was made durable and is about to be sent."""
    type_ = OrderType.LIMIT
    wanted: Terms = terms("EURUSD", side, type_, size, Typed(limit))
    return Order(
        number=1,
        order_id=order_id(ACCOUNT, key),
        account_id=ACCOUNT,
        client_order_id=key,
        scope="",
        symbol="EURUSD",
        side=side,
        type=type_,
        time_in_force=wanted.time_in_force,
        size=wanted.size,
        limit=wanted.limit,
        stop=wanted.stop,
        expires_ns=None,
        status=OrderStatus.PLACED,
        origin=OrderOrigin.USER,
        created_ns=START,
        updated_ns=START,
        terms_key=terms_key(wanted),
    )


def amended(order: Order, **change: int | None) -> Order:
    """The order with an amendment pending that is about to be sent."""
    return amendment_asked(replace(order, status=OrderStatus.ACCEPTED), START, Amendment(**change))


def cancelling(order: Order) -> Order:
    """The order with a cancel pending that is about to be sent."""
    return changed(order, START, OrderStatus.PENDING_CANCEL, "CANCELLED_BY_USER", "asked for")


class Session:
    """A session of a venue, and what was heard in it."""

    def __init__(self, notices: AsyncIterator[VenueNotice]) -> None:
        self.reports: list[Report] = []
        self.closed = False
        self._opened = asyncio.Event()
        self._came = asyncio.Condition()
        self._task = asyncio.create_task(self._listen(notices))

    async def opened(self) -> Session:
        """Itself, once the venue takes requests."""
        async with asyncio.timeout(GENEROUS_S):
            await self._opened.wait()
        return self

    async def until(self, reached: Callable[[list[Report]], bool]) -> list[Report]:
        """What was heard, once it is enough."""
        async with asyncio.timeout(GENEROUS_S), self._came:
            await self._came.wait_for(lambda: reached(self.reports))
        return self.reports

    async def ended(self) -> None:
        """Return once the venue said that it is over."""
        async with asyncio.timeout(GENEROUS_S):
            await self._task
        assert self.closed

    async def stop(self) -> None:
        """Listen no more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _listen(self, notices: AsyncIterator[VenueNotice]) -> None:
        async for notice in notices:
            assert not self.closed, "nothing follows the end of a session"
            match notice:
                case SessionOpened():
                    self._opened.set()
                case SessionClosed():
                    self.closed = True
                case _:
                    assert self._opened.is_set(), "a session begins with SessionOpened"
                    self.reports.append(notice)
            async with self._came:
                self._came.notify_all()


async def session(subject: Subject, cursor: str = "") -> Session:
    return await Session(subject.venue.reports(cursor)).opened()


async def history(subject: Subject, cursor: str = "") -> Heard:
    """All reports after a cursor, page by page."""
    reports: list[Report] = []
    while (page := await subject.venue.changes(cursor)).cursor != cursor:
        reports += page.reports
        cursor = page.cursor
    return Heard(tuple(reports), cursor)


def price(raw: int) -> str:
    return instrument("EURUSD").price_text(raw)
