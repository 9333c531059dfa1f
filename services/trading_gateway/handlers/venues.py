"""Venues outside: their sessions, what they report, and the comparison of the books with what they hold.

Reports are heard as they come, and again from the last cursor whenever books and venue are compared: at the
start, after each disconnect, and from time to time, so that one that was missed is missed for a while only.
An account takes no order until it was compared, and no new risk while something differs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import replace

from services.crash import crash_point
from services.errors import FxError, Kind
from services.trading_gateway.domain import busting, links
from services.trading_gateway.domain.changes import Changes
from services.trading_gateway.domain.engine import Engine
from services.trading_gateway.domain.histories import History, Key
from services.trading_gateway.domain.ids import bust_id, outside_execution_id
from services.trading_gateway.domain.inputs import Orphaned, VenueRead
from services.trading_gateway.domain.links import Findings
from services.trading_gateway.domain.markets import LIVE
from services.trading_gateway.domain.reports import Busted, CashMoved, Executed, OrderReport, Report
from services.trading_gateway.domain.values import PAPER, OrderStatus, VenueState
from services.trading_gateway.domain.venue_views import VenueOrder
from services.trading_gateway.handlers.desk import Desk
from services.trading_gateway.handlers.sending import Patience, Sending, soon
from services.trading_gateway.ports import (
    NotSentError,
    OutcomeUnknownError,
    SessionClosed,
    SessionOpened,
    Venue,
    VenueNotice,
    VenueRefusedError,
)

ROUNDS = 5
"""Comparisons in a row while the venue moves on or the books are repaired."""
_AWAY = (NotSentError, OutcomeUnknownError, VenueRefusedError)


class VenueLinks:
    """The venues outside, by name."""

    def __init__(self, desk: Desk, venues: Mapping[str, Venue], patience: Patience) -> None:
        self._desk = desk
        self._links = {name: VenueLink(name, each, desk, patience) for name, each in venues.items()}
        desk.outside = self

    def require(self, name: str) -> str:
        """The name of a venue that there is. Raises FxError INVALID_ARGUMENT `UNKNOWN_VENUE`."""
        if name in ("", PAPER):
            return PAPER
        if name not in self._links:
            known = ", ".join([PAPER, *sorted(self._links)])
            raise FxError(Kind.INVALID_ARGUMENT, "UNKNOWN_VENUE", f"no venue {name}; there are {known}")
        return name

    def compared(self, name: str) -> AbstractAsyncContextManager[None]:
        """Books and venue are compared before and after what is done inside, and stand still meanwhile.

        Raises FxError UNAVAILABLE `VENUE_AWAY` where they cannot be.
        """
        if name not in self._links:
            raise _away(name, "trading is not set up with it")
        return self._links[name].compared()

    def committed(self, engine: Engine, changes: Changes) -> None:
        """Requests that became durable leave; accounts that are new are compared."""
        for request in engine.book.outside(changes.requests):
            account = engine.book.account(engine.book.order(request.order_id).account_id)
            link = self._links.get(account.venue)
            if link is not None:
                link.sending.give([request])
        for account in changes.accounts.values():
            if account.venue_state is VenueState.RECONCILING and account.venue in self._links:
                self._links[account.venue].wake()

    def rebuilt(self) -> None:
        """The books are what the store says: what was heard since is heard again."""
        book = self._desk.engine.book
        for name, link in self._links.items():
            for account in links.accounts_of(book, name):
                working = book.working(account.account_id)
                link.sending.inherit(each.order_id for each in working if links.waiting(each))
            link.wake()

    async def run(self) -> None:
        """Background: keep the sessions, and compare."""
        loops = [loop() for link in self._links.values() for loop in (link.run, link.audit)]
        await asyncio.gather(*loops)

    async def stand_down(self) -> None:
        """Nothing more is sent; what is on its way is given up."""
        for link in self._links.values():
            await link.sending.close()


class VenueLink:
    """One venue."""

    def __init__(self, name: str, venue: Venue, desk: Desk, patience: Patience) -> None:
        self.name = name
        self.sending = Sending(desk, venue, patience, self.hear, self._ask)
        self._venue = venue
        self._desk = desk
        self._patience = patience
        self._open = False
        self._due = asyncio.Event()
        # A comparison sees books that stand still; what is reported meanwhile waits.
        self._books = asyncio.Lock()

    def wake(self) -> None:
        """Compare soon."""
        self._due.set()

    async def run(self) -> None:
        """Background: one session after the other."""
        while True:
            try:
                await self._session()
            except FxError as failure:
                self._desk.log.warning("venue.not_booked", venue=self.name, error=str(failure))
            except Exception:
                self._desk.log.exception("venue.failed", venue=self.name)
            self._open = False
            await self._desk.clock.sleep(self._patience.retry_s)

    async def audit(self) -> None:
        """Background: compare when there is a reason to, and from time to time without one."""
        while True:
            waiting = asyncio.ensure_future(self._due.wait())
            try:
                await soon(self._desk.clock, waiting, self._patience.audit_s)
            finally:
                waiting.cancel()
            self._due.clear()
            if not self._open:
                continue
            try:
                async with self._books:
                    done = await self._compare()
            except (*_AWAY, FxError) as failure:
                self._desk.log.warning("venue.not_compared", venue=self.name, error=str(failure))
                done = False
            if not done:
                await self._desk.clock.sleep(self._patience.retry_s)
                self.wake()

    async def hear(self, report: Report) -> None:
        """Book a report, by an order or again."""
        async with self._books:
            await self._book((report,))

    @asynccontextmanager
    async def compared(self) -> AsyncIterator[None]:
        """As of all venues."""
        if not self._open:
            raise _away(self.name, "no session is open")
        try:
            async with self._books:
                await self._compare()
                yield
                await self._compare()
        except _AWAY as failure:
            raise _away(self.name, str(failure)) from failure

    # A session

    async def _session(self) -> None:
        cursor = self._desk.engine.book.cursors.get(self.name, "")
        # Whoever ends this ends the session: one that lost the lease of the books sends nothing any more.
        async with aclosing(self._venue.reports(cursor)) as notices:
            async for notice in notices:
                await self._take(notice)

    async def _take(self, notice: VenueNotice) -> None:
        match notice:
            case SessionOpened():
                self._open = True
                self._desk.log.info("venue.open", venue=self.name)
                self.wake()
            case SessionClosed():
                self._open = False
                self._desk.log.warning("venue.closed", venue=self.name, why=notice.why)
                await self._doubt(notice.why)
            case _:
                await self.hear(notice)

    async def _doubt(self, why: str) -> None:
        with self._desk.step() as engine:
            for asked in links.doubts(engine.book, self.name, self._desk.time(LIVE), why):
                engine.link(asked)
        await self._desk.settle()

    async def _book(self, reports: Collection[Report], cursor: str | None = None) -> None:
        """Book reports, and the cursor that they lead to. Raises FxError for one that could not be booked."""
        crash_point("venue.heard", *(type(each).__name__ for each in reports))
        ordered = {each.order_id for each in reports if not isinstance(each, CashMoved)}
        foreign = await self._adopt(each.order_id for each in reports if not isinstance(each, CashMoved))
        await self._adopt_cash([each for each in reports if isinstance(each, CashMoved)])
        named = [each if isinstance(each, CashMoved) else _named(each) for each in reports]
        histories = await self._histories(named)
        failed: FxError | None = None
        with self._desk.step() as engine:
            for position, history in histories.items():
                engine.book.adopt_history(position, history)
            for report in named:
                try:
                    self._book_one(engine, report, foreign)
                except FxError as failure:
                    failed = failure
            if cursor is not None and failed is None:
                engine.link(VenueRead(self._desk.time(LIVE), self.name, cursor))
        await self._desk.settle()
        self.sending.heard(ordered)
        if failed is not None:
            raise failed

    def _book_one(self, engine: Engine, report: Report, foreign: Collection[str]) -> None:
        if isinstance(report, CashMoved):
            account = engine.book.accounts.get(report.account_id)
            if account is not None and account.venue == self.name:
                engine.link(report)
        elif report.order_id not in foreign:
            engine.hear(report)

    async def _adopt_cash(self, moved: Sequence[CashMoved]) -> None:
        """Know of each whether it was booked: it may have been, in a life before or long ago."""
        book = self._desk.engine.book
        for account_id in {each.account_id for each in moved} & book.accounts.keys():
            asked = {each.transaction_id for each in moved if each.account_id == account_id}
            for known in await self._desk.store.cash_booked(account_id, asked):
                book.adopt_cash(account_id, known)

    async def _histories(self, reports: Iterable[Report]) -> dict[Key, History]:
        """What it takes to do without executions that are taken back: those that a bust names, and those that
        come after theirs.
        """
        book, wanted = self._desk.engine.book, dict[Key, set[str]]()
        for each in reports:
            if isinstance(each, Busted | Executed) and each.order_id in book.orders:
                order = book.order(each.order_id)
                account = book.account(order.account_id)
                if book.booked(order.order_id, bust_id(each.execution_id)):
                    continue
                if isinstance(each, Busted) or busting.awaited(account, each.execution_id):
                    position = order.account_id, order.symbol, book.position_id(order)
                    wanted.setdefault(position, set()).add(each.execution_id)
        if wanted:
            await self._desk.durable()  # the store is as far as the books
        return {key: await self._desk.store.history(key, wanted[key]) for key in wanted}

    async def _adopt(self, order_ids: Iterable[str]) -> set[str]:
        """Have these orders in memory; those that are not of this gateway."""
        foreign: set[str] = set()
        for order_id in dict.fromkeys(order_ids):
            if order_id in self._desk.engine.book.orders:
                continue
            stored = await self._desk.store.order(order_id)
            if stored is None:
                foreign.add(order_id)
            else:
                executions = await self._desk.store.executions(order_id)
                self._desk.engine.book.adopt(stored, executions)
        return foreign

    # Comparing

    async def _compare(self) -> bool:
        """Bring the books to what the venue holds. False when it has to be tried again."""
        for _ in range(ROUNDS):
            seen = await self._venue.snapshot()
            if await self._catch_up() != seen.cursor:
                continue  # it moved on meanwhile
            await self._adopt(each.order_id for each in seen.orders)
            book, sending = self._desk.engine.book, self.sending
            found = links.compare(book, self.name, seen, sending.sent, sending.under_way)
            for order_id in found.missing:
                await self._look_for(order_id, found)
            if found.reports:
                await self._book(found.reports)
                continue
            await self._conclude(found)
            self.sending.give(found.again)
            return not found.differences
        return False

    async def _catch_up(self) -> str:
        """Hear all that was reported since the last cursor; the cursor then."""
        while True:
            cursor = self._desk.engine.book.cursors.get(self.name, "")
            heard = await self._venue.changes(cursor)
            if heard.cursor == cursor:
                return cursor
            await self._book(heard.reports, heard.cursor)

    async def _look_for(self, order_id: str, found: Findings) -> None:
        """An order that is not among those that work there: it is over, or was never there."""
        theirs = await self._venue.order(order_id)
        ours = self._desk.engine.book.order(order_id)
        if theirs is None:
            self.sending.doubt(order_id)
        else:
            self._add(found, links.resolve(ours, theirs))

    async def _conclude(self, found: Findings) -> None:
        with self._desk.step() as engine:
            time_ns = self._desk.time(LIVE)
            for order_id in found.orphans:
                engine.link(Orphaned(time_ns, order_id))
            for account in links.accounts_of(engine.book, self.name):
                unknown = [
                    each
                    for each in engine.book.working(account.account_id)
                    if each.status in (OrderStatus.PLACED, OrderStatus.UNKNOWN)
                ]
                engine.link(links.verdict(account, found, len(unknown), time_ns))
        await self._desk.settle()

    async def _ask(self, order_id: str) -> None:
        """Take the venue's word on an order that it did not answer; asked again while it says nothing."""
        try:
            async with self._books:
                await self._take_word(order_id)
        except NotSentError:
            return  # all is compared when the venue is there again
        except (OutcomeUnknownError, VenueRefusedError) as failure:
            self._desk.log.warning("venue.not_asked", order_id=order_id, error=str(failure))
            self.sending.doubt(order_id)

    async def _take_word(self, order_id: str) -> None:
        await self._catch_up()
        theirs: VenueOrder | None = await self._venue.order(order_id)
        ours = self._desk.engine.book.order(order_id)
        if not links.waiting(ours):
            return
        if theirs is None:
            await self._book((links.absent(ours, max(self._desk.time(LIVE), ours.updated_ns)),))
        else:
            found = links.resolve(ours, theirs)
            await self._book(found.reports)
            self.sending.give(found.again)
        self.wake()

    @staticmethod
    def _add(found: Findings, more: Findings) -> None:
        found.reports += more.reports
        found.again += more.again
        found.orphans += more.orphans
        for account_id, words in more.differences.items():
            found.differences.setdefault(account_id, []).extend(words)


def _away(name: str, why: str) -> FxError:
    detail = f"the venue {name} cannot be asked: {why}"
    return FxError(Kind.UNAVAILABLE, "VENUE_AWAY", detail, retry_after_s=1.0)


def _named(report: OrderReport) -> OrderReport:
    """With an execution id that is unique in the gateway."""
    match report:
        case Executed() | Busted():
            execution_id = outside_execution_id(report.order_id, report.execution_id)
            return replace(report, execution_id=execution_id)
        case _:
            return report
