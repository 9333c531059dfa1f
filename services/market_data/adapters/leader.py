"""What the mirror reads of the instance that leads."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fxmesh.marketdata.v1 import service_pb2 as pb
from fxmesh.marketdata.v1.service_pb2_grpc import MarketDataServiceStub

from services.market_data.domain.history import TickMessage
from services.market_data.domain.quotes import OrderBook
from services.market_data.domain.replays import Replay
from services.market_data.domain.sessions import FeedSession
from services.market_data.ports import Picture
from services.market_data.wire import answers
from services.runtime.leaders import Leaders, no_leader
from services.runtime.mesh import Mesh

PICTURES = 10
"""How often a picture is taken where ticks come meanwhile."""


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


def leaders_of(mesh: Mesh) -> Leaders[MarketDataServiceStub]:
    """The instances of this service that may lead it."""
    return Leaders(mesh.service, mesh.channels, mesh.leadership, MarketDataServiceStub)
