from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry

from services.errors import FxError, Kind
from services.runtime import context, outbox
from services.runtime.clock import WallClock
from services.runtime.health import Health, Status
from services.runtime.memory_bus import MemoryBroker, MemoryBus
from services.runtime.mesh import Dependency
from services.runtime.outbox import Outbox, OutboxRelay
from services.runtime.ports import Subscription
from services.runtime.store import Database
from services.runtime.watch import check_dependency
from tests.kit.buses import Collector
from tests.kit.databases import Databases, databases, postgres
from tests.kit.events import order, quiet_log, service
from tests.kit.nats import until

__all__ = ["databases", "postgres"]

METADATA = sa.MetaData()
ORDERS = sa.Table("orders", METADATA, sa.Column("id", sa.Integer, primary_key=True))
OUTBOX = Outbox(METADATA)


class FlakyBus(MemoryBus):
    """Fails as often as told, before or after the events are stored."""

    failures_before = 0
    failures_after = 0
    accepts: int | None = None
    """Publishes it takes before it is away; None: all."""

    async def publish_many(self, events: Iterable[Message], *, causation_id: str | None = None) -> None:
        if self.accepts is not None:
            if not self.accepts:
                raise FxError(Kind.UNAVAILABLE, "BUS_UNAVAILABLE", "away")
            self.accepts -= 1
        if self.failures_before:
            self.failures_before -= 1
            raise FxError(Kind.UNAVAILABLE, "BUS_UNAVAILABLE", "away")
        await super().publish_many(events, causation_id=causation_id)
        if self.failures_after:
            self.failures_after -= 1
            raise FxError(Kind.UNAVAILABLE, "BUS_UNAVAILABLE", "acknowledgement lost")


@dataclass
class World:
    """One service with an outbox and one that consumes."""

    store: Database
    bus: FlakyBus
    relay: OutboxRelay
    got: Collector

    async def place(self, number: int) -> None:
        """Commit an order together with its event."""

        def run(connection: sa.Connection) -> None:
            connection.execute(ORDERS.insert().values(id=number))
            OUTBOX.append(connection, order(number))

        await self.store.write(run)
        self.relay.wake()


@pytest_asyncio.fixture
async def world(tmp_path: Path, databases: Databases) -> AsyncIterator[World]:
    broker = MemoryBroker(WallClock(), quiet_log())
    bus = FlakyBus(broker, service("trading_gateway"), WallClock(), quiet_log())
    consumer = broker.bus(service("data_pipeline"))
    got = Collector()
    await consumer.subscribe(Subscription((type(order(1)),), got))
    store = databases.open(tmp_path / "store.db", METADATA)
    relay = OutboxRelay(OUTBOX.store(store), bus, quiet_log())
    yield World(store, bus, relay, got)
    await consumer.close()
    await store.close()


async def run_until_settled(relay: OutboxRelay) -> None:
    running = asyncio.create_task(relay.run())
    async with asyncio.timeout(20):
        await relay.settled()
    running.cancel()
    await asyncio.wait((running,))


async def test_committed_events_are_published_in_order_and_removed(world: World) -> None:
    for number in range(1, 601):
        await world.place(number)

    await run_until_settled(world.relay)
    await until(lambda: len(world.got.deliveries) == 600)

    assert world.got.events == [order(number) for number in range(1, 601)]
    assert await OUTBOX.store(world.store).backlog() == 0
    assert world.relay.backlog == 0


async def test_a_rolled_back_event_is_never_published(world: World) -> None:
    await world.place(1)
    with pytest.raises(sa.exc.IntegrityError):
        await world.place(1)
    await world.place(2)

    await run_until_settled(world.relay)
    await until(lambda: len(world.got.deliveries) == 2)

    assert world.got.events == [order(1), order(2)]


async def test_a_bus_that_is_away_delays_and_loses_nothing(world: World) -> None:
    world.bus.failures_before = 3
    running = asyncio.create_task(world.relay.run())
    await world.place(1)
    await until(lambda: world.relay.stuck_s > 0)
    await world.place(2)
    async with asyncio.timeout(20):
        await world.relay.settled()
    running.cancel()
    await asyncio.wait((running,))
    await until(lambda: len(world.got.deliveries) == 2)

    assert world.got.events == [order(1), order(2)]
    assert world.relay.stuck_s == 0


async def test_what_came_since_is_published_as_the_process_goes_down(world: World) -> None:
    await world.place(1)
    await run_until_settled(world.relay)
    await world.place(2)
    await world.relay.finish()
    assert await OUTBOX.store(world.store).backlog() == 0
    await until(lambda: len(world.got.deliveries) == 2)
    assert world.got.events == [order(1), order(2)]


