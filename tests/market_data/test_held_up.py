"""A feed whose prices the bus does not take is silent: nobody is to take it for a quiet market."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

import pytest

from services.errors import FxError, Kind
from services.market.clock import MarketClock
from services.market.ticks import TickBatch
from services.market_data.domain.history import TickMessage
from services.market_data.domain.sessions import FeedKind, FeedSession
from services.market_data.handlers import Feed, Prices
from services.market_data.handlers.feed import HELD_UP_S
from services.runtime.clock import WallClock
from services.runtime.memory_leadership import SoleLeadership
from tests.kit.nats import until
from tests.market_data.conftest import RecordingPublisher

START_NS = 1_400_000_000 * 10**9


class Away(RecordingPublisher):
    """Its bus can be away."""

    away = False

    async def ticks(self, messages: Sequence[TickMessage]) -> None:
        if self.away:
            raise FxError(Kind.UNAVAILABLE, "BUS_UNAVAILABLE", "the bus is away")
        await super().ticks(messages)


def tick(sequence: int) -> TickMessage:
    time_ns = START_NS + sequence
    batch = TickBatch("s-1", "EURUSD", sequence, 5, [time_ns], [110_000], [110_010], (), ())
    return TickMessage(batch, MarketClock("s-1", time_ns, 1.0, sequence))


@pytest.mark.parametrize("stream", ["ticks", "quotes", "books"])
async def test_a_heartbeat_means_that_prices_flow(stream: str) -> None:
    publisher = Away()
    feed = Feed(publisher, WallClock(), 1_000, SoleLeadership())
    feed.begin(FeedSession("s-1", FeedKind.SYNTHETIC, ("EURUSD",), START_NS, speed=1.0, always_open=True))
    prices = Prices(feed, WallClock())
    items: dict[str, AsyncIterator[object]] = {
        "ticks": feed.stream_ticks(frozenset(), ()),
        "quotes": prices.stream_quotes(()),
        "books": prices.stream_books(()),
    }
    beats: list[float] = []

    def hear(item: object) -> None:
        if item is None:
            beats.append(time.monotonic())

    async def listen() -> None:
        async for item in items[stream]:
            hear(item)

    listening = asyncio.create_task(listen())
    await feed.ingest([tick(1)])
    await until(lambda: beats)  # a quiet market

    publisher.away = True
    since = time.monotonic()
    held_up = asyncio.create_task(feed.ingest([tick(2)]))
    await until(lambda: not feed.flows())
    silent = time.monotonic()
    assert silent - since >= HELD_UP_S
    await until(lambda: time.monotonic() > silent + 2 * HELD_UP_S)
    assert [each for each in beats if each > silent] == []

    publisher.away = False
    await held_up
    assert feed.flows()
    again = time.monotonic()
    await until(lambda: beats[-1] > again)
    listening.cancel()
    with suppress(asyncio.CancelledError):
        await listening
