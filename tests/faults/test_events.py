"""Processes that publish and consume are killed at the worst moments, and NATS under them: every acknowledged
order is consumed in the order of its key, with exactly one effect.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.echo import SERVICE, service_pb2_grpc
from tests.fakes.echo.service import Request
from tests.kit.event_process import effects
from tests.kit.nats import NatsServer, nats_server, own_nats, shared_nats, until
from tests.kit.order_flow import CONSUMER, OrderFlow
from tests.kit.service_process import calling

__all__ = ["nats_server", "own_nats", "shared_nats"]
pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture
def flow(tmp_path: Path, nats_server: NatsServer) -> OrderFlow:
    return OrderFlow(tmp_path, nats_server)


@pytest.fixture
def own_flow(tmp_path: Path, own_nats: NatsServer) -> OrderFlow:
    return OrderFlow(tmp_path, own_nats)


@pytest.mark.parametrize("time", [1, 4])
async def test_a_crash_between_effect_and_acknowledgement_doubles_nothing(flow: OrderFlow, time: int) -> None:
    async with flow.publisher() as publisher:
        async with flow.consumer(FXMESH_CRASH_AT=f"event.after_effect/OrderPlaced:{time}") as dying:
            await flow.place(publisher, 30)
            assert await dying.ended() == -9
        committed = len(effects(flow.folder / CONSUMER))
        assert committed
        async with flow.consumer():
            await flow.place(publisher, 10)
            await flow.settled()


@pytest.mark.parametrize("point", ["outbox.before_publish", "outbox.after_publish"])
async def test_a_crash_around_publishing_loses_and_doubles_nothing(flow: OrderFlow, point: str) -> None:
    async with flow.consumer():
        async with flow.publisher(FXMESH_CRASH_AT=f"{point}:3") as dying:
            await flow.place(dying, 200)
            assert await dying.ended() == -9
        acknowledged = flow.history.size[0]
        assert acknowledged >= 2
        async with flow.publisher() as publisher:
            await flow.place(publisher, 10)
            await flow.settled()


async def test_an_answer_lost_after_the_commit_is_found_by_repeating(flow: OrderFlow) -> None:
    async with flow.consumer():
        async with flow.publisher(FXMESH_CRASH_AT="call.before_reply/Unary:3") as dying:
            await flow.place(dying, 10)
            assert await dying.ended() == -9
        assert flow.history.size[0] == 2
        async with flow.publisher() as publisher, calling(publisher.address) as channels:
            stub: Any = service_pb2_grpc.EchoServiceStub(channels.to(SERVICE))
            assert (await stub.Unary(Request(text="demo 3"))).text == "demo-3"
            flow.history.acknowledged("demo-3")
            await flow.settled()


async def test_killed_and_frozen_at_random_moments_they_keep_every_promise(flow: OrderFlow) -> None:
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    print(f"seed {seed}")  # noqa: T201 shown where the test fails
    for _ in range(3):
        async with flow.publisher() as publisher, flow.consumer() as consumer:
            placing = asyncio.create_task(flow.place(publisher, 150, pause_s=0.002))
            await asyncio.sleep(chance.uniform(0, 0.3))
            consumer.freeze()
            await asyncio.sleep(chance.uniform(0, 0.2))
            consumer.thaw()
            await asyncio.sleep(chance.uniform(0, 0.2))
            (consumer if chance.random() < 0.5 else publisher).kill()
            await placing
    async with flow.publisher(), flow.consumer():
        await flow.settled()


async def test_nats_killed_frozen_and_restarted_under_load_loses_nothing(
    own_flow: OrderFlow, own_nats: NatsServer
) -> None:
    nats = own_nats
    async with own_flow.publisher() as publisher, own_flow.consumer():
        placing = asyncio.create_task(own_flow.place(publisher, 400, pause_s=0.002))
        await until(lambda: own_flow.history.size[0] >= 50)
        nats.kill()
        nats.start()
        await until(lambda: own_flow.history.size[0] >= 150)
        nats.freeze()
        await until(lambda: own_flow.history.size[0] >= 250)  # the outbox takes them meanwhile
        nats.thaw()
        nats.terminate()
        nats.start()
        await placing
        assert own_flow.history.size[0] == 400
        await own_flow.settled()
