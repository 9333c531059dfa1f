"""Keys and revocations come from NATS, and go on coming after whatever happens to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.js import JetStreamContext
from nats.js.api import KeyValueConfig
from nats.js.errors import BadRequestError
from prometheus_client import CollectorRegistry

from services.cli.key_store import KeyStore, opened
from services.runtime.bus import Link
from services.runtime.clock import WallClock
from services.runtime.identity.bucket import ASK_EVERY_S, STREAM, IdentityFollower, make_bucket
from services.runtime.identity.snapshot import Denial, Snapshot
from tests.kit.events import quiet_log
from tests.kit.identity import Trusted
from tests.kit.nats import NatsServer, own_nats, until

__all__ = ["own_nats"]

pytestmark = pytest.mark.integration

REACHES_ALL_S = 5.0
SLOW_MACHINE_S = 5.0


class Followed:
    """What one process knows."""

    def __init__(self) -> None:
        self.known = Snapshot()

    def take(self, known: Snapshot) -> None:
        self.known = known

    def valid(self, name: str) -> bool:
        return any(each.name == name and each.revoked_at is None for each in self.known.keys)


@asynccontextmanager
async def following(server: NatsServer, followed: Followed) -> AsyncIterator[IdentityFollower]:
    link = Link(server.url, "test", quiet_log())
    link.open()
    follower = IdentityFollower(link, WallClock(), followed.take, quiet_log())
    follower.open()
    try:
        yield follower
    finally:
        await follower.close()
        await link.close()


@asynccontextmanager
async def store(server: NatsServer) -> AsyncIterator[KeyStore]:
    async with opened(server.url, {}) as keys:
        yield keys


async def test_a_key_is_known_soon_and_its_revocation_within_five_seconds(own_nats: NatsServer) -> None:
    mine, other = Followed(), Followed()
    async with following(own_nats, mine) as follower, following(own_nats, other), store(own_nats) as keys:
        await until(follower.loaded.is_set)
        assert mine.known.keys == ()
        await keys.create("robot", ("*",), None)
        await until(lambda: mine.valid("robot") and other.valid("robot"))
        began = time.monotonic()
        await keys.revoke("robot")
        await until(lambda: not mine.valid("robot") and not other.valid("robot"))
        assert time.monotonic() - began < REACHES_ALL_S
        assert mine.known.revocations == 1


async def test_what_was_written_before_is_known_with_the_first_snapshot(own_nats: NatsServer) -> None:
    async with store(own_nats) as keys:
        await keys.create("robot", ("*",), None)
        await keys.deny(Denial(service="market_data"))
        await keys.deny(Denial(token_id="t" * 32))
        await keys.allow(Denial(service="market_data"))
    followed = Followed()
    async with following(own_nats, followed) as follower:
        await until(follower.loaded.is_set)
        assert followed.valid("robot")
        assert followed.known.denied_services == frozenset()
        assert followed.known.denied_tokens == {"t" * 32}


async def test_a_revocation_made_while_a_process_was_cut_off_still_reaches_it(
    own_nats: NatsServer,
) -> None:
    followed = Followed()
    async with following(own_nats, followed) as follower:
        async with store(own_nats) as keys:
            await keys.create("robot", ("*",), None)
        await until(lambda: followed.valid("robot"))
        own_nats.terminate()
        age = follower.age_s
        await until(lambda: (follower.age_s or 0) > (age or 0) + ASK_EVERY_S)
        assert followed.valid("robot")  # the last snapshot goes on to decide
        own_nats.start()
        async with store(own_nats) as keys:
            await keys.revoke("robot")
        began = time.monotonic()
        await until(lambda: not followed.valid("robot"))
        assert time.monotonic() - began < REACHES_ALL_S + SLOW_MACHINE_S


async def test_a_frozen_server_that_thaws_is_asked_again(own_nats: NatsServer) -> None:
    followed = Followed()
    async with following(own_nats, followed) as follower:
        await until(follower.loaded.is_set)
        own_nats.freeze()
        age = follower.age_s
        await until(lambda: (follower.age_s or 0) > (age or 0) + ASK_EVERY_S)
        own_nats.thaw()
        async with store(own_nats) as keys:
            await keys.create("robot", ("*",), None)
        await until(lambda: followed.valid("robot"))


async def test_a_bucket_that_is_deleted_takes_its_keys_with_it(own_nats: NatsServer) -> None:
    followed = Followed()
    async with following(own_nats, followed), store(own_nats) as keys:
        await keys.create("robot", ("*",), None)
        await until(lambda: followed.valid("robot"))
        await keys._jetstream.delete_key_value("fxmesh_identity")
        await until(lambda: not followed.known.keys)


@pytest.mark.parametrize("how", ["deleted", "purged", "an empty store"])
async def test_what_was_revoked_stays_so_when_nats_loses_it_until_somebody_says_otherwise(
    own_nats: NatsServer, how: str
) -> None:
    service, token, taken_back = Denial(service="market_data"), Denial(token_id="t" * 32), Denial(service="x")
    followed = Followed()
    async with following(own_nats, followed):
        async with store(own_nats) as keys:
            for each in (service, token, taken_back):
                await keys.deny(each)
            await keys.allow(taken_back)
            await keys.create("robot", ("*",), None)
            await until(lambda: followed.known.revocations == 2 and followed.valid("robot"))
            if how == "deleted":
                await keys._jetstream.delete_key_value("fxmesh_identity")
            elif how == "purged":
                await keys._jetstream.purge_stream("KV_fxmesh_identity")
        if how == "an empty store":
            own_nats.kill()
            own_nats.lose_everything()
            own_nats.start()
        await until(lambda: followed.known.lost)
        assert {each.entry for each in followed.known.lost} == {service.entry, token.entry}
        assert followed.known.denied_services == {"market_data"}
        assert followed.known.denied_tokens == {"t" * 32}
        assert not followed.valid("robot")
        async with store(own_nats) as keys:
            await keys.create("other", ("*",), None)
            await until(lambda: followed.valid("other"))
            assert len(followed.known.lost) == 2
            await keys.deny(service)
            await until(lambda: len(followed.known.lost) == 1)
            assert followed.known.denied_services == {"market_data"}
            assert not await keys.allow(token)
            await until(lambda: not followed.known.lost)
            assert followed.known.denied_tokens == frozenset()
            assert followed.known.revocations == 1
            assert await keys.allow(service)
            await until(lambda: not followed.known.denied_services)


class Overtaken:
    """A server that is making the bucket for somebody else as it is asked to."""

    def __init__(self, jetstream: JetStreamContext) -> None:
        self._jetstream = jetstream
        self._other: asyncio.Task[Any] | None = None

    async def create_key_value(self, config: KeyValueConfig) -> None:
        self._other = asyncio.create_task(self._jetstream.create_key_value(config))
        raise BadRequestError(
            code=400, err_code=10065, description="subjects overlap with an existing stream"
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._jetstream, name)


async def test_a_bucket_that_somebody_else_is_making_is_waited_for(own_nats: NatsServer) -> None:
    client = await nats.connect(own_nats.url)
    jetstream: Any = Overtaken(client.jetstream())
    await make_bucket(jetstream, 1)
    assert (await jetstream.stream_info(STREAM)).config.name == STREAM
    await client.close()


async def test_keys_survive_the_server(own_nats: NatsServer) -> None:
    async with store(own_nats) as keys:
        await keys.create("robot", ("*",), None)
    own_nats.terminate()
    own_nats.start()
    async with store(own_nats) as keys:
        assert [each.name for each in (await keys.all()).keys] == ["robot"]


async def test_metrics_tell_what_is_known_and_how_fresh_it_is(own_nats: NatsServer, tmp_path: Path) -> None:

    trusted, metrics = Trusted(tmp_path / "secrets"), CollectorRegistry()
    link = Link(own_nats.url, "test", quiet_log())
    link.open()
    follower = trusted.identity.follower(link, WallClock(), metrics, quiet_log())
    assert metrics.get_sample_value("fxmesh_identity_snapshot_age_seconds") == float("inf")
    follower.open()
    try:
        async with store(own_nats) as keys:
            _, shown = await keys.create("robot", ("*",), None)
            await until(lambda: metrics.get_sample_value("fxmesh_identity_keys") == 1)
            trusted.authenticator.principal(f"Bearer {shown}")
            trusted.authenticator.principal(f"Bearer {shown}")
            await keys.revoke("robot")
            await until(lambda: metrics.get_sample_value("fxmesh_identity_revocations") == 1)
        age = metrics.get_sample_value("fxmesh_identity_snapshot_age_seconds")
        assert age is not None
        assert age < SLOW_MACHINE_S
        outcome = {"outcome": "CACHED"}
        assert metrics.get_sample_value("fxmesh_identity_verifications_total", outcome) == 1
    finally:
        await follower.close()
        await link.close()
