"""SubscribeQuotes on a real server: symbols that change, silence, and what is wrong with a request."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from fxmesh.marketdata.v1 import service_pb2 as pb
from fxmesh.marketdata.v1.service_pb2_grpc import (
    MarketDataServiceStub,
    add_MarketDataServiceServicer_to_server,
)
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry

from interceptors.standard import server_concerns
from services.market.clock import MarketClock
from services.market.ticks import TickBatch
from services.market_data.domain.history import TickMessage
from services.market_data.domain.sessions import FeedKind, FeedSession
from services.market_data.servicer import MarketDataServicer
from services.runtime.channels import static_channels
from services.runtime.clock import WallClock
from services.runtime.health import Health
from services.runtime.ids import CountedIds
from services.runtime.leaders import Leaders
from services.runtime.memory_leadership import SoleLeadership
from services.runtime.policy import service_policy
from services.runtime.serve import MeshServer
from tests.market_data.conftest import Desk

PATH = "/fxmesh.marketdata.v1.MarketDataService/SubscribeQuotes"
START_NS = 1_400_000_000 * 10**9
SYMBOLS = ("EURUSD", "USDJPY")


def bytes_of(*symbols: str) -> bytes:
    return pb.SubscribeQuotesRequest(symbol=symbols).SerializeToString()


BAD = {
    "a bad symbol": (bytes_of("bad"), "VALIDATION_FAILED", ["symbol[0]"]),
    "an unknown symbol": (bytes_of("XXXYYY"), "UNKNOWN_SYMBOL", ["symbol"]),
    "bytes that do not parse": (b"\xff\xff\xff", "MALFORMED_REQUEST", []),
    "bad UTF-8": (b"\x0a\x06\xff\xfe\xfd\xfc\xfb\xfa", "MALFORMED_REQUEST", []),
    "too large": (b"\x0a\x06EURUSD" * 64 * 1024, "REQUEST_TOO_LARGE", []),
}


class Conversation:
    """A call as any client makes it, bytes out and messages in."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        method: Any = channel.stream_stream(PATH, None, pb.SubscribeQuotesResponse.FromString)
        self.call = method(timeout=20)

    async def ask(self, *symbols: str) -> None:
        await self.call.write(bytes_of(*symbols))

    async def quoted(self) -> str:
        """The symbol of the next quote, heartbeats left out."""
        while True:
            answer = await self.call.read()
            assert answer is not grpc.aio.EOF
            if answer.HasField("quote"):
                return str(answer.quote.symbol)

    async def rest(self) -> None:
        """Read to the end."""
        while await self.call.read() is not grpc.aio.EOF:
            pass


@asynccontextmanager
async def served(desk: Desk) -> AsyncIterator[grpc.aio.Channel]:
    clock = WallClock()
    leaders = Leaders(
        service_policy("fxmesh.marketdata.v1.MarketDataService"),
        static_channels({}, {}),
        SoleLeadership(),
        MarketDataServiceStub,
    )
    servicer = MarketDataServicer(desk.feed, desk.prices, desk.replays, desk.uploads, clock, leaders)
    concerns = server_concerns(CountedIds("server"), CollectorRegistry())
    server = MeshServer("127.0.0.1", 0, concerns, Health())
    server.add(add_MarketDataServiceServicer_to_server, servicer)
    await server.start()
    desk.feed.begin(FeedSession("live", FeedKind.SYNTHETIC, SYMBOLS, 0, 1.0, always_open=True))
    try:
        async with grpc.aio.insecure_channel(
            f"127.0.0.1:{server.port}", (("grpc.max_send_message_length", -1),)
        ) as channel:
            yield channel
    finally:
        await server.close()


async def tick(desk: Desk, symbol: str, sequence: int) -> None:
    batch = TickBatch("live", symbol, sequence, 5, [START_NS + sequence], [138_600], [138_610])
    await desk.feed.ingest([TickMessage(batch, MarketClock("live", START_NS + sequence, 1.0, sequence))])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is watched has no event
            await asyncio.sleep(0.01)


async def test_each_request_replaces_the_symbols_and_an_empty_one_pauses(desk: Desk) -> None:
    async with served(desk) as channel:
        for symbol in SYMBOLS:
            await tick(desk, symbol, 1)
        talk = Conversation(channel)
        await talk.ask("EURUSD")
        assert await talk.quoted() == "EURUSD"
        await talk.ask("USDJPY")
        assert await talk.quoted() == "USDJPY"
        assert len(desk.feed.quotes) == 1  # the subscription replaced is closed, not left to gather
        await tick(desk, "EURUSD", 2)
        await tick(desk, "USDJPY", 2)
        assert await talk.quoted() == "USDJPY"
        await talk.ask()
        await until(lambda: len(desk.feed.quotes) == 0)
        await talk.ask("EURUSD", "USDJPY")
        assert {await talk.quoted(), await talk.quoted()} == set(SYMBOLS)


async def test_silence_is_a_heartbeat_and_half_closing_ends_the_call(desk: Desk) -> None:
    async with served(desk) as channel:
        talk = Conversation(channel)
        await talk.ask("EURUSD")
        answer = await talk.call.read()
        assert (answer.WhichOneof("content"), answer.stream_sequence) == ("heartbeat", 1)
        await talk.call.done_writing()
        await talk.rest()
        assert await talk.call.code() is grpc.StatusCode.OK
        await until(lambda: len(desk.feed.quotes) == 0)


async def test_a_cancelled_call_leaves_nothing_behind(desk: Desk) -> None:
    async with served(desk) as channel:
        await tick(desk, "EURUSD", 1)
        tasks = len(asyncio.all_tasks())
        talk = Conversation(channel)
        await talk.ask("EURUSD")
        await talk.quoted()
        assert len(desk.feed.quotes) == 1
        talk.call.cancel()
        await until(lambda: len(desk.feed.quotes) == 0)
        del talk
        await until(lambda: len(asyncio.all_tasks()) <= tasks)


@pytest.mark.parametrize("before", [[], [bytes_of("EURUSD")]], ids=["at once", "after a good one"])
@pytest.mark.parametrize("half_closes", [False, True], ids=["open", "half-closed"])
@pytest.mark.parametrize("wrong", BAD)
async def test_what_is_wrong_with_a_request_is_answered_at_once(
    desk: Desk, wrong: str, before: list[bytes], half_closes: bool
) -> None:
    data, reason, fields = BAD[wrong]
    async with served(desk) as channel, asyncio.timeout(5):
        await tick(desk, "EURUSD", 1)
        talk = Conversation(channel)
        for each in before:
            await talk.call.write(each)
            await talk.quoted()
        await talk.call.write(data)
        if half_closes:
            await talk.call.done_writing()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await talk.rest()
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert _said(caught.value) == (reason, fields)
        await until(lambda: len(desk.feed.quotes) == 0)


def _said(failure: grpc.aio.AioRpcError) -> tuple[str, list[str]]:
    """Reason and the fields at fault."""
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    status: Any = rpc_status.from_call(failure)  # type: ignore[arg-type]
    for detail in status.details:
        detail.Unpack(info) or detail.Unpack(bad)
    return info.reason, [each.field for each in bad.field_violations]
