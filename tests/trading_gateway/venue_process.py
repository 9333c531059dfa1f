"""A gateway in a process of its own, on a simulated venue whose file is not the gateway's: to be killed.

    python -m tests.trading_gateway.venue_process FOLDER SEED LIFE trade|check

`trade` trades until somebody ends it and says each step. `check` lets all come to rest, compares the books
with the venue's file, and says so.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from itertools import count
from pathlib import Path
from random import Random

from services.errors import FxError
from services.market.instruments import instrument
from services.runtime.clock import WallClock
from services.trading_gateway.adapters.simulated_venue import SimulatedVenue
from services.trading_gateway.config import Settings
from services.trading_gateway.domain import links
from services.trading_gateway.domain.values import OrderType, Side, VenueState
from services.trading_gateway.handlers.orders import Change
from tests.trading_gateway.world import World

ACCOUNT = "outside"
LIMIT = OrderType.LIMIT


class Life:
    """One process."""

    def __init__(self, folder: Path, seed: int, life: int) -> None:
        settings = Settings(
            max_orders_per_second=10_000,
            feed_stale_seconds=60,
            paper_seed=seed,
            paper_partial_fills="0.3",
            paper_slippage_ticks=2,
            paper_lost="0.05",
            paper_unanswered="0.1",
            paper_disconnects="0.05",
            venue_answer_seconds=2,
            venue_settle_seconds=0.2,
            venue_audit_seconds=2,
        )
        self.world = World(folder, settings)
        self.world.clock = WallClock()  # type: ignore[assignment]
        self.venue = SimulatedVenue(folder / "far.venue.db", settings.conditions())
        self.world.venues["far"] = self.venue
        self.random = Random(f"{seed} {life}")
        self.life = life

    async def begin(self) -> None:
        world = self.world
        await self.venue.open()
        await world.start()
        await world.announce()
        for session, symbol, sequence in world.desk.engine.positions():
            world.sequences[session, symbol] = sequence
        await self.tick()
        if ACCOUNT not in world.desk.engine.book.accounts:
            await world.accounts.open("r-open", ACCOUNT, "USD", "1000000", auto_trade=False, venue="far")
        world.run("venues", "recover")

    async def trade(self) -> None:
        await self.agreed()
        for number in count():
            say(f"step {number}")
            with suppress(FxError):
                await self.step(f"k{self.life}-{number}")

    async def step(self, key: str) -> None:
        world, action = self.world, self.random.random()
        if action < 0.5:
            side = self.random.choice([Side.BUY, Side.SELL])
            limit = price(110_000 + self.random.randint(-40, 40)) if self.random.random() < 0.6 else ""
            type_ = LIMIT if limit else OrderType.MARKET
            await world.place(key, side, "10000", type_=type_, limit=limit, account=ACCOUNT)
        elif action < 0.7:
            await self.tick()
        elif action < 0.75:
            await asyncio.sleep(0.05)
        elif working := world.desk.engine.book.working(ACCOUNT):
            order = self.random.choice(working)
            if action < 0.9:
                await world.orders.cancel(key, order.order_id)
            else:
                change = Change(limit_price=price(110_000 + self.random.randint(-40, 40)))
                await world.orders.amend(key, order.order_id, change)

    async def tick(self) -> None:
        middle = 110_000 + self.random.randint(-40, 40)
        await self.world.tick((price(middle - 5), price(middle + 5)), sizes=(15_000, 15_000))

    async def agreed(self) -> None:
        """Once books and venue agree and no answer is waited for."""

        def settled() -> bool:
            engine = self.world.desk.standing
            if engine is None or engine.book.account(ACCOUNT).venue_state is not VenueState.AGREED:
                return False
            return not any(links.waiting(each) for each in engine.book.working(ACCOUNT))

        async with asyncio.timeout(120):
            while not settled():  # noqa: ASYNC110  # what it looks at has no event
                await asyncio.sleep(0.01)

    async def check(self) -> None:
        await self.agreed()
        world = self.world
        await world.desk.durable()
        for order_id, kept in self.venue.books.orders.items():
            ours = await world.orders.get(order_id)
            same = (ours.status, ours.filled) == (kept.order.status, kept.order.filled)
            assert same, f"{ours} here, {kept} there"
        positions = world.desk.engine.book.positions_of(ACCOUNT)
        here = {each.symbol: each.size for each in positions if not each.flat}
        assert here == {each.symbol: each.size for each in self.venue.books.holdings()}
        proof = await world.accounts.reconcile(ACCOUNT)
        assert proof.reconciled, proof
        say(f"agreed {len(self.venue.books.orders)} orders {proof.fills} fills")
        await world.stop()
        await self.venue.close()


def say(line: str) -> None:
    """To whoever started this."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def price(raw: int) -> str:
    return instrument("EURUSD").price_text(raw)


async def main(folder: str, seed: str, life: str, what: str) -> None:
    lived = Life(Path(folder), int(seed), int(life))
    await lived.begin()
    await (lived.trade() if what == "trade" else lived.check())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
