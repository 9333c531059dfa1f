"""Parked keys on a real server: kept over restarts and crashes, bounded, redriven by order."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import pytest
from fxmesh.analysis.v1.events_pb2 import SignalGenerated
from fxmesh.trading.v1.events_pb2 import OrderPlaced
from nats import errors

from services.errors import FxError, Kind
from services.runtime.bus import parking
from services.runtime.bus.letters import Letters
from services.runtime.bus.link import Session
from services.runtime.bus.naming import dead_letter_subject
from services.runtime.bus.parking import Order, Parking
from services.runtime.bus.swift import SwiftClient
from services.runtime.ports import Delivery, Subscription
from tests.kit.buses import Collector, Process, process
from tests.kit.events import order, signal
from tests.kit.nats import NatsServer, until, until_async

pytestmark = pytest.mark.integration

NAME = "data_pipeline"


class Consumer(Collector):
    """Cannot handle some numbers until it is cured; effects are bound to ids, as a store's are."""

    def __init__(self, *bad: int) -> None:
        super().__init__()
        self.bad = set(bad)
        self.effects: dict[str, list[int]] = {}

    async def __call__(self, deliveries: Sequence[Delivery]) -> None:
        numbers = [(each.key, int(re.split("[:/]", each.id)[-1])) for each in deliveries]
        if self.bad.intersection(number for _, number in numbers):
            raise ValueError("cannot be handled")
        await super().__call__(deliveries)
        for key, number in numbers:
            of = self.effects.setdefault(key, [])
            if number not in of:
                of.append(number)


async def letters_of(running: Process) -> Letters:
    return Letters((await running.link.session()).client)


async def settled(running: Process) -> None:
    await until_async(lambda: running.bus.pending(NAME, SignalGenerated), 0)


async def test_a_parked_key_is_still_parked_after_a_restart_and_others_flow(nats_server: NatsServer) -> None:
    got = Consumer(2)
    async with process(nats_server, NAME) as first:
        await first.bus.subscribe(Subscription((SignalGenerated,), got, max_batch=4))
        await first.bus.publish_many([signal(number) for number in range(1, 5)])
        await settled(first)
    got.bad.clear()
    async with process(nats_server, NAME) as second:
        await second.bus.subscribe(Subscription((SignalGenerated,), got, max_batch=4))
        await second.bus.publish_many([signal(5), signal(6), signal(1, "GBPUSD"), signal(1, "USDJPY")])
        await settled(second)
        assert got.effects == {"EURUSD": [1], "GBPUSD": [1], "USDJPY": [1]}

        letters = await letters_of(second)
        (waiting,) = (await letters.waiting()).values()
        assert (waiting.consumer, waiting.order, waiting.count) == (NAME, "ANALYSIS_DECISION/EURUSD", 4)
        await letters.order("redrive", (await letters.find())[0])
        await until(lambda: got.effects["EURUSD"] == [1, 2, 3, 4, 5, 6])
        await second.bus.publish(signal(7))
        await until(lambda: got.effects["EURUSD"] == [1, 2, 3, 4, 5, 6, 7])
        assert await letters.find() == []
        assert await letters.waiting() == {}


async def test_an_order_given_while_the_consumer_is_away_is_carried_out_when_it_comes(
    nats_server: NatsServer,
) -> None:
    got = Consumer(1)
    async with process(nats_server, NAME) as first:
        await first.bus.subscribe(Subscription((SignalGenerated,), got))
        await first.bus.publish_many([signal(1), signal(2)])
        await settled(first)
    async with process(nats_server, "monitoring_alerting") as bystander:
        letters = await letters_of(bystander)
        number = await letters.order("redrive", (await letters.find(consumer=NAME))[0])
        assert not await letters.is_carried_out(number)
        got.bad.clear()
        async with process(nats_server, NAME) as second:
            await second.bus.subscribe(Subscription((SignalGenerated,), got))
            await until(lambda: got.effects.get("EURUSD") == [1, 2])
            await until_async(lambda: letters.is_carried_out(number), expected=True)


