"""MarketDataService: decode, call the handler, encode."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from fxmesh.marketdata.v1 import service_pb2 as pb
from fxmesh.marketdata.v1 import service_pb2_grpc
from google.protobuf.timestamp_pb2 import Timestamp
from typing_extensions import override

from services.market_data import wire
from services.market_data.handlers import Feed, Prices, Replays, Uploads, follow
from services.market_data.ports import Clock
from services.runtime.leaders import Leaders
from services.runtime.passing import answered_by_leader, read_from_leader, streamed_by_leader

Context = grpc.aio.ServicerContext[Any, Any]


class MarketDataServicer(service_pb2_grpc.MarketDataServiceServicer):
    """The gRPC face of the handlers."""

    def __init__(
        self,
        feed: Feed,
        prices: Prices,
        replays: Replays,
        uploads: Uploads,
        clock: Clock,
        leaders: Leaders[service_pb2_grpc.MarketDataServiceStub],
    ) -> None:
        self.leaders = leaders
        self._feed = feed
        self._prices = prices
        self._replays = replays
        self._uploads = uploads
        self._clock = clock

    @override
    async def ListInstruments(
        self, request: pb.ListInstrumentsRequest, context: Context
    ) -> pb.ListInstrumentsResponse:
        states = await self._prices.instruments()
        return pb.ListInstrumentsResponse(instruments=[wire.instrument_state(each) for each in states])

    @override
    async def GetInstrument(
        self, request: pb.GetInstrumentRequest, context: Context
    ) -> pb.GetInstrumentResponse:
        state = await self._prices.instrument(request.symbol)
        return pb.GetInstrumentResponse(instrument=wire.instrument_state(state))

    @override
    async def ListQuotes(self, request: pb.ListQuotesRequest, context: Context) -> pb.ListQuotesResponse:
        quotes = await self._prices.quotes(request.symbol)
        return pb.ListQuotesResponse(quotes=[wire.quote(each) for each in quotes])

    @override
    async def StreamQuotes(
        self, request: pb.StreamQuotesRequest, context: Context
    ) -> AsyncIterator[pb.StreamQuotesResponse]:
        number = 0
        async for quote in self._prices.stream_quotes(request.symbol):
            number += 1
            content = {"heartbeat": self._heartbeat()} if quote is None else {"quote": wire.quote(quote)}
            yield pb.StreamQuotesResponse(stream_sequence=number, **content)

    @override
    async def SubscribeQuotes(
        self, requests: AsyncIterator[pb.SubscribeQuotesRequest], context: Context
    ) -> AsyncIterator[pb.SubscribeQuotesResponse]:
        number = 0
        async for quote in follow(_symbols(requests), self._prices.stream_quotes):
            number += 1
            content = {"heartbeat": self._heartbeat()} if quote is None else {"quote": wire.quote(quote)}
            yield pb.SubscribeQuotesResponse(stream_sequence=number, **content)

    @override
    async def ListOrderBooks(
        self, request: pb.ListOrderBooksRequest, context: Context
    ) -> pb.ListOrderBooksResponse:
        books = await self._prices.books(request.symbol)
        return pb.ListOrderBooksResponse(order_books=[wire.order_book(each, request.depth) for each in books])

    @override
    async def StreamOrderBooks(
        self, request: pb.StreamOrderBooksRequest, context: Context
    ) -> AsyncIterator[pb.StreamOrderBooksResponse]:
        number = 0
        async for book in self._prices.stream_books(request.symbol):
            number += 1
            beat, depth = self._heartbeat(), request.depth
            content = {"heartbeat": beat} if book is None else {"order_book": wire.order_book(book, depth)}
            yield pb.StreamOrderBooksResponse(stream_sequence=number, **content)

    @override
    @streamed_by_leader
    async def StreamTicks(
        self, request: pb.StreamTicksRequest, context: Context
    ) -> AsyncIterator[pb.StreamTicksResponse]:
        resume = [(each.session_id, each.symbol, each.after_sequence) for each in request.resume_from]
        number = 0
        async for item in self._feed.stream_ticks(frozenset(request.symbol), resume):
            number += 1
            yield wire.stream_item(number, item, self._clock.now_ns())

    @override
    async def GetMarketClock(
        self, request: pb.GetMarketClockRequest, context: Context
    ) -> pb.GetMarketClockResponse:
        clocks = await self._prices.clocks(request.symbol)
        return pb.GetMarketClockResponse(clocks=[wire.clock(each) for each in clocks])

    @override
    async def StreamMarketClock(
        self, request: pb.StreamMarketClockRequest, context: Context
    ) -> AsyncIterator[pb.StreamMarketClockResponse]:
        async for clocks in self._prices.stream_clocks():
            yield pb.StreamMarketClockResponse(clocks=[wire.clock(each) for each in clocks])

    @override
    async def ListFeedSessions(
        self, request: pb.ListFeedSessionsRequest, context: Context
    ) -> pb.ListFeedSessionsResponse:
        sessions = await self._prices.sessions(active_only=request.active_only)
        return pb.ListFeedSessionsResponse(sessions=[wire.feed_session(each) for each in sessions])

    @override
    @answered_by_leader
    async def UploadTickFile(
        self, requests: AsyncIterator[pb.UploadTickFileRequest], context: Context
    ) -> pb.UploadTickFileResponse:
        parts = (wire.upload_part(each) async for each in requests)
        file = await self._uploads.upload(parts)
        return pb.UploadTickFileResponse(
            file_id=file.file_id, bytes=file.bytes, format=file.format, symbol=file.symbol
        )

    @override
    @answered_by_leader
    async def StartReplay(self, request: pb.StartReplayRequest, context: Context) -> pb.StartReplayResponse:
        replay = await self._replays.start(wire.start_replay(request))
        return pb.StartReplayResponse(replay=wire.replay(replay))

    @override
    @read_from_leader
    async def GetReplay(self, request: pb.GetReplayRequest, context: Context) -> pb.GetReplayResponse:
        return pb.GetReplayResponse(replay=wire.replay(await self._replays.get(request.replay_id)))

    @override
    @read_from_leader
    async def ListReplays(self, request: pb.ListReplaysRequest, context: Context) -> pb.ListReplaysResponse:
        return pb.ListReplaysResponse(replays=[wire.replay(each) for each in await self._replays.list()])

    @override
    @streamed_by_leader
    async def StreamReplay(
        self, request: pb.StreamReplayRequest, context: Context
    ) -> AsyncIterator[pb.StreamReplayResponse]:
        async for replay in self._replays.stream(request.replay_id):
            yield pb.StreamReplayResponse(replay=wire.replay(replay))

    @override
    @answered_by_leader
    async def ControlReplay(
        self, request: pb.ControlReplayRequest, context: Context
    ) -> pb.ControlReplayResponse:
        key, replay_id = request.request_id, request.replay_id
        if request.action == pb.REPLAY_ACTION_SET_SPEED:
            replay = await self._replays.set_speed(key, replay_id, request.speed)
        elif request.action == pb.REPLAY_ACTION_PAUSE:
            replay = await self._replays.pause(key, replay_id)
        elif request.action == pb.REPLAY_ACTION_RESUME:
            replay = await self._replays.resume(key, replay_id)
        else:
            replay = await self._replays.stop(key, replay_id)
        return pb.ControlReplayResponse(replay=wire.replay(replay))

    @override
    @answered_by_leader
    async def AcknowledgeTicks(
        self, request: pb.AcknowledgeTicksRequest, context: Context
    ) -> pb.AcknowledgeTicksResponse:
        await self._replays.acknowledge(
            request.session_id,
            request.symbol,
            request.consumer,
            request.sequence,
            request.signal_count,
            ended=request.session_ended,
        )
        return pb.AcknowledgeTicksResponse()

    def _heartbeat(self) -> pb.Heartbeat:
        now_ns = self._clock.now_ns()
        return pb.Heartbeat(time=Timestamp(seconds=now_ns // 10**9, nanos=now_ns % 10**9))


async def _symbols(requests: AsyncIterator[pb.SubscribeQuotesRequest]) -> AsyncIterator[list[str]]:
    async for request in requests:
        yield list(request.symbol)
