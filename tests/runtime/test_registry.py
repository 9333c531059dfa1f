"""The registry on NATS: leases, restarts, newcomers, strangers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict

import nats
import pytest
from nats.js.errors import NotFoundError
from prometheus_client import CollectorRegistry

from services.runtime.bus import Link
from services.runtime.clock import WallClock
from services.runtime.ports import Clock, Instance
from services.runtime.registry import BEAT_S, BUCKET, LEASE_S, STEP_S, NatsRegistry
from tests.kit.events import quiet_log
from tests.kit.nats import NatsServer, nats_server, own_nats, shared_nats, until, until_async

__all__ = ["nats_server", "own_nats", "shared_nats"]

pytestmark = pytest.mark.integration

SERVICE = "fxmesh.trading.v1.TradingService"


def instance(number: int) -> Instance:
    return Instance(f"i{number}", SERVICE, "trading_gateway", f"h:{number}", "h:1", number)


class JumpingClock(WallClock):
    """The machine's time is set an hour forth and back again and again."""

    def __init__(self) -> None:
        self._jumps = 0

    def now_ns(self) -> int:
        self._jumps += 1
        return super().now_ns() + (3_600_000_000_000 if self._jumps % 2 else -3_600_000_000_000)


class BeatingClock(WallClock):
    """Knows when whoever goes by it last beat."""

    def __init__(self) -> None:
        self.beaten = 0.0

    async def sleep(self, seconds: float) -> None:
        if seconds == BEAT_S:
            self.beaten = self.monotonic()
        await super().sleep(seconds)


@asynccontextmanager
async def registry(
    server: NatsServer, clock: Clock | None = None, metrics: CollectorRegistry | None = None
) -> AsyncIterator[NatsRegistry]:
    link = Link(server.url, "test", quiet_log())
    link.open()
    opened = NatsRegistry(link, clock or WallClock(), quiet_log(), metrics)
    opened.open()
    try:
        yield opened
    finally:
        await opened.close()
        await link.close()


async def test_an_instance_that_falls_silent_is_gone_after_its_lease(nats_server: NatsServer) -> None:
    clock = BeatingClock()
    async with registry(nats_server) as follower:
        async with registry(nats_server, clock) as announcer:
            await announcer.register(instance(1))
            await until(lambda: follower.endpoints(SERVICE))
        # Closed without a word, as a crash is.
        await until(lambda: not follower.endpoints(SERVICE))
        took = clock.monotonic() - clock.beaten
    assert LEASE_S - STEP_S < took < LEASE_S + 10


async def test_a_living_instance_outlives_many_leases(nats_server: NatsServer) -> None:
    async with registry(nats_server) as follower, registry(nats_server) as announcer:
        await announcer.register(instance(1))
        await until(lambda: follower.endpoints(SERVICE))
        changed = asyncio.create_task(follower.changed())
        done, _ = await asyncio.wait((changed,), timeout=2 * LEASE_S)
        changed.cancel()

        assert not done
        assert follower.endpoints(SERVICE) == ("h:1",)


async def test_jumps_of_the_wall_clock_take_nobody_out(nats_server: NatsServer) -> None:
    async with registry(nats_server, JumpingClock()) as follower:
        async with registry(nats_server, JumpingClock()) as announcer:
            await announcer.register(instance(1))
            await until(lambda: follower.endpoints(SERVICE))
            changed = asyncio.create_task(follower.changed())
            done, _ = await asyncio.wait((changed,), timeout=LEASE_S + 1)
            changed.cancel()
            assert not done
        await until(lambda: not follower.endpoints(SERVICE))  # and silence is noticed all the same


async def test_instances_and_expired_leases_are_counted(nats_server: NatsServer) -> None:
    metrics, living = CollectorRegistry(), {"service": "trading_gateway"}
    async with registry(nats_server, metrics=metrics) as follower:
        async with registry(nats_server) as crashing:
            await crashing.register(instance(1))
            await follower.register(instance(2))
            await until(lambda: len(follower.endpoints(SERVICE)) == 2)
            assert metrics.get_sample_value("fxmesh_registry_instances", living) == 2
        await until(lambda: len(follower.endpoints(SERVICE)) == 1)
        assert metrics.get_sample_value("fxmesh_registry_lease_expired_total") == 1
        await follower.deregister()
        await until(lambda: not follower.endpoints(SERVICE))
        assert metrics.get_sample_value("fxmesh_registry_instances", living) == 0
        assert metrics.get_sample_value("fxmesh_registry_lease_expired_total") == 1


async def test_a_newcomer_knows_everyone_before_their_next_beat(nats_server: NatsServer) -> None:
    async with registry(nats_server) as announcer:
        for number in (1, 2, 3):
            await announcer.register(instance(number))
        client = await nats.connect(nats_server.url)

        async def kept() -> int:
            try:
                return (await client.jetstream().stream_info(f"KV_{BUCKET}")).state.messages
            except NotFoundError:
                return 0

        await until_async(kept, 3)
        await client.close()
    # There is no next beat: what the newcomer learns it can only have from the bucket.
    async with registry(nats_server) as newcomer:
        await until(lambda: len(newcomer.endpoints(SERVICE)) == 3)


async def test_a_key_left_by_the_dead_is_not_taken_for_life_when_others_beat(nats_server: NatsServer) -> None:
    async with registry(nats_server) as living:
        async with registry(nats_server) as dead:
            await dead.register(instance(1))
            await until(lambda: living.endpoints(SERVICE))
        await living.register(instance(2))
        await until(lambda: living.endpoints(SERVICE) == ("h:2",))
        async with registry(nats_server) as newcomer:
            await until(lambda: newcomer.endpoints(SERVICE))
            assert newcomer.endpoints(SERVICE) == ("h:2",)


async def test_a_restart_of_the_server_takes_nobody_out_and_keeps_everyone_following(
    own_nats: NatsServer,
) -> None:
    async with registry(own_nats) as follower, registry(own_nats) as announcer:
        await announcer.register(instance(1))
        await until(lambda: follower.endpoints(SERVICE))
        changed = asyncio.create_task(follower.changed())
        own_nats.kill()
        # Longer than a lease: nobody beats, because nobody can.
        done, _ = await asyncio.wait((changed,), timeout=LEASE_S + 1)
        assert not done
        own_nats.start()
        await announcer.register(instance(2))
        await until(lambda: len(follower.endpoints(SERVICE)) == 2)
        await announcer.deregister()
        await until(lambda: not follower.endpoints(SERVICE))
        await changed


async def test_what_a_newer_version_says_of_itself_breaks_nothing(nats_server: NatsServer) -> None:
    async with registry(nats_server) as follower:
        await follower.register(instance(1))
        await until(lambda: follower.endpoints(SERVICE))
        stranger = await nats.connect(nats_server.url)
        await stranger.publish(f"$KV.{BUCKET}.x.y", b'{"id": "y", "unheard_of": 1}')
        await stranger.publish(f"$KV.{BUCKET}.x.z", b"\xff")
        await stranger.publish(f"$KV.{BUCKET}.x.l", b"[]")
        more = {**asdict(instance(3)), "unheard_of": 1}  # enough to call it, whatever else it says
        await stranger.publish(f"$KV.{BUCKET}.x.m", json.dumps(more).encode())
        await stranger.flush()
        await follower.register(instance(2))
        await until(lambda: len(follower.endpoints(SERVICE)) == 3)
        await stranger.close()
    assert [each.id for each in follower.instances()] == ["i1", "i2", "i3"]
