"""Several instances of market data: one runs the feeds, and each answers as if it did."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import grpc
import pytest
from fxmesh.marketdata.v1 import market_pb2
from fxmesh.marketdata.v1 import service_pb2 as pb
from fxmesh.marketdata.v1.service_pb2_grpc import MarketDataServiceStub

from services.market_data.adapters.leader import LeaderPeer
from services.market_data.compose import compose
from services.market_data.config import Settings
from services.market_data.domain.replays import Replay
from services.runtime.mesh import Mesh, Service
from services.runtime.policy import service_policy
from services.runtime.process import Process
from services.runtime.settings import RuntimeSettings
from services.runtime.wiring import connect
from tests.kit.events import quiet_log
from tests.kit.nats import NatsServer, nats_server, shared_nats, until, until_async

__all__ = ["nats_server", "shared_nats"]

pytestmark = pytest.mark.integration

SYMBOLS = ("EURUSD", "USDJPY")
LINES = "".join(f"EUR/USD,20140501 00:{i:02d}:00.000,1.38600,1.38610\n" for i in range(50)).encode()


class Instance:
    """One process of market data, in this one."""

    def __init__(self, server: NatsServer, folder: Path) -> None:
        settings = Settings(symbols=SYMBOLS, ticks_per_second=5.0)
        runtime = RuntimeSettings(
            grpc_port=0, http_port=0, nats_url=server.url, data_dir=folder, identity="off"
        )

        def composed(mesh: Mesh) -> Service:
            self.mesh = mesh
            return compose(settings, mesh)

        policy = service_policy("fxmesh.marketdata.v1.MarketDataService")
        self.process = Process(policy, runtime, composed, connect, quiet_log())
        self.running = asyncio.create_task(self.process.run())

    async def started(self) -> None:
        await asyncio.wait_for(self.process.started.wait(), 30)
        self.channel = grpc.aio.insecure_channel(self.address)
        self.stub = MarketDataServiceStub(self.channel)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.process.grpc_port}"

    @property
    def leads(self) -> bool:
        return self.mesh.leadership.held

    async def stop(self) -> None:
        self.process.stop()
        await self.running
        await self.channel.close()

    async def sessions(self) -> list[market_pb2.FeedSession]:
        return list((await self.stub.ListFeedSessions(pb.ListFeedSessionsRequest())).sessions)

    async def quotes(self) -> dict[str, market_pb2.Quote]:
        answer = await self.stub.ListQuotes(pb.ListQuotesRequest())
        return {each.symbol: each for each in answer.quotes}

    async def replay(self, replay_id: str) -> market_pb2.Replay:
        return (await self.stub.GetReplay(pb.GetReplayRequest(replay_id=replay_id))).replay

    async def start_replay(self, replay_id: str) -> market_pb2.Replay:
        async def parts() -> AsyncIterator[pb.UploadTickFileRequest]:
            digest = hashlib.sha256(LINES).hexdigest()
            header = pb.UploadHeader(file_name="ticks.csv", size_bytes=len(LINES), sha256=digest)
            yield pb.UploadTickFileRequest(header=header)
            yield pb.UploadTickFileRequest(content=LINES)

        uploaded = await self.stub.UploadTickFile(parts())
        request = pb.StartReplayRequest(
            request_id=f"r-{replay_id}",
            file_id=uploaded.file_id,
            session_id=replay_id,
            pace=market_pb2.REPLAY_PACE_PACED,
            speed=60.0,
        )
        return (await self.stub.StartReplay(request)).replay


@asynccontextmanager
async def platform(server: NatsServer, folder: Path, count: int) -> AsyncIterator[list[Instance]]:
    """Instances that came up in turn, so the first one leads, and had prices before the next one came."""
    async with AsyncExitStack() as stack:
        found: list[Instance] = []
        for number in range(count):
            found.append(each := Instance(server, folder / str(number)))
            stack.push_async_callback(each.stop)
            await each.started()
            if not number:
                await until_async(partial(_quoted, each), set(SYMBOLS))
        yield found


async def _quoted(instance: Instance) -> set[str]:
    return set(await instance.quotes())


async def test_one_instance_feeds_and_all_answer_alike(nats_server: NatsServer, tmp_path: Path) -> None:
    async with platform(nats_server, tmp_path, 3) as instances:
        await until(lambda: sum(each.leads for each in instances) == 1)
        leader = next(each for each in instances if each.leads)
        followers = [each for each in instances if each is not leader]
        for each in followers:
            assert set(await each.quotes()) == set(SYMBOLS)  # from its first call on
            (session,) = await each.sessions()
            assert [session.session_id] == [s.session_id for s in await leader.sessions()]
            before = (await each.quotes())["EURUSD"].sequence

            async def moved(each: Instance = each, before: int = before) -> bool:
                return (await each.quotes())["EURUSD"].sequence > before + 3

            await until_async(moved, expected=True)

            async def equal(each: Instance = each) -> bool:
                mine, theirs = await asyncio.gather(each.quotes(), leader.quotes())
                return mine == theirs

            await until_async(equal, expected=True)
            books = await each.stub.ListOrderBooks(pb.ListOrderBooksRequest(symbol=["EURUSD"]))
            assert len(books.order_books[0].bids) == 10
            clocks = await each.stub.GetMarketClock(pb.GetMarketClockRequest(symbol="EURUSD"))
            assert clocks.clocks[0].speed == 1.0
            ours = await each.stub.GetInstrument(pb.GetInstrumentRequest(symbol="EURUSD"))
            assert ours == await leader.stub.GetInstrument(pb.GetInstrumentRequest(symbol="EURUSD"))


async def test_a_replay_is_started_watched_and_stopped_at_any_instance(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with platform(nats_server, tmp_path, 3) as (_, one, other):
        replay = await one.start_replay("anywhere")
        assert replay.state == market_pb2.REPLAY_STATE_RUNNING
        ticks = other.stub.StreamTicks(pb.StreamTicksRequest(symbol=["EURUSD"]))
        async for item in ticks:
            if item.batch.session_id == "anywhere":
                break
        ticks.cancel()

        async def quoted() -> str:
            return (await other.quotes())["EURUSD"].session_id

        await until_async(quoted, "anywhere")
        assert (await other.replay("anywhere")).ticks_published > 0
        stop = pb.ControlReplayRequest(request_id="c-1", replay_id="anywhere", action=pb.REPLAY_ACTION_STOP)
        await other.stub.ControlReplay(stop)
        async for answer in one.stub.StreamReplay(pb.StreamReplayRequest(replay_id="anywhere")):
            replay = answer.replay
        assert replay.state == market_pb2.REPLAY_STATE_STOPPED
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await one.replay("unknown")
        assert refused.value.code() == grpc.StatusCode.NOT_FOUND


async def test_when_the_leader_goes_another_one_feeds_and_ends_what_ran(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with platform(nats_server, tmp_path, 3) as (leader, *others):
        (before,) = await others[0].sessions()
        await leader.stop()
        await until(lambda: any(each.leads for each in others))
        new = next(each for each in others if each.leads)
        (follower,) = (each for each in others if each is not new)

        async def feeding() -> bool:
            newest = (await follower.sessions())[0]
            quote = (await follower.quotes())["EURUSD"]
            return newest.session_id != before.session_id and quote.session_id == newest.session_id

        await until_async(feeding, expected=True)
        assert [each.active for each in await follower.sessions()] == [True, False]

        async def alike() -> bool:  # but for ticks that came between the two questions
            return await follower.sessions() == await new.sessions()

        await until_async(alike, expected=True)


async def test_a_leader_that_slept_follows_the_one_that_took_over(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with platform(nats_server, tmp_path, 2) as (first, second):
        await first.start_replay("cut")
        stream = first.stub.StreamTicks(pb.StreamTicksRequest())
        await stream.read()

        async def heard_of() -> bool:  # answered by itself, where replays are asked of the leader
            return "cut" in [each.session_id for each in await second.sessions()]

        await until_async(heard_of, expected=True)
        await _take_lease(first, second)
        await until(lambda: second.leads)
        assert not first.leads

        async def told(each: Instance) -> tuple[str, int]:
            replay = await each.replay("cut")
            return replay.failure_reason, int(replay.state)

        for each in (first, second):
            await until_async(partial(told, each), ("INTERRUPTED", int(market_pb2.REPLAY_STATE_FAILED)))
        while await stream.read() is not grpc.aio.EOF:  # its readers are sent to the new leader
            pass

        async def alike() -> bool:
            return await first.sessions() == await second.sessions() and await first.quotes() == (
                await second.quotes()
            )

        await until_async(alike, expected=True)


async def test_a_replay_is_known_as_soon_as_its_session_is(
    nats_server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that takes over before it has read the leader's list still ends what the leader played."""
    list_of_replays = asyncio.Event()

    async def never(_: LeaderPeer) -> list[Replay]:
        await list_of_replays.wait()
        return []

    monkeypatch.setattr(LeaderPeer, "replays", never)
    async with platform(nats_server, tmp_path, 2) as (first, second):
        await first.start_replay("cut")

        async def heard_of() -> bool:
            return "cut" in [each.session_id for each in await second.sessions()]

        await until_async(heard_of, expected=True)
        await _take_lease(first, second)
        await until(lambda: second.leads)

        async def told() -> str:
            return (await second.replay("cut")).failure_reason

        await until_async(told, "INTERRUPTED")


async def _take_lease(first: Instance, second: Instance) -> None:
    """What the second instance does when it has seen the first one not renew."""
    lease = second.mesh.leadership
    bucket = await lease._open(await lease._link.session())  # type: ignore[attr-defined]
    while not second.leads and first.leads:
        held = await lease._read(bucket)  # type: ignore[attr-defined]
        await lease._take(bucket, held)  # type: ignore[attr-defined]
    await until(lambda: not first.leads)
