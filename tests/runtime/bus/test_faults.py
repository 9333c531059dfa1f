"""What the bus survives: the server killed, frozen, its streams and durables deleted, its disk behind its
word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

import pytest
from fxmesh.marketdata.v1.events_pb2 import PriceTickReceived
from fxmesh.trading.v1.events_pb2 import OrderPlaced

from services.errors import FxError
from services.runtime.fatal import FatalError
from services.runtime.health import Health, State
from services.runtime.ports import Delivery, Subscription
from tests.kit.buses import Collector, process
from tests.kit.events import order, ticks
from tests.kit.nats import NatsServer, until, until_async

pytestmark = pytest.mark.integration

EURUSD_DURABLE = "data_pipeline_11"


def first_seen(got: Collector) -> list[int]:
    """Sequences in the order in which each was handled first, as an effect bound to ids sees them."""
    return list(dict.fromkeys(each.event.first_sequence for each in got.deliveries))  # type: ignore[attr-defined]


async def test_a_consumer_survives_kills_of_the_server_under_load(own_nats: NatsServer) -> None:
    got = Collector()
    count = 1500
    async with process(own_nats, "data_pipeline") as running:
        await running.bus.subscribe(Subscription((PriceTickReceived,), got, max_batch=16))
        publishing = asyncio.create_task(
            running.bus.publish_many([ticks(number) for number in range(1, count + 1)])
        )
        for threshold in (count // 4, count // 2):
            await until(lambda threshold=threshold: len(got.deliveries) >= threshold)  # type: ignore[misc]
            own_nats.kill()
            own_nats.start()
        await publishing
        await until(lambda: len(set(first_seen(got))) == count)

    assert first_seen(got) == list(range(1, count + 1))


async def test_a_consumer_survives_a_freeze(own_nats: NatsServer) -> None:
    got = Collector()
    async with process(own_nats, "data_pipeline") as running:
        await running.bus.subscribe(Subscription((PriceTickReceived,), got))
        await running.bus.publish_many([ticks(number) for number in range(1, 101)])
        own_nats.freeze()
        publishing = asyncio.create_task(
            running.bus.publish_many([ticks(number) for number in range(101, 201)])
        )
        await asyncio.wait((publishing,), timeout=4)
        own_nats.thaw()
        await publishing
        await until(lambda: len(got.deliveries) == 200)

    assert got.events == [ticks(number) for number in range(1, 201)]


async def test_a_deleted_durable_is_made_again_and_loses_nothing(nats_server: NatsServer) -> None:
    got = Collector()
    async with process(nats_server, "data_pipeline") as running:
        await running.bus.subscribe(Subscription((PriceTickReceived,), got))
        await running.bus.publish_many([ticks(1), ticks(2)])
        await until(lambda: len(got.deliveries) == 2)
        jetstream = (await running.link.session()).jetstream
        await jetstream.delete_consumer("MARKETDATA_MARKET", EURUSD_DURABLE)
        await running.bus.publish(ticks(3))
        await until(lambda: 3 in first_seen(got))

    assert first_seen(got) == [1, 2, 3]


async def test_a_deleted_stream_is_made_again_and_its_new_events_are_not_taken_for_old_ones(
    nats_server: NatsServer,
) -> None:
    got = Collector()
    async with process(nats_server, "data_pipeline") as running:
        await running.bus.subscribe(Subscription((PriceTickReceived,), got))
        await running.bus.publish_many([ticks(1), ticks(2)])
        await until(lambda: len(got.deliveries) == 2)
        jetstream = (await running.link.session()).jetstream
        await jetstream.delete_stream("MARKETDATA_MARKET")
        await running.bus.publish_many([ticks(3), ticks(4)])  # sequences 1 and 2 of the new stream
        # 2.9 says at once that the durable is gone; with 2.12 it is missed after two and a half heartbeats.
        await until(lambda: len(got.deliveries) == 4, seconds=25)

    assert first_seen(got) == [1, 2, 3, 4]


async def test_a_stream_deleted_again_and_again_under_many_takes_new_events_and_keeps_them(
    own_nats: NatsServer,
) -> None:
    """Each of several consumers has sixteen durables there, and all miss the stream at once."""
    consumers = {name: Collector() for name in ("data_pipeline", "ml_workbench", "monitoring", "trading")}
    async with AsyncExitStack() as stack:
        publisher = await stack.enter_async_context(process(own_nats, "market_data"))
        for name, got in consumers.items():
            running = await stack.enter_async_context(process(own_nats, name))
            await running.bus.subscribe(Subscription((OrderPlaced,), got))
        jetstream = (await publisher.link.session()).jetstream
        sent: list[OrderPlaced] = []
        for deletions in range(4):
            sent = [order(number, f"{deletions}-{number}") for number in range(64)]
            await publisher.bus.publish_many(sent)
            for got in consumers.values():
                # With 2.12 a durable that is gone is missed after two and a half heartbeats.
                await until(lambda got=got, sent=sent: named(got, sent), seconds=40)  # type: ignore[misc]
            if deletions < 3:
                await jetstream.delete_stream("TRADING_MONEY")
        own_nats.terminate()
        own_nats.start()
        session = await publisher.link.session(after=1)
        assert (await session.jetstream.stream_info("TRADING_MONEY")).state.messages == len(sent)


async def test_a_stream_that_stores_nothing_is_named_and_made_anew_once_it_is_deleted(
    own_nats: NatsServer,
) -> None:
    got, health = Collector(), Health()
    async with process(own_nats, "data_pipeline", patience_s=1.0) as running:
        await running.bus.subscribe(Subscription((OrderPlaced,), got))
        watching = asyncio.create_task(running.bus.watch(health))
        await running.bus.publish(order(1))
        own_nats.spoil("TRADING_MONEY")
        with pytest.raises(FxError, match=r"not acknowledged.*stream TRADING_MONEY and stores nothing"):
            # more than the file has room for that the server has open
            await running.bus.publish_many([large(number) for number in range(2, 32)])
        await until(lambda: "restart nats-server or delete" in trouble(health))
        await (await running.link.session()).jetstream.delete_stream("TRADING_MONEY")
        again = order(1000)

        async def published() -> bool:
            try:
                await running.bus.publish(again)
            except FxError:
                return False
            return True

        await until_async(published, expected=True)
        await until(lambda: again in got.events and not trouble(health))
        watching.cancel()


def large(number: int) -> OrderPlaced:
    """An order with a long story."""
    placed = order(number)
    placed.order.reason_detail = "x" * 1_000_000
    return placed


def trouble(health: Health) -> str:
    """What it says of streams that do not store."""
    return "".join(
        each.detail for each in health.dependencies() if each.name == "streams" and each.state is not State.UP
    )


def named(got: Collector, sent: Sequence[OrderPlaced]) -> bool:
    """All of these have come."""
    return {each.order_id for each in sent} <= {each.order_id for each in got.events}  # type: ignore[attr-defined]


async def test_a_durable_ahead_of_its_stream_starts_anew(own_nats: NatsServer) -> None:
    got, again = Collector(), Collector()
    async with process(own_nats, "data_pipeline") as running:
        await running.bus.subscribe(Subscription((PriceTickReceived,), got))
        await running.bus.publish_many([ticks(number) for number in range(1, 51)])
        await until(lambda: len(got.deliveries) == 50)
    # A machine that lost power keeps the durable's word and not the stream's last events: here the store of
    # an earlier moment under the durables of a later one.
    own_nats.terminate()
    own_nats.lose_events("MARKETDATA_MARKET")
    own_nats.start()
    async with process(own_nats, "data_pipeline") as running:
        await running.bus.publish_many([ticks(number) for number in range(51, 56)])
        await running.bus.subscribe(Subscription((PriceTickReceived,), again))
        await until(lambda: len(again.deliveries) >= 5)

    assert first_seen(again) == [51, 52, 53, 54, 55]


async def test_a_server_that_comes_back_with_an_empty_store_is_set_up_anew(own_nats: NatsServer) -> None:
    got = Collector()
    async with process(own_nats, "data_pipeline") as running:
        await running.bus.subscribe(Subscription((PriceTickReceived,), got, max_batch=8))
        await running.bus.publish_many([ticks(number) for number in range(1, 101)])
        await until(lambda: len(got.deliveries) == 100)
        own_nats.kill()
        own_nats.lose_everything()
        own_nats.start()
        await running.bus.publish_many([ticks(number) for number in range(101, 201)])
        await until(lambda: len(set(first_seen(got))) == 200)
        jetstream = (await running.link.session()).jetstream
        assert (await jetstream.stream_info("MARKETDATA_MARKET")).state.last_seq == 100

        async def ahead() -> bool:
            info = await jetstream.consumer_info("MARKETDATA_MARKET", EURUSD_DURABLE)
            return info.ack_floor is not None and info.ack_floor.stream_seq == 100

        await until_async(ahead, expected=True)
    assert first_seen(got) == list(range(1, 201))


async def test_parked_keys_survive_a_killed_server_and_forget_what_an_empty_one_lost(
    own_nats: NatsServer,
) -> None:
    bad = True
    got = Collector()

    async def handler(deliveries: Sequence[Delivery]) -> None:
        if bad and deliveries[0].key == "EURUSD":
            raise ValueError("no")
        await got(deliveries)

    async with process(own_nats, "data_pipeline") as running:
        await running.bus.subscribe(Subscription((PriceTickReceived,), handler, max_batch=1))
        await running.bus.publish_many([ticks(1), ticks(2)])
        await until_async(lambda: running.bus.pending("data_pipeline", PriceTickReceived), 0)
        own_nats.kill()
        own_nats.start()
        await running.bus.publish_many([ticks(3), ticks(1, "USDJPY")])
        await until(lambda: got.events == [ticks(1, "USDJPY")])
        await until_async(lambda: running.bus.pending("data_pipeline", PriceTickReceived), 0)
        own_nats.kill()
        own_nats.lose_everything()
        own_nats.start()
        bad = False
        await running.bus.publish(ticks(4))
        await until(lambda: got.events == [ticks(1, "USDJPY"), ticks(4)])


async def test_a_stream_changed_under_a_running_service_ends_it_with_a_clear_word(
    own_nats: NatsServer,
) -> None:
    async with process(own_nats, "data_pipeline") as running:
        await running.bus.subscribe(Subscription((OrderPlaced,), Collector()))
        watching = asyncio.create_task(running.bus.watch(Health()))
        jetstream = (await running.link.session()).jetstream
        await jetstream.update_stream(name="TRADING_MONEY", subjects=["fxmesh.trading.*.*.money.>"])
        own_nats.kill()
        own_nats.start()

        with pytest.raises(FatalError, match="stream TRADING_MONEY configured otherwise"):
            await asyncio.wait_for(watching, 20)


async def test_dead_letters_wait_for_a_server_that_is_away(own_nats: NatsServer) -> None:
    killed = asyncio.Event()

    async def handler(deliveries: Sequence[Delivery]) -> None:
        if not killed.is_set():
            killed.set()
            own_nats.kill()
        raise ValueError("never")

    async with process(own_nats, "data_pipeline", patience_s=0.3) as running:
        await running.bus.subscribe(Subscription((OrderPlaced,), handler))
        await running.bus.publish(order(1))
        await killed.wait()
        own_nats.start()
        session = await running.link.session(after=1)

        async def letters() -> int:
            return (await session.jetstream.stream_info("DLQ")).state.messages

        await until_async(letters, 1)
        letter = await session.jetstream.get_msg("DLQ", 1)
    assert OrderPlaced.FromString(letter.data or b"") == order(1)