@pytest.mark.parametrize("failing", [True, False], ids=["away", "silent"])
async def test_going_down_waits_for_no_bus_and_loses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, *, failing: bool
) -> None:
    monkeypatch.setattr(outbox, "_FINISH_S", 0.05)
    silent = SilentBus(MemoryBroker(WallClock(), quiet_log()), service(), WallClock(), quiet_log())
    world.bus.accepts = 0
    relay = OutboxRelay(OUTBOX.store(world.store), world.bus if failing else silent, quiet_log())
    await world.place(1)
    await relay.finish()
    assert await OUTBOX.store(world.store).backlog() == 1
    world.bus.accepts = None
    await run_until_settled(world.relay)
    await until(lambda: world.got.events == [order(1)])


class SilentBus(MemoryBus):
    """Says nothing until told to."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.answers = asyncio.Event()

    async def publish_many(self, events: Iterable[Message], *, causation_id: str | None = None) -> None:
        await self.answers.wait()
        await super().publish_many(events, causation_id=causation_id)


async def test_an_outbox_that_is_stuck_says_so_and_why(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "_STUCK_S", 0.05)
    metrics, health = CollectorRegistry(), Health()
    silent = SilentBus(MemoryBroker(WallClock(), quiet_log()), service(), WallClock(), quiet_log())
    relay = OutboxRelay(OUTBOX.store(world.store), silent, quiet_log(), metrics)
    dependency = Dependency("outbox", relay.check, required=False)
    health.starting("outbox", required=False)
    health.started()
    running = asyncio.create_task(relay.run())
    await check_dependency(dependency, health)
    assert health.status is Status.SERVING
    await world.place(1)
    relay.wake()

    def stuck_s() -> float:
        return metrics.get_sample_value("fxmesh_bus_outbox_stuck_seconds") or 0.0

    await until(lambda: stuck_s() > 0.05)
    await check_dependency(dependency, health)
    assert health.status is Status.DEGRADED
    assert health.dependencies()[0].detail.startswith("1 events wait in the outbox; the bus has stored none")
    silent.answers.set()
    await until(lambda: stuck_s() == 0)
    await check_dependency(dependency, health)
    assert health.status is Status.SERVING
    running.cancel()


async def test_a_refusal_is_the_reason_of_a_stuck_outbox(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "_STUCK_S", 0.05)
    world.bus.accepts = 0
    running = asyncio.create_task(world.relay.run())
    await world.place(1)
    await until(lambda: world.relay.stuck_s > 0.05)
    with pytest.raises(FxError, match=r"1 events wait in the outbox.*: away"):
        await world.relay.check()
    running.cancel()


async def test_a_lost_acknowledgement_publishes_again_and_doubles_nothing(world: World) -> None:
    world.bus.failures_after = 2
    for number in (1, 2, 3):
        await world.place(number)

    await run_until_settled(world.relay)
    await until(lambda: len(world.got.deliveries) == 3)

    assert world.got.events == [order(1), order(2), order(3)]


async def test_what_was_published_before_a_failure_is_removed(world: World) -> None:
    for number, correlation in enumerate(("first", "second"), 1):
        context.correlation_id.set(correlation)
        await world.place(number)
    world.bus.accepts = 1
    running = asyncio.create_task(world.relay.run())
    await until(lambda: world.relay.stuck_s > 0)

    assert await OUTBOX.store(world.store).backlog() == 1

    world.bus.accepts = None
    async with asyncio.timeout(20):
        await world.relay.settled()
    running.cancel()
    await asyncio.wait((running,))
    await until(lambda: len(world.got.deliveries) == 2)
    assert world.got.events == [order(1), order(2)]


async def test_rows_of_an_earlier_process_are_published_at_start(world: World) -> None:
    await world.place(1)
    fresh = OutboxRelay(OUTBOX.store(world.store), world.bus, quiet_log())

    await run_until_settled(fresh)
    await until(lambda: world.got.deliveries)

    assert world.got.events == [order(1)]


async def test_an_event_keeps_the_story_it_was_committed_in(world: World) -> None:
    async def request(number: int, correlation: str, cause: str) -> None:
        context.correlation_id.set(correlation)
        context.causation_id.set(cause)
        await world.place(number)

    for number, correlation in ((1, "a"), (2, "a"), (3, "b")):
        await asyncio.create_task(request(number, correlation, f"cause-{number}"))
    await run_until_settled(world.relay)
    await until(lambda: len(world.got.deliveries) == 3)

    assert [
        (each.headers["correlation-id"], each.headers["causation-id"]) for each in world.got.deliveries
    ] == [("a", "cause-1"), ("a", "cause-2"), ("b", "cause-3")]