async def test_a_letter_keeps_fields_that_this_version_does_not_know(nats_server: NatsServer) -> None:
    newer = signal(1).SerializeToString() + b"\xc2\x3e\x05later"  # field 1000, length-delimited
    got = Consumer(1)
    async with process(nats_server, NAME) as running:
        await running.bus.subscribe(Subscription((SignalGenerated,), got))
        client = (await running.link.session()).client
        identity = "fxmesh.analysis.v1.SignalGenerated/s-1:EURUSD:1m:trend:1"
        await client.jetstream().publish(
            "fxmesh.analysis.v1.SignalGenerated.decision.11.EURUSD", newer, headers={"ce-id": identity}
        )
        letters = await letters_of(running)

        async def count() -> int:
            return len(await letters.find())

        await until_async(count, 1)
        (letter,) = await letters.find()
        assert (letter.original.payload, letter.original.id) == (newer, identity)
        got.bad.clear()
        await letters.order("redrive", letter)
        await until(lambda: got.deliveries)

    (delivery,) = got.deliveries
    assert delivery.event.SerializeToString() == newer
    assert delivery.headers["ce-id"] == identity


async def test_a_full_parking_stops_the_partition_and_loses_nothing(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parking, "MOST_PARKED", 3)
    got = Consumer(1)
    async with process(nats_server, NAME) as running:
        await running.bus.subscribe(Subscription((OrderPlaced,), got))
        await running.bus.publish_many([placed(number) for number in range(1, 9)])
        letters = await letters_of(running)

        async def parked() -> list[int]:
            return [each.count for each in (await letters.waiting()).values()]

        await until_async(parked, [3])
        assert await running.bus.pending(NAME, OrderPlaced) == 4
        got.bad.clear()
        await letters.order("redrive", (await letters.find())[0])
        await until(lambda: got.effects.get("demo") == list(range(1, 9)))


def placed(number: int) -> OrderPlaced:
    event = order(number)
    event.order_id, event.revision = "demo", number
    return event


async def test_an_undecodable_event_is_a_letter_that_nothing_waits_behind(nats_server: NatsServer) -> None:
    got = Consumer()
    async with process(nats_server, NAME) as running:
        await running.bus.subscribe(Subscription((SignalGenerated,), got))
        client = (await running.link.session()).client
        await client.jetstream().publish(
            "fxmesh.analysis.v1.SignalGenerated.decision.11.EURUSD", b"\xff\xff", headers={"ce-id": "x/0"}
        )
        await running.bus.publish_many([signal(1), signal(2)])
        await until(lambda: got.effects.get("EURUSD") == [1, 2])
        letters = await letters_of(running)
        (letter,) = await letters.find()
        assert not letter.parks_key

        number = await letters.order("redrive", letter)
        await until_async(lambda: letters.is_carried_out(number), expected=True)
        (again,) = await letters.find()
        assert (again.original.payload, again.redrives, again.parks_key) == (b"\xff\xff", 1, False)
        await running.bus.publish(signal(3))
        await until(lambda: got.effects["EURUSD"] == [1, 2, 3])


