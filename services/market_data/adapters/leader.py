"""The instance that leads, reached over the mesh: what the mirror reads, and where calls are passed on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fxmesh.marketdata.v1 import service_pb2 as pb
from fxmesh.marketdata.v1.service_pb2_grpc import MarketDataServiceStub

from services.errors import FxError, Kind
from services.market_data.domain.history import TickMessage
from services.market_data.domain.quotes import OrderBook
from services.market_data.domain.replays import Replay
from services.market_data.domain.sessions import FeedSession
from services.market_data.ports import Leadership, Picture
from services.market_data.wire import answers
from services.runtime.health import Health
from services.runtime.ports import Channels

SERVICE = "fxmesh.marketdata.v1.MarketDataService"
DEPENDENCY = "leader"
PICTURES = 10
"""How often a picture is taken where ticks come meanwhile."""


def no_leader(detail: str) -> FxError:
    """Nobody leads at the moment: within seconds one of the instances will."""
    return FxError(Kind.UNAVAILABLE, "PEER_UNAVAILABLE", detail, retry_after_s=1.0)


class LeaderPeer:
    """`ports.Leader` at one address."""

    def __init__(self, stub: MarketDataServiceStub) -> None:
        self._stub = stub

    async def picture(self) -> Picture:
        """Sessions, clocks and quotes of one moment: no tick was counted while they were read. Of a feed that
        never pauses for so long they may be some ticks apart.
        """
        sessions, tries = await self.sessions(), 0
        while True:
            clocks = await self._stub.GetMarketClock(pb.GetMarketClockRequest())
            quotes = await self._stub.ListQuotes(pb.ListQuotesRequest())
            earlier, sessions, tries = sessions, await self.sessions(), tries + 1
            if sessions == earlier or tries == PICTURES:
                return Picture(
                    sessions,
                    [answers.market_clock(each) for each in clocks.clocks],
                    [answers.quote(each) for each in quotes.quotes],
                )

    async def sessions(self) -> list[FeedSession]:
        """All that it lists, in the order in which they started."""
        listed = await self._stub.ListFeedSessions(pb.ListFeedSessionsRequest())
        return [answers.session(each) for each in reversed(listed.sessions)]

    async def replays(self) -> list[Replay]:
        """All that it lists."""
        listed = await self._stub.ListReplays(pb.ListReplaysRequest())
        return [answers.replay(each) for each in listed.replays]

    async def ticks(self) -> AsyncIterator[TickMessage | FeedSession | None]:
        """Its tick stream from now on. FxError UNAVAILABLE when it ends."""
        async for message in self._stub.StreamTicks(pb.StreamTicksRequest()):
            yield answers.stream_item(message)
        raise no_leader("the leader ended its tick stream")

    async def books(self) -> AsyncIterator[OrderBook]:
        """Its order books. FxError UNAVAILABLE when they end."""
        async for message in self._stub.StreamOrderBooks(pb.StreamOrderBooksRequest()):
            if message.HasField("order_book"):
                yield answers.order_book(message.order_book)
        raise no_leader("the leader ended its order books")


class Leaders:
    """Stubs of whoever leads."""

    def __init__(self, channels: Channels, leadership: Leadership) -> None:
        self._channels = channels
        self._leadership = leadership
        self._stub: tuple[str, MarketDataServiceStub] | None = None

    def at(self, address: str) -> LeaderPeer:
        """The leader at an address."""
        return LeaderPeer(self._at(address))

    async def elsewhere(self, patience_s: float) -> MarketDataServiceStub | None:
        """The leader's stub, None when this process leads.

        Waits for a leader to be known; FxError UNAVAILABLE `PEER_UNAVAILABLE` after `patience_s`.
        """
        leadership = self._leadership
        if not self._leads() and not leadership.leader:
            try:
                async with asyncio.timeout(patience_s):
                    await leadership.until(lambda: self._leads() or bool(leadership.leader))
            except TimeoutError:
                raise no_leader("no instance of market_data leads at the moment") from None
        return None if self._leads() else self._at(leadership.leader)

    def _leads(self) -> bool:
        return self._leadership.term > 0

    async def changed(self) -> None:
        """Return once another one leads than now."""
        await another(self._leadership)

    def _at(self, address: str) -> MarketDataServiceStub:
        if self._stub is None or self._stub[0] != address:
            self._stub = address, MarketDataServiceStub(self._channels.at(SERVICE, address))
        return self._stub[1]


async def show_leader(leadership: Leadership, health: Health) -> None:
    """Background: tell in the process's health whom it follows, from the first time that it does."""
    await leadership.until(lambda: not leadership.term)
    health.starting(DEPENDENCY, "no instance leads yet", required=False)
    while True:
        if leadership.term:
            health.up(DEPENDENCY, "this instance leads")
        elif leadership.leader:
            health.up(DEPENDENCY, f"follows {leadership.leader}")
        else:
            health.down(DEPENDENCY, "no instance leads")
        await another(leadership)


async def another(leadership: Leadership) -> None:
    """Return once another one leads than now, or the same one anew."""
    seen = leadership.term, leadership.leader
    await leadership.until(lambda: (leadership.term, leadership.leader) != seen)
