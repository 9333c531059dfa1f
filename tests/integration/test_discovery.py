"""Three instances of market data under steady calls: killed, stopped, frozen, joined by new ones.

Real processes and a caller with all that a client of the mesh has. Times are taken inside the processes that
they are about: when the caller learnt or was answered, and when an instance says that it began to serve.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fxmesh.marketdata.v1 import service_pb2 as pb
from fxmesh.marketdata.v1.service_pb2_grpc import MarketDataServiceStub
from fxmesh.trading.v1 import service_pb2 as trading
from fxmesh.trading.v1.service_pb2_grpc import TradingServiceStub
from prometheus_client import CollectorRegistry

from interceptors.plan import Place
from interceptors.standard import client_concerns
from services.errors import FxError
from services.runtime.ids import CountedIds
from tests.kit.instances import NAMES, Caller, Instance, calling
from tests.kit.nats import NatsServer, own_nats, until, until_async

__all__ = ["own_nats"]

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

SERVICE = "market_data"
PROMISED_S = 5.0
"""Within this the dead leave rotation, the new get traffic, and prices go on."""
PATIENCE_S = 60.0
"""How long a test waits for what it then judges by the time it was noted at."""


@dataclass
class Platform:
    """Instances of market data and somebody who calls them."""

    server: NatsServer
    folder: Path
    caller: Caller
    stack: AsyncExitStack
    instances: list[Instance] = field(default_factory=list)
    number: int = 0

    def start(self, name: str = SERVICE) -> Instance:
        self.number += 1
        feed = {"FXMESH_MARKET_DATA_SYMBOLS": "EURUSD,USDJPY", "FXMESH_MARKET_DATA_TICKS_PER_SECOND": "5"}
        told = feed if name == SERVICE else {}
        told["FXMESH_ADMISSION"] = "false"  # what a busy machine sheds says nothing of who is in rotation
        made = Instance(self.server, name, self.folder / f"{name}-{self.number}", **told)
        self.stack.callback(made.end)
        if name == SERVICE:
            self.instances.append(made)
        return made

    async def roles(self) -> tuple[Instance, list[Instance]]:
        """The leader and the others."""
        leads = [await each.leads() for each in self.instances]
        assert leads.count(True) == 1
        leader = self.instances[leads.index(True)]
        return leader, [each for each in self.instances if each is not leader]

    async def in_rotation(self, *expected: Instance) -> None:
        """Return once the caller's rotation is these."""
        wanted = {each.address for each in expected}
        await until(lambda: set(self.caller.addresses(SERVICE)) == wanted, PATIENCE_S)

    async def left(self, gone: Instance, since: float) -> float:
        """Seconds from then until an instance was out of the caller's rotation."""
        return await after(since, lambda: self.caller.left.get(gone.address, 0.0))

    async def joined(self, back: Instance, since: float) -> float:
        """Seconds from then until an instance was in the caller's rotation."""
        return await after(since, lambda: self.caller.joined.get(back.address, 0.0))

    async def answered(self, new: Instance) -> float:
        """Seconds from when an instance announced itself until it had answered a call."""
        await until(lambda: new.address in self.caller.first_answered, PATIENCE_S)
        (announced,) = (each for each in self.caller.registry.instances() if each.grpc_address == new.address)
        return self.caller.first_answered[new.address] - announced.started_ns / 1e9

    async def session(self, timeout_s: float | None = None) -> str:
        """The session that a quote belongs to, asked as any client asks; or with more patience."""
        stub = self.caller.stub(MarketDataServiceStub, SERVICE)
        await stub.ListInstruments(pb.ListInstrumentsRequest(), timeout=timeout_s)
        answer = await stub.ListQuotes(pb.ListQuotesRequest(symbol=["EURUSD"]), timeout=timeout_s)
        return str(answer.quotes[0].session_id)

    async def patient(self) -> str:
        """The same, for who asks whether a call fails: a slow machine shall not be why."""
        return await self.session(timeout_s=30)


async def after(since: float, noted: Callable[[], float]) -> float:
    """Seconds from `since` until the time that is noted once it has happened."""
    await until(lambda: noted() > since, PATIENCE_S)
    return noted() - since


@asynccontextmanager
async def platform(server: NatsServer, folder: Path, count: int) -> AsyncIterator[Platform]:
    async with calling(server) as caller, AsyncExitStack() as stack:
        made = Platform(server, folder, caller, stack)
        for _ in range(count):
            made.start()
        await asyncio.gather(*(each.ready() for each in made.instances))
        await made.in_rotation(*made.instances)
        for each in made.instances:
            stub = MarketDataServiceStub(caller.channels.at(NAMES[SERVICE], each.address))
            await until_async(partial(_quoted, stub), 2)
        yield made


async def _quoted(stub: Any) -> int:
    return len((await stub.ListQuotes(pb.ListQuotesRequest())).quotes)


RETRIES = Place.RETRY in client_concerns(CountedIds("asked"), CollectorRegistry())
"""What lets an instance die unfelt: the call is made again on another one."""


def no_call_failed(caller: Caller) -> None:
    assert caller.answered.total() > 0
    if RETRIES:
        assert caller.failed == []


async def test_a_killed_follower_is_not_felt_and_a_new_instance_gets_its_share(
    own_nats: NatsServer, tmp_path: Path
) -> None:
    async with platform(own_nats, tmp_path, 3) as made:
        leader, (killed, left) = await made.roles()
        async with made.caller.load(made.patient):
            await made.caller.answers()
            at = killed.signal(signal.SIGKILL)
            assert await made.left(killed, at) < PROMISED_S
            assert set(made.caller.addresses(SERVICE)) == {leader.address, left.address}
            await made.caller.answers()
            new = made.start()
            await new.ready()
            assert await made.answered(new) < PROMISED_S
            assert await new.metric("grpc_server_handled_total", grpc_method="ListQuotes", grpc_code="OK") > 0
        no_call_failed(made.caller)
        assert len(made.caller.answered) == 1  # one session all the while


