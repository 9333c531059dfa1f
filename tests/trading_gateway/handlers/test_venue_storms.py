"""A venue that does everything wrong at once, and a gateway that is killed meanwhile: in the end the books
are the venue's, no order is lost or doubled, and the journal makes the same books again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from random import Random

import pytest

from services.errors import FxError
from services.market.instruments import instrument
from services.money.exact import exact_text
from services.trading_gateway.domain import links
from services.trading_gateway.domain.reports import Executed
from services.trading_gateway.domain.values import CashKind, VenueState
from tests.trading_gateway.venue_world import ACCOUNT, HARSH, VenueWorld
from tests.venues.fault_venue import NONE

STEPS, MOST_STEPS = 60, 600


class Storm:
    """Orders, changes, ticks, silence, disconnects and deaths, drawn from a seed."""

    def __init__(self, world: VenueWorld, seed: int) -> None:
        self.world = world
        self.random = Random(f"storm {seed}")
        self.middle = 110_000
        # Half of them end sessions rarely, so that more is traded and less refused.
        self.faults = replace(HARSH, drops=0.003, silent=0.03) if seed % 2 else HARSH

    async def run(self) -> None:
        self.world.far.faults = self.faults
        for number in range(MOST_STEPS):
            if number >= STEPS and self.world.far.books.orders:
                break  # long enough, and something came through
            with suppress(FxError):  # refused, or the order was over: callers are told, and that is all
                await self.step(number)
        await self.calm()

    async def step(self, number: int) -> None:
        world, action = self.world, self.random.random()
        if action < 0.35:
            await self.place(number)
        elif action < 0.5:
            await self.change()
        elif action < 0.72:
            await self.tick()
        elif action < 0.76:
            await self.move_cash(number)
        elif action < 0.8:
            await self.bust()
        elif action < 0.94:
            await world.pass_time(self.random.choice([0.1, 0.5, 3.0]))
        elif action < 0.97:
            await world.far.drop()
        else:
            await world.killed()

    async def place(self, number: int) -> None:
        size = self.random.choice(["1000", "3000", "20000"])
        if self.random.random() < 0.3:
            await self.world.sell(f"k{number}", size)
        else:
            limit = price(self.middle + self.random.randint(-30, 30)) if self.random.random() < 0.7 else ""
            await self.world.buy(f"k{number}", size, limit)

    async def change(self) -> None:
        working = self.world.desk.engine.book.working(ACCOUNT)
        if not working:
            return
        order = self.random.choice(working)
        if self.random.random() < 0.5:
            await self.world.cancel(order)
        else:
            await self.world.amend(order, price(self.middle + self.random.randint(-30, 30)))

    async def tick(self) -> None:
        self.middle += self.random.randint(-15, 15)
        sizes = (2_000, 2_000) if self.random.random() < 0.5 else (100_000, 100_000)
        await self.world.tick((price(self.middle - 5), price(self.middle + 5)), sizes=sizes)

    async def move_cash(self, number: int) -> None:
        """The venue does, by less than a minor unit too."""
        ten_thousandths = self.random.randint(-40_000, 40_000)
        kind = self.random.choice([*CashKind])
        await self.world.cash(f"t-{number}", kind, exact_text(Fraction(ten_thousandths, 10_000)))

    async def bust(self) -> None:
        """The venue takes one of its executions back, told or not, perhaps once more."""
        told = [each.report for each in self.world.far.books.log if isinstance(each.report, Executed)]
        if told:
            taken = self.random.choice(told)
            await self.world.far.bust(taken.order_id, taken.execution_id)

    async def calm(self) -> None:
        """From now on all goes well."""
        self.world.far.faults = NONE
        world = self.world
        # A request that hangs is given up, what is unknown is asked for, what was missed is found.
        await world.pass_time(world.settings.venue_audit_seconds + 20)
        await world.eventually(self.settled)

    def settled(self) -> bool:
        engine = self.world.desk.standing
        if engine is None or self.world.state is not VenueState.AGREED:
            return False
        return not any(links.waiting(each) for each in engine.book.working(ACCOUNT))


def price(raw: int) -> str:
    return instrument("EURUSD").price_text(raw)


@pytest.mark.parametrize("seed", range(12))
async def test_after_the_storm_the_books_are_the_venues(tmp_path: Path, seed: int) -> None:
    world = VenueWorld(tmp_path, seed)
    await world.begin()
    storm = Storm(world, seed)
    await storm.run()
    await world.same_books()
    assert world.far.books.orders, f"seed {seed} traded nothing"
    # And trading goes on.
    await storm.tick()
    order = await world.buy("after the storm", "1000")
    await world.eventually(lambda: world.now(order).final)
    await world.same_books()
    await world.stop()
