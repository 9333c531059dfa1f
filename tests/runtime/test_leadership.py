"""One leader at a time, whatever happens to it, to the others, or to NATS."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from nats.js.errors import NotFoundError
from prometheus_client import CollectorRegistry

from services.runtime.bus import Link
from services.runtime.clock import WallClock
from services.runtime.leadership import BEAT_S, BUCKET, HOLD_S, LEASE_S, LOOK_S, NatsLeadership
from services.runtime.ports import Candidate
from tests.kit.events import quiet_log
from tests.kit.nats import NatsServer, nats_server, own_nats, shared_nats, until, until_async

__all__ = ["nats_server", "own_nats", "shared_nats"]

pytestmark = pytest.mark.integration


class RenewingClock(WallClock):
    """Knows when whoever goes by it last renewed its lease, or at least tried."""

    def __init__(self) -> None:
        self.renewed = 0.0

    async def sleep(self, seconds: float) -> None:
        if seconds == BEAT_S:
            self.renewed = self.monotonic()
        await super().sleep(seconds)


class Standing:
    """One process that stands for it. `vanish` is a crash: nothing is given back."""

    def __init__(self, server: NatsServer, number: int, holder: str = "") -> None:
        self.link = Link(server.url, "test", quiet_log())
        self.link.open()
        self.metrics = CollectorRegistry()
        self.address = f"127.0.0.1:{number}"
        candidate = Candidate("market_data", holder or f"folder-{number}", f"i{number}", self.address)
        self.clock = RenewingClock()
        self.lease = NatsLeadership(self.link, self.clock, quiet_log(), candidate, self.metrics)

    async def vanish(self) -> None:
        await self.link.close()


@asynccontextmanager
async def standing(server: NatsServer, *numbers: int) -> AsyncIterator[list[Standing]]:
    """Processes that campaign in turn."""
    async with AsyncExitStack() as stack:
        found = []
        for number in numbers:
            found.append(each := Standing(server, number))
            stack.push_async_callback(each.link.close)
            stack.push_async_callback(each.lease.close)
            await each.link.session()
            await each.lease.campaign()
        yield found


async def test_the_first_leads_at_once_and_the_others_know_whom_to_ask(nats_server: NatsServer) -> None:
    async with standing(nats_server, 1, 2, 3) as (first, *others):
        assert first.lease.held
        assert first.lease.leader == ""
        for each in others:
            assert (each.lease.held, each.lease.term, each.lease.leader) == (False, 0, first.address)


async def test_a_leader_that_lives_is_never_replaced(nats_server: NatsServer) -> None:
    async with standing(nats_server, 1, 2) as (first, second):
        changed = asyncio.create_task(second.lease.until(lambda: second.lease.term > 0))
        done, _ = await asyncio.wait((changed,), timeout=2 * LEASE_S)
        changed.cancel()
        assert not done
        assert first.lease.held
        assert first.metrics.get_sample_value("fxmesh_leadership_changes_total", {"role": "market_data"}) == 1


async def test_one_of_the_others_takes_over_from_a_leader_that_vanished(nats_server: NatsServer) -> None:
    async with standing(nats_server, 1, 2, 3) as (first, second, third):
        await first.vanish()
        await until(lambda: second.lease.held or third.lease.held)
        took = time.monotonic() - first.clock.renewed
        new, other = (second, third) if second.lease.held else (third, second)
        await until(lambda: other.lease.leader == new.address)
        assert not other.lease.held
        assert LEASE_S - LOOK_S < took < LEASE_S + 10
        assert not first.lease.held  # it could not renew, and knows


async def test_a_leader_that_goes_in_good_order_is_replaced_without_waiting(nats_server: NatsServer) -> None:
    async with standing(nats_server, 1, 2) as (first, second):
        await first.lease.close()
        async with asyncio.timeout(LEASE_S - 1):
            await second.lease.until(lambda: second.lease.term > 0)
        assert second.lease.held


async def test_the_next_process_on_the_same_folder_needs_not_wait(nats_server: NatsServer) -> None:
    before = Standing(nats_server, 1, holder="folder")
    await before.link.session()
    await before.lease.campaign()
    await before.vanish()
    after = Standing(nats_server, 2, holder="folder")
    await after.link.session()
    await after.lease.campaign()
    assert after.lease.held
    for each in (before, after):
        await each.lease.close()
        await each.link.close()


async def test_a_leader_cut_off_from_nats_stops_before_anyone_else_may_begin(own_nats: NatsServer) -> None:
    async with standing(own_nats, 1, 2) as (first, second):
        own_nats.freeze()
        frozen = time.monotonic()
        await until(lambda: not first.lease.held)
        assert time.monotonic() - frozen <= HOLD_S + 1
        assert not second.lease.held
        assert first.lease.term  # nobody else is known to lead: it may come back
        own_nats.thaw()
        await until(lambda: first.lease.held or second.lease.held)
        assert not (first.lease.held and second.lease.held)


async def test_a_restart_of_nats_leaves_the_leader_what_it_was(own_nats: NatsServer) -> None:
    async with standing(own_nats, 1, 2) as (first, second):
        term = first.lease.term
        replaced = asyncio.create_task(second.lease.until(lambda: second.lease.term > 0))
        own_nats.kill()
        await until(lambda: not first.lease.held)
        own_nats.start()
        await until(lambda: first.lease.held)
        done, _ = await asyncio.wait((replaced,), timeout=LEASE_S + 1)
        replaced.cancel()
        assert not done
        assert first.lease.term == term


async def test_a_bucket_that_is_lost_is_written_again(nats_server: NatsServer) -> None:
    async with standing(nats_server, 1) as (only,):
        term = only.lease.term
        session = await only.link.session()
        await session.jetstream.delete_stream(f"KV_{BUCKET}")

        async def kept() -> bool:
            try:
                await (await session.jetstream.key_value(BUCKET)).get("market_data")
            except NotFoundError:
                return False
            return True

        await until_async(kept, expected=True)
        assert only.lease.held
        assert only.lease.term == term


async def test_a_leader_that_was_replaced_while_it_slept_knows_when_it_wakes(nats_server: NatsServer) -> None:
    async with standing(nats_server, 1) as (asleep,):
        session = await asleep.link.session()
        bucket = await session.jetstream.key_value(BUCKET)
        taken = {"holder": "folder-2", "instance": "i2", "address": "127.0.0.1:2"}
        await bucket.put("market_data", json.dumps(taken).encode())
        await until(lambda: asleep.lease.leader == "127.0.0.1:2")
        assert (asleep.lease.held, asleep.lease.term) == (False, 0)