async def test_a_killed_leader_is_not_felt_and_prices_go_on(own_nats: NatsServer, tmp_path: Path) -> None:
    async with platform(own_nats, tmp_path, 3) as made:
        leader, others = await made.roles()
        before = await made.session()
        async with made.caller.load(made.patient):
            await made.caller.answers()
            killed = leader.signal(signal.SIGKILL)
            assert await after(killed, lambda: max(made.caller.first_had.values())) < PROMISED_S
            assert await made.left(leader, killed) < PROMISED_S
            await made.in_rotation(*others)
            await made.caller.answers()
        no_call_failed(made.caller)
        made.instances.remove(leader)
        new, (follower,) = await made.roles()
        sessions = await made.caller.stub(MarketDataServiceStub, SERVICE).ListFeedSessions(
            pb.ListFeedSessionsRequest()
        )
        assert [each.active for each in sessions.sessions] == [True, False]
        assert sessions.sessions[1].session_id == before
        assert await new.metric("fxmesh_leadership_changes_total") == 2
        assert await follower.metric("fxmesh_registry_lease_expired_total") == 1


async def test_trading_reads_on_from_another_instance(own_nats: NatsServer, tmp_path: Path) -> None:
    async with platform(own_nats, tmp_path, 3) as made:
        await made.start("trading_gateway").ready()
        leader, _ = await made.roles()
        stub = made.caller.stub(TradingServiceStub, "trading_gateway")

        async def read() -> int:
            """Ticks that trading has read of the session that quotes belong to now."""
            asked = trading.GetSessionProgressRequest(session_id=await made.session())
            with suppress(FxError):  # not heard of yet
                feeds = (await stub.GetSessionProgress(asked)).feeds
                return sum(each.sequence for each in feeds if not each.session_ended)
            return 0

        async def reading() -> bool:
            return await read() > 20

        await until_async(reading, expected=True)
        before = await made.session()
        killed = leader.signal(signal.SIGKILL)

        async def moved() -> bool:
            with suppress(FxError):
                return await made.session() != before and await read() > 0
            return False

        await until_async(moved, expected=True)
        assert time.time() - killed < 2 * PROMISED_S  # prices go on, then trading hears of it
        ended = (await stub.GetSessionProgress(trading.GetSessionProgressRequest(session_id=before))).feeds
        assert all(each.session_ended for each in ended)


async def test_instances_stopped_in_good_order_under_load_fail_no_call(
    own_nats: NatsServer, tmp_path: Path
) -> None:
    async with platform(own_nats, tmp_path, 3) as made:
        leader, (stopped, left) = await made.roles()
        async with made.caller.load(made.patient, width=16):
            await made.caller.answers(100)
            stopped.signal(signal.SIGTERM)
            await made.in_rotation(leader, left)
            assert await stopped.ended() == 0
            await made.caller.answers(100)
            leader.signal(signal.SIGTERM)
            await made.in_rotation(left)
            assert await leader.ended() == 0
            await until(lambda: len(made.caller.answered) == 2)
            await made.caller.answers(100)
        assert made.caller.failed == []


async def test_a_frozen_follower_leaves_rotation_and_comes_back(own_nats: NatsServer, tmp_path: Path) -> None:
    async with platform(own_nats, tmp_path, 2) as made:
        leader, (frozen,) = await made.roles()
        async with made.caller.load(made.session):
            stopped = frozen.signal(signal.SIGSTOP)
            assert await made.left(frozen, stopped) < PROMISED_S
            await until(lambda: time.time() - stopped > 10)
            await made.caller.answers()
            woken = frozen.signal(signal.SIGCONT)
            assert await made.joined(frozen, woken) < PROMISED_S
        assert await leader.leads()
        assert not await frozen.leads()
        assert len(made.caller.answered) == 1


async def test_a_leader_that_wakes_up_after_it_was_replaced_follows(
    own_nats: NatsServer, tmp_path: Path
) -> None:
    async with platform(own_nats, tmp_path, 2) as made:
        frozen, (other,) = await made.roles()
        before = await made.session()
        stopped = frozen.signal(signal.SIGSTOP)
        assert await after(stopped, lambda: other.logged("leadership.taken")) < PROMISED_S
        await until(lambda: time.time() - stopped > 10)
        frozen.signal(signal.SIGCONT)
        await made.in_rotation(frozen, other)
        await until_async(frozen.leads, expected=False)
        assert await other.leads()
        async with made.caller.load(made.session):
            await made.caller.answers(40)
            made.caller.answered.clear()
            await made.caller.answers(40)
        assert before not in made.caller.answered
        assert len(made.caller.answered) == 1


async def test_a_restart_of_nats_changes_neither_rotation_nor_session(
    own_nats: NatsServer, tmp_path: Path
) -> None:
    async with platform(own_nats, tmp_path, 3) as made:
        leader, _ = await made.roles()
        async with made.caller.load(made.patient):
            await made.caller.answers()
            own_nats.kill()
            down = time.monotonic()
            await until(lambda: time.monotonic() - down > 4)
            assert len(made.caller.addresses(SERVICE)) == 3
            own_nats.start()
            await until_async(leader.leads, expected=True)
            await made.caller.answers(40)
            assert len(made.caller.addresses(SERVICE)) == 3
        assert made.caller.failed == []
        assert len(made.caller.answered) == 1
