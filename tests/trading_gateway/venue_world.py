"""Trading on a venue outside that a test makes misbehave; time passes only when the test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random

import sqlalchemy as sa

from services.errors import FxError
from services.market.ticks import TickBatch
from services.runtime.clock import EventClock
from services.trading_gateway.config import Settings
from services.trading_gateway.domain import venue_cash
from services.trading_gateway.domain.orders import Order
from services.trading_gateway.domain.replaying import replay
from services.trading_gateway.domain.reports import CashMoved
from services.trading_gateway.domain.values import CashKind, OrderStatus, OrderType, Side, VenueState
from services.trading_gateway.handlers.orders import Change
from tests.trading_gateway.domain.test_whole_runs import ticks_of
from tests.trading_gateway.kit import START
from tests.trading_gateway.world import World
from tests.venues.fault_venue import Faults, FaultVenue

ACCOUNT = "outside"
LIMIT = OrderType.LIMIT
GENEROUS_S = 60.0
TABLES = ("venue_cash", "orders", "fills", "ledger", "transactions", "positions", "accounts", "venue_cursors")


class VenueWorld(World):
    """The account `outside` on the venue `far`."""

    def __init__(self, folder: Path, seed: int = 0, **settings: object) -> None:
        super().__init__(folder, Settings(max_orders_per_second=10_000, **settings))  # type: ignore[arg-type]
        self.clock = EventClock(START)
        self.far = FaultVenue(Random(seed))
        self.venues["far"] = self.far
        self._requests = 0

    async def begin(self) -> None:
        """The first start: a quote, the account, and books that were compared."""
        await self.start()
        await self.announce()
        await self.tick(("1.10000", "1.10010"), sizes=(100_000, 100_000))
        await self.accounts.open("r-open", ACCOUNT, "USD", "1000000", auto_trade=False, venue="far")
        self.run("venues", "recover")
        await self.agreed()

    async def reborn(self) -> None:
        """A new process on the same database; the venue went on."""
        await self.restart()
        await self.announce()
        for ticks in self.sent:
            await self.follow(ticks)
        self.run("venues", "recover")

    async def killed(self) -> None:
        """The process ends without a word, and a new one begins: what was not stored never happened."""
        await self.end_background()
        await self.links.stand_down()
        await self.database.close()
        await self.far.drop()
        await self.start()
        await self.announce()
        for ticks in self.sent:
            await self.follow(ticks)
        self.run("venues", "recover")

    async def follow(self, ticks: TickBatch) -> None:
        """Ticks that the process before may have read."""
        with self.desk.step() as engine:
            engine.read(ticks, 0)
        await self.desk.settle()

    @property
    def state(self) -> VenueState:
        """How the account stands to its venue."""
        return self.desk.engine.book.account(ACCOUNT).venue_state

    async def doubted(self) -> None:
        """Return once the end of the session was noticed."""
        await self.soon(lambda: self.state is VenueState.RECONCILING)

    async def agreed(self) -> None:
        """Return once books and venue agree, letting time pass."""
        await self.eventually(lambda: self.desk.standing is not None and self.state is VenueState.AGREED)

    async def pass_time(self, seconds: float) -> None:
        """Let so much of it pass, and everybody run meanwhile."""
        for _ in range(round(seconds * 10)):
            await self.clock.advance_to(self.clock.now_ns() + 100_000_000)
            await self.rest()

    async def rest(self) -> None:
        """What can happen without time does."""
        for _ in range(4):
            for _ in range(25):
                await asyncio.sleep(0)
            try:
                await self.desk.durable()
            except FxError:
                await asyncio.sleep(0.002)

    async def eventually(self, reached: Callable[[], bool]) -> None:
        """Return once it holds, letting time pass."""
        async with asyncio.timeout(GENEROUS_S):
            while not reached():
                await self.pass_time(0.1)

    async def soon(self, reached: Callable[[], bool]) -> None:
        """Return once it holds, letting no time pass: nothing may have to be waited for."""
        async with asyncio.timeout(GENEROUS_S):
            while not reached():
                await self.rest()
                await asyncio.sleep(0.001)

    async def buy(self, key: str, size: str = "10000", limit: str = "") -> Order:
        """An order of the account, as the desk answers."""
        type_ = LIMIT if limit else OrderType.MARKET
        self.desk.heard()
        return await self.place(key, Side.BUY, size, type_=type_, limit=limit, account=ACCOUNT)

    async def sell(self, key: str, size: str = "10000") -> Order:
        self.desk.heard()
        return await self.place(key, Side.SELL, size, account=ACCOUNT)

    async def cash(self, transaction_id: str, kind: CashKind, amount: str, symbol: str = "") -> CashMoved:
        """The venue moves cash of the account by itself."""
        time_ns = self.clock.now_ns()
        moved = CashMoved(time_ns, ACCOUNT, transaction_id, kind, amount, "USD", symbol)
        await self.far.move_cash(moved)
        return moved

    async def amend(self, order: Order, limit: str) -> Order:
        """Another limit."""
        self.desk.heard()
        self._requests += 1
        return await self.orders.amend(f"r-amend-{self._requests}", order.order_id, Change(limit_price=limit))

    async def cancel(self, order: Order) -> Order:
        self._requests += 1
        return await self.orders.cancel(f"r-cancel-{self._requests}", order.order_id)

    def now(self, order: Order) -> Order:
        """An order as the books have it now."""
        return self.desk.engine.book.order(order.order_id)

    def is_(self, order: Order, status: OrderStatus) -> Callable[[], bool]:
        """Whether it is in that state."""
        return lambda: self.desk.standing is not None and self.now(order).status is status

    async def same_books(self) -> None:
        """The books are those of the venue, to the last unit; they prove themselves; and the journal alone
        makes them again.
        """
        await self.desk.durable()
        there = self.far.books.orders
        for ours in await self._orders():
            kept = there.get(ours.order_id)
            if kept is None:
                assert ours.final, ours
                assert not ours.filled, ours
            elif ours.reason != "NOT_AT_VENUE":
                assert (ours.status, ours.filled) == (kept.order.status, kept.order.filled), ours
        assert there.keys() <= {each.order_id for each in await self._orders()}
        book = self.desk.engine.book
        held = {(each.account_id, each.symbol): each.size for each in self.far.books.holdings()}
        positions = [each for each in book.positions_of(ACCOUNT) if not each.flat]
        assert held == {(each.account_id, each.symbol): each.size for each in positions}
        account = book.account(ACCOUNT)
        assert dict(self.far.books.cash.balances) == {ACCOUNT: venue_cash.balance_text(account)}
        told = [each.report for each in self.far.books.log if isinstance(each.report, CashMoved)]
        journal = [each.kind for each in await self.store.journal(0, 1_000_000)]
        assert journal.count("CashMoved") == len(told) == (await self.rows())["venue_cash"]
        proof = await self.accounts.reconcile(ACCOUNT)
        assert proof.reconciled, [each for each in proof.lines if not each.equal]
        await self._replays()

    async def _replays(self) -> None:
        journal = await self.store.journal(0, 1_000_000)
        conduct = self.settings.conduct()
        made = replay(conduct.rules, conduct.policy, journal, ticks_of(self.sent)).take_changes()
        stored = await self.rows()
        assert {each.order_id: each for each in await self._orders()} == made.orders
        assert stored["fills"] == len(made.fills)
        assert stored["venue_cash"] == len(made.venue_cash)
        assert await self.store.transactions(ACCOUNT, 0) == [
            each for each in made.transactions if each.account_id == ACCOUNT
        ]
        assert {key: each.cursor for key, each in made.cursors.items()} == self.desk.engine.book.cursors
        for account_id, account in made.accounts.items():
            assert self.desk.engine.book.accounts[account_id] == account

    async def _orders(self) -> list[Order]:
        return await self.store._read(  # type: ignore[attr-defined,no-any-return]
            self.schema.orders, sa.select(self.schema.orders.table)
        )

    async def rows(self) -> dict[str, int]:
        """How many rows the tables have."""

        def count(connection: sa.Connection) -> dict[str, int]:
            return {
                each: connection.execute(sa.text(f"SELECT count(*) FROM {each}")).scalar_one()
                for each in TABLES
            }

        return await self.database.read(count)


HARSH = Faults(
    doubled=0.2,
    late=0.3,
    shuffled=0.5,
    missing=0.15,
    lost=0.1,
    unanswered=0.1,
    not_sent=0.05,
    drops=0.03,
    silent=0.1,
    hangs=0.03,
)
"""Everything at once."""
