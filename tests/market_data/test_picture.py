"""What a follower loads of the leader is of one moment: its counts and its quotes belong together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fxmesh.marketdata.v1 import market_pb2
from fxmesh.marketdata.v1 import service_pb2 as pb

from services.market_data.adapters.leader import PICTURES, LeaderPeer
from services.market_data.ports import Picture

SYMBOLS = ["EURUSD"]


class Ticking:
    """The answers of a leader that counts one more tick before each of its first `moves` lists of quotes."""

    def __init__(self, moves: int) -> None:
        self.ticks = 5
        self._moves: Iterator[int] = iter(range(moves))

    async def ListFeedSessions(self, _: Any) -> pb.ListFeedSessionsResponse:  # noqa: N802
        kind = market_pb2.FEED_KIND_SYNTHETIC
        session = market_pb2.FeedSession(session_id="s", kind=kind, symbols=SYMBOLS, active=True)
        session.ticks = self.ticks
        return pb.ListFeedSessionsResponse(sessions=[session])

    async def GetMarketClock(self, _: Any) -> pb.GetMarketClockResponse:  # noqa: N802
        return pb.GetMarketClockResponse()

    async def ListQuotes(self, _: Any) -> pb.ListQuotesResponse:  # noqa: N802
        self.ticks += next(self._moves, None) is not None
        good = market_pb2.QUOTE_QUALITY_GOOD
        quote = market_pb2.Quote(symbol="EURUSD", session_id="s", bid="1.1", ask="1.2", quality=good)
        quote.sequence = self.ticks
        return pb.ListQuotesResponse(quotes=[quote])


async def taken(leader: Ticking) -> Picture:
    stub: Any = leader
    return await LeaderPeer(stub).picture()


async def test_a_tick_that_comes_while_a_picture_is_taken_is_in_its_counts_and_its_quotes() -> None:
    for moves in (0, 1, 3):
        picture = await taken(Ticking(moves))
        assert picture.sessions[0].ticks == picture.quotes[0].sequence == 5 + moves


async def test_a_feed_that_never_pauses_is_followed_all_the_same() -> None:
    leader = Ticking(10 * PICTURES)
    picture = await taken(leader)
    assert picture.sessions[0].ticks == leader.ticks == 5 + PICTURES
