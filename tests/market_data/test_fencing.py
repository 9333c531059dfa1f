"""An instance whose lease has lapsed publishes nothing, whatever runs in it."""

import asyncio
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from services.market_data.adapters.sessions import FolderSessions
from services.market_data.handlers import Feed, run_synthetic
from services.runtime.clock import WallClock
from services.runtime.memory_leadership import SoleLeadership
from tests.kit.events import quiet_log
from tests.kit.nats import until
from tests.market_data.conftest import RecordingPublisher


async def test_ticks_wait_while_the_lease_is_not_held_and_none_is_lost(tmp_path: Path) -> None:
    publisher, clock, lease = RecordingPublisher(), WallClock(), SoleLeadership()
    feed = Feed(publisher, clock, 1_000, lease)
    records = FolderSessions(tmp_path, quiet_log())
    work = [
        asyncio.create_task(run_synthetic(feed, records, clock, "s-1", ("EURUSD",), 1, 100.0, 0.01)),
        asyncio.create_task(feed.publish_updates()),
    ]
    await until(lambda: publisher.messages and publisher.quotes)
    lease.held = False
    await asyncio.sleep(0)  # what was being published is published
    ticks = len(publisher.messages)
    waited = asyncio.create_task(clock.sleep(0.8))
    seen = 0
    while not waited.done():
        seen = max(seen, len(publisher.messages))
        await asyncio.sleep(0.01)
    assert seen <= ticks + 1
    quotes = len(publisher.quotes)
    lease.held = True
    await until(lambda: len(publisher.messages) > ticks + 3 and len(publisher.quotes) > quotes)
    for task in work:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    batches = [each.batch for each in publisher.messages]
    assert all(b.first_sequence == a.last_sequence + 1 for a, b in pairwise(batches))
