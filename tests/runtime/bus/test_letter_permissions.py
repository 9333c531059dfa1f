"""What each service may do with dead letters, parked events and orders: with its own all that is needed, with
those of others nothing but remove them blindly.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence, Sized
from pathlib import Path

import pytest
from fxmesh.trading.v1.events_pb2 import OrderPlaced
from prometheus_client import CollectorRegistry

from services.runtime.bus import BusMetrics
from services.runtime.bus.letters import Letters
from services.runtime.bus.looking import Look, look_of
from services.runtime.bus.naming import dead_letter_subject, order_subject, parked_subject
from services.runtime.bus.parking import REDRIVE
from services.runtime.bus.permissions import OPERATOR
from services.runtime.bus.streams import DEAD_LETTERS, PARKED, ensure_dead_letters
from services.runtime.policy import ServicePolicy
from services.runtime.ports import Delivery, Subscription
from tests.kit.buses import QUICK, Collector
from tests.kit.events import order
from tests.kit.guarded import EVENTS, EVERY_SERVICE, SERVICES, Guarded, address, guarded, refused
from tests.kit.nats import until, until_async

__all__ = ["guarded"]

pytestmark = pytest.mark.integration

CONSUMING = [each for each in SERVICES.values() if each.consumes]
KEPT = {
    DEAD_LETTERS: (dead_letter_subject,),
    PARKED: (parked_subject, order_subject),
}
"""What the streams of all consumers hold, by the subjects it lies on."""


@pytest.fixture(scope="module")
def with_letters(guarded: Guarded) -> Guarded:
    """Two messages of each consumer on each subject, from those who may put them there."""

    async def fill(user: str, subject_of: Callable[[str, str], str], consumer: ServicePolicy) -> None:
        async with guarded.connected(user) as client:
            for number in (1, 2):
                where = subject_of(consumer.name, address(consumer.consumes[0]))
                await client.jetstream(timeout=20).publish(where, f"{consumer.name} {number}".encode())

    async def fill_all() -> None:
        async with guarded.connected(OPERATOR) as client:
            await ensure_dead_letters(client.jetstream(timeout=20))
        for each in CONSUMING:
            await fill(each.name, dead_letter_subject, each)
            await fill(each.name, parked_subject, each)
            await fill(OPERATOR, order_subject, each)

    asyncio.run(fill_all())
    return guarded


@pytest.mark.parametrize("service", CONSUMING, ids=lambda each: each.name)
async def test_a_consumer_is_sent_what_it_keeps_and_nothing_of_others(
    with_letters: Guarded, service: ServicePolicy
) -> None:
    others = [name for name in SERVICES if name != service.name]
    async with with_letters.connected(service.name) as client:
        look = Look(service.name)
        for stream, kinds in KEPT.items():
            create = f"$JS.API.CONSUMER.CREATE.{stream}.{look_of(service.name)}"
            for subject_of in kinds:
                seen: list[bytes | None] = []
                own = subject_of(service.name, ">")
                await look.through(client, stream, own, lambda each, seen=seen: not seen.append(each.data))  # type: ignore[misc]
                assert seen == [f"{service.name} {number}".encode() for number in (1, 2)]
                for foreign in (*(subject_of(other, ">") for other in others), ">"):
                    await refused(client, f"{create}.{foreign}")
                    # What the subject says is what counts: the server compares.
                    config = {"name": look_of(service.name), "filter_subject": foreign}
                    asked = json.dumps({"stream_name": stream, "config": config}).encode()
                    answer = await client.request(f"{create}.{own}", asked, timeout=20)
                    assert b'"error"' in answer.data
            await refused(client, create)
            await refused(client, f"$JS.API.STREAM.MSG.GET.{stream}", b'{"seq":1}')
            await refused(client, f"$JS.API.DIRECT.GET.{stream}", b'{"seq":1}')
            for other in others:
                await refused(client, f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{look_of(other)}")
                await refused(client, f"$JS.API.CONSUMER.DELETE.{stream}.{look_of(other)}")


@EVERY_SERVICE
async def test_nobody_keeps_anything_for_another_or_gives_orders(
    guarded: Guarded, service: ServicePolicy
) -> None:
    async with guarded.connected(service.name) as client:
        for other in SERVICES:
            await refused(client, order_subject(other, address(EVENTS[0])))
            if other != service.name:
                await refused(client, dead_letter_subject(other, address(EVENTS[0])))
                await refused(client, parked_subject(other, address(EVENTS[0])))
        if not service.consumes:
            for stream in KEPT:
                await refused(client, f"$JS.API.STREAM.MSG.GET.{stream}")
                await refused(client, f"$JS.API.STREAM.MSG.DELETE.{stream}")


class Refusing(Collector):
    """Gives up the first order it is given, until told otherwise."""

    refuses = True

    async def __call__(self, deliveries: Sequence[Delivery]) -> None:
        if self.refuses and any(getattr(each.event, "order_id", "") == "demo-1" for each in deliveries):
            raise ValueError("not now")
        await super().__call__(deliveries)


@pytest.fixture
def another(tmp_path: Path) -> Iterator[Guarded]:
    """A server like it, on which nobody was yet."""
    another = Guarded(tmp_path)
    another.server.start()
    yield another
    another.server.stop()


async def test_a_consumer_settles_its_dead_letters_with_what_it_may(another: Guarded) -> None:
    """Given up, parked behind, redriven and removed, on a server that bounds everybody."""
    orders = [order(each) for each in (1, 2, 3)]
    reader, refusing, metrics = "data_pipeline", Refusing(), BusMetrics(registry := CollectorRegistry())
    async with (
        another.bus(SERVICES["trading_gateway"]) as trading,
        another.bus(SERVICES[reader], metrics, QUICK) as bus,
        another.connected(OPERATOR) as operator,
    ):
        await bus.subscribe(Subscription((OrderPlaced,), refusing))
        letters = Letters(operator)
        await trading.publish(orders[0])
        await until_async(lambda: _count(letters.find(consumer=reader)), 1)
        await trading.publish(orders[1])
        await until_async(lambda: _count(letters.waiting()), 1)
        refusing.refuses = False
        number = await letters.order(REDRIVE, (await letters.find())[0])
        await until_async(lambda: letters.is_carried_out(number), expected=True)
        await trading.publish(orders[2])
        await until(lambda: refusing.events == orders)
        assert await letters.find() == []
        assert await letters.waiting() == {}
    for operation in ("publish", "subscription"):
        assert registry.get_sample_value("fxmesh_bus_forbidden_total", {"operation": operation}) is None


async def _count(found: Awaitable[Sized]) -> int:
    return len(await found)
