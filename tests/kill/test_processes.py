"""The real trading process is killed at every step between an order and its last event, while all trade; the
next goes on with its file, and no order, fill, posting or event is lost or doubled.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.kill.load import Load
from tests.kill.processes import Town
from tests.kit.nats import NatsServer, nats_server, shared_nats, until

__all__ = ["nats_server", "shared_nats"]
pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

CASES = (
    "call.received/PlaceOrder:4",
    "call.before_reply/PlaceOrder:4",
    "call.before_reply/CancelOrder",
    "event.received:2",
    "event.after_effect:2",
    "trading.applied/PlaceOrder:4",
    "trading.before_store/AmendOrder",
    "trading.journaled/Executed:2",
    "trading.rows_written/Executed:2",
    "trading.rows_written/DayRolled",
    "trading.events_written/PlaceOrder:4",
    "trading.events_written/SignalDecided",
    "store.before_commit:12",
    "store.after_commit:12",
    "trading.stored/Executed",
    "trading.stored/SetTradingState",
    "trading.stored/SetLimits",
    "trading.before_venue/Submit:3",
    "trading.after_venue/Submit:3",
    "trading.after_venue/Withdraw",
    "venue.heard/CashMoved",
    "trading.rows_written/CashMoved",
    "trading.stored/CashMoved",
    "venue.heard/Busted",
    "trading.rows_written/Busted",
    "trading.settled/PlaceOrder:3",
    "outbox.before_publish:5",
    "bus.between_events:2",
    "outbox.after_publish:5",
    "outbox.after_removal:5",
)
MOST = 100_000
"""Calls of a trader: he is told when it is enough."""
ORDERS = 5
"""Acknowledged, before that."""


@pytest.mark.parametrize("at", CASES)
async def test_killed_there_it_loses_and_doubles_nothing(
    tmp_path: Path, nats_server: NatsServer, at: str
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    # An event that was in the hands of a dead process comes again half a minute later.
    load = Load(seed, MOST, 0.02, signals="event" in at or "Signal" in at)
    async with Town(nats_server, tmp_path, load).open() as town:
        people = asyncio.gather(*(each() for each in load.people(town)))
        async with town.born(at) as dying:
            assert await dying.ended() == -9
        async with town.born() as living:
            await until(lambda: len(load.history.placed) >= ORDERS, seconds=120)
            load.enough = True
            await people
            await town.at_rest()
            assert await town.asked() == []
            living.terminate()
            assert await living.ended() == 0
        assert await town.judged() == []