async def test_an_order_that_is_heard_before_it_is_stored_is_carried_out(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    got = Consumer(1)
    async with process(nats_server, NAME) as running:
        await running.bus.subscribe(Subscription((SignalGenerated,), got))
        await running.bus.publish(signal(1))
        await settled(running)
        letters = await letters_of(running)
        (letter,) = await letters.find()
        got.bad.clear()
        read, early = Parking.orders, iter((True, True))

        async def orders(self: Parking, session: Session) -> list[Order]:
            return [] if next(early, False) else await read(self, session)

        monkeypatch.setattr(Parking, "orders", orders)
        number = await letters.order("redrive", letter)
        await until_async(lambda: letters.is_carried_out(number), expected=True)
    assert got.effects == {"EURUSD": [1]}


STEPS = ("dlq.", "parked.", "$JS.ACK.", "$JS.API.STREAM.MSG.DELETE.")


class Crash:
    """Lets a process send so many messages that matter, and from then on nothing more."""

    def __init__(self, client: SwiftClient, after: int) -> None:
        self.happened = asyncio.Event()
        self._left = after
        self._ways = client.publish, client.post, client.answer
        client.publish = self.publish  # type: ignore[method-assign]
        client.post = self.post  # type: ignore[method-assign,assignment]
        client.answer = self.answer  # type: ignore[method-assign]

    def _count(self, subject: str) -> None:
        if subject.startswith(STEPS):
            self._left -= 1
        if self._left < 0:
            self.happened.set()
            raise errors.ConnectionClosedError

    async def publish(self, subject: str, *rest: Any, **more: Any) -> None:
        self._count(subject)
        await self._ways[0](subject, *rest, **more)

    def post(self, subject: str, *rest: Any) -> None:
        self._count(subject)
        self._ways[1](subject, *rest)

    def answer(self, replies: Sequence[bytes], payload: bytes) -> None:
        for reply in replies:
            self._count(reply.decode())
            self._ways[2]([reply], payload)


async def crash_after(server: NatsServer, got: Consumer, messages: int, *, publish: bool) -> bool:
    """Run a consumer until it has sent so many messages, or nothing is left to do; False in that case."""
    running = Process(server, NAME)
    session = await running.link.session()
    if publish:
        await running.bus.publish_many([signal(number) for number in range(1, 7)])
    crash = Crash(session.client, messages)
    subscribing = asyncio.create_task(
        running.bus.subscribe(Subscription((SignalGenerated,), got, max_batch=2))
    )
    happened = asyncio.create_task(crash.happened.wait())
    async with process(server, "monitoring_alerting") as watcher:
        letters = await letters_of(watcher)

        async def over() -> bool:
            quiet = await watcher.bus.pending(NAME, SignalGenerated) == 0
            stored = await letters.find() if publish else await letters.waiting()
            return happened.done() or (quiet and bool(stored) == publish)

        await until_async(over, expected=True)
    await running.crash()
    for task in (subscribing, happened):
        task.cancel()
    await asyncio.wait((subscribing, happened))
    return crash.happened.is_set()


@pytest.mark.parametrize("messages", range(11))
async def test_a_crash_at_any_step_of_parking_loses_and_doubles_nothing(
    nats_server: NatsServer, messages: int
) -> None:
    got = Consumer(3)
    await crash_after(nats_server, got, messages, publish=True)
    assert got.effects.get("EURUSD", []) in ([], [1, 2])

    got.bad.clear()
    async with process(nats_server, NAME) as running:
        letters = await letters_of(running)
        for letter in await letters.find():
            await letters.order("redrive", letter)
        await running.bus.subscribe(Subscription((SignalGenerated,), got, max_batch=2))
        await until(lambda: len(got.effects.get("EURUSD", [])) == 6)
        await settled(running)

    assert got.effects["EURUSD"] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("messages", range(7))
async def test_a_crash_at_any_step_of_a_redrive_goes_on_with_it_afterwards(
    nats_server: NatsServer, messages: int
) -> None:
    got = Consumer(3)
    async with process(nats_server, NAME) as running:
        await running.bus.subscribe(Subscription((SignalGenerated,), got, max_batch=2))
        await running.bus.publish_many([signal(number) for number in range(1, 7)])
        await settled(running)
        letters = await letters_of(running)
        assert len(await letters.find()) == 1
    async with process(nats_server, "monitoring_alerting") as bystander:
        letters = await letters_of(bystander)
        number = await letters.order("redrive", (await letters.find())[0])
        got.bad.clear()
        await crash_after(nats_server, got, messages, publish=False)
        async with process(nats_server, NAME) as again:
            await again.bus.subscribe(Subscription((SignalGenerated,), got, max_batch=2))
            await until_async(lambda: letters.is_carried_out(number), expected=True)
        assert await letters.find() == []
        assert await letters.waiting() == {}

    assert got.effects["EURUSD"] == [1, 2, 3, 4, 5, 6]


async def test_two_redriven_keys_do_not_wait_for_each_other(nats_server: NatsServer) -> None:
    gone = FxError(Kind.NOT_FOUND, "GONE", "never")
    bad = {"EURUSD"}
    got = Consumer()

    async def handler(deliveries: Sequence[Delivery]) -> None:
        if bad.intersection(each.key for each in deliveries):
            raise gone
        await got(deliveries)

    async with process(nats_server, NAME) as running:
        await running.bus.subscribe(Subscription((SignalGenerated,), handler, merge=True))
        bad.add("USDJPY")
        await running.bus.publish_many([signal(1), signal(1, "USDJPY"), signal(2), signal(2, "USDJPY")])
        await settled(running)
        letters = await letters_of(running)
        assert sorted(each.original.subject[-6:] for each in await letters.find()) == ["EURUSD", "USDJPY"]
        bad.remove("USDJPY")
        for letter in await letters.find():
            await letters.order("redrive", letter)
        await until(lambda: got.effects.get("USDJPY") == [1, 2])
        await until_async(lambda: only_eurusd(letters), expected=True)
    assert got.effects == {"USDJPY": [1, 2]}


async def only_eurusd(letters: Letters) -> bool:
    found = await letters.find(consumer=NAME)
    return [each.original.subject[-6:] for each in found] == ["EURUSD"] and found[0].redrives == 1


def test_letters_of_two_consumers_have_subjects_of_their_own() -> None:
    assert dead_letter_subject("a", "x.y") != dead_letter_subject("b", "x.y")
