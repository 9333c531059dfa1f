from __future__ import annotations

import asyncio
from collections.abc import Sequence

import nats
import pytest
from fxmesh.analysis.v1.events_pb2 import SignalGenerated
from fxmesh.marketdata.v1.events_pb2 import PriceTickReceived
from nats.aio.msg import Msg
from nats.js.client import JetStreamContext

from services.runtime.bus.handling import RetryPolicy
from services.runtime.bus.lane import PREFETCH
from services.runtime.bus.streams import ACK_WAIT_S
from services.runtime.fatal import FatalError
from services.runtime.health import Health, State
from services.runtime.ports import Delivery, Subscription
from tests.kit.buses import Collector, Process, process
from tests.kit.events import signal, ticks, update
from tests.kit.nats import NatsServer, until, until_async

pytestmark = pytest.mark.integration

TICKS = "MARKETDATA_MARKET"
SOONER_S = ACK_WAIT_S * 2 / 3
"""What comes within it was not waited for until the server gave up on whoever had it."""
EURUSD = "fxmesh.marketdata.v1.PriceTickReceived.market.11.EURUSD"


async def jetstream_of(running: Process) -> JetStreamContext:
    return (await running.link.session()).jetstream


async def unacknowledged(running: Process, consumer: str) -> int:
    return await running.bus.pending(consumer, PriceTickReceived)


async def test_handled_events_are_acknowledged_and_never_come_again(nats_server: NatsServer) -> None:
    got, again = Collector(), Collector()
    async with process(nats_server) as running:
        await running.bus.publish_many([ticks(number) for number in range(1, 501)])
        await running.bus.subscribe(Subscription((PriceTickReceived,), got))
        await until(lambda: len(got.deliveries) == 500)
    async with process(nats_server) as running:
        await running.bus.subscribe(Subscription((PriceTickReceived,), again))
        await running.bus.publish(ticks(501))
        await until(lambda: again.deliveries)
        assert await unacknowledged(running, "market_data") <= 1

    assert got.events == [ticks(number) for number in range(1, 501)]
    assert again.events == [ticks(501)]


async def test_a_crash_between_effect_and_acknowledgement_delivers_again_before_anything_newer(
    nats_server: NatsServer,
) -> None:
    effects: list[int] = []
    committed = asyncio.Event()

    async def commits_and_hangs(deliveries: Sequence[Delivery]) -> None:
        effects.extend(each.stream_sequence for each in deliveries)
        if effects[-1] == 6:
            committed.set()
            await asyncio.Event().wait()

    first = Process(nats_server, "data_pipeline")
    await first.bus.publish_many([ticks(number) for number in range(1, 11)])
    await first.bus.subscribe(Subscription((PriceTickReceived,), commits_and_hangs, max_batch=2))
    await committed.wait()
    await first.crash()
    assert effects == [1, 2, 3, 4, 5, 6]

    got = Collector()
    async with process(nats_server, "data_pipeline") as second:
        await second.bus.publish_many([ticks(number) for number in range(11, 16)])
        await second.bus.subscribe(Subscription((PriceTickReceived,), got, max_batch=2))
        await until(lambda: len(got.deliveries) == 11, seconds=SOONER_S)

    # 5 and 6 had their effect and come again; 7 to 10 were delivered to the dead process and never handled.
    assert [each.stream_sequence for each in got.deliveries] == list(range(5, 16))
    assert [each.redelivered for each in got.deliveries[:6]] == [True] * 6


async def test_what_a_drain_leaves_goes_to_the_next_process_at_once_and_in_order(
    nats_server: NatsServer,
) -> None:
    started, gate = asyncio.Event(), asyncio.Event()
    done: list[int] = []

    async def slow(deliveries: Sequence[Delivery]) -> None:
        started.set()
        await gate.wait()
        done.extend(each.stream_sequence for each in deliveries)

    async with process(nats_server, "data_pipeline") as first:
        await first.bus.publish_many([ticks(number) for number in range(1, 101)])
        await first.bus.subscribe(Subscription((PriceTickReceived,), slow, max_batch=10))
        await started.wait()
        draining = asyncio.create_task(first.bus.drain())
        await asyncio.sleep(0)
        gate.set()
        await draining
    assert 0 < len(done) <= 10
    assert done == list(range(1, len(done) + 1))

    got = Collector()
    async with process(nats_server, "data_pipeline") as second:
        await second.bus.publish(ticks(101))
        await second.bus.subscribe(Subscription((PriceTickReceived,), got))
        await until(lambda: len(got.deliveries) == 101 - len(done), seconds=SOONER_S)
    assert [each.stream_sequence for each in got.deliveries] == list(range(len(done) + 1, 102))


async def test_a_dead_letter_says_what_it_was_and_why(nats_server: NatsServer) -> None:
    async def handler(deliveries: Sequence[Delivery]) -> None:
        raise ValueError("no room for Ünicode")

    async with process(nats_server, "data_pipeline") as running:
        await running.bus.publish(signal(1))
        await running.bus.subscribe(Subscription((SignalGenerated,), handler))
        jetstream = await jetstream_of(running)

        async def letters() -> int:
            return (await jetstream.stream_info("DLQ")).state.messages

        await until_async(letters, 1)
        letter = await jetstream.get_msg("DLQ", 1)

        async def terminated() -> int:
            return (await jetstream.stream_info("ADVISORY")).state.messages

        await until_async(terminated, 1)
        assert await running.bus.pending("data_pipeline", SignalGenerated) == 0

    identity = "fxmesh.analysis.v1.SignalGenerated/s-1:EURUSD:1m:trend:1"
    headers = letter.headers or {}
    assert letter.subject == "dlq.data_pipeline.fxmesh.analysis.v1.SignalGenerated.decision.11.EURUSD"
    assert SignalGenerated.FromString(letter.data or b"") == signal(1)
    assert headers["Nats-Msg-Id"] == f"data_pipeline/{identity}"
    assert headers["x-consumer"] == "data_pipeline"
    assert headers["x-reason"] == r"ValueError: no room for \xdcnicode"
    assert headers["x-attempts"] == "3"
    assert headers["x-original-subject"] == "fxmesh.analysis.v1.SignalGenerated.decision.11.EURUSD"
    assert headers["x-original-stream"] == "ANALYSIS_DECISION"
    assert headers["x-original-stream-sequence"] == "1"
    assert headers["x-original-Nats-Msg-Id"] == identity
    assert headers["x-original-ce-type"] == "fxmesh.analysis.v1.SignalGenerated"


async def test_a_payload_that_is_no_message_is_a_dead_letter_at_once(nats_server: NatsServer) -> None:
    got = Collector()
    async with process(nats_server, "data_pipeline") as running:
        await running.bus.publish(ticks(1))
        stranger = await nats.connect(nats_server.url)
        await stranger.jetstream().publish(EURUSD, b"\xff\xff\xff\xff")
        await stranger.close()
        await running.bus.publish(ticks(2))
        await running.bus.subscribe(Subscription((PriceTickReceived,), got))
        await until(lambda: len(got.deliveries) == 2)
        jetstream = await jetstream_of(running)
        letter = await jetstream.get_msg("DLQ", 1)

    assert got.events == [ticks(1), ticks(2)]
    assert letter.data == b"\xff\xff\xff\xff"
    reason = (letter.headers or {})["x-reason"]
    assert reason == "EVENT_UNREADABLE: 4 bytes are no fxmesh.marketdata.v1.PriceTickReceived"


async def test_a_failing_event_holds_its_partition_and_no_other(nats_server: NatsServer) -> None:
    release = asyncio.Event()
    got = Collector()

    async def handler(deliveries: Sequence[Delivery]) -> None:
        if deliveries[0].event == ticks(1) and not release.is_set():
            raise ValueError("not now")
        await got(deliveries)

    patient = RetryPolicy(attempts=10_000, first_delay_s=0.01, longest_delay_s=0.01)
    async with process(nats_server, "data_pipeline", retry=patient) as running:
        await running.bus.subscribe(Subscription((PriceTickReceived,), handler, max_batch=1))
        await running.bus.publish_many([ticks(1), ticks(2)])
        await running.bus.publish_many([ticks(number, "USDJPY") for number in range(1, 21)])
        await until(lambda: len(got.deliveries) == 20)
        assert {each.key for each in got.deliveries} == {"USDJPY"}
        release.set()
        await until(lambda: len(got.deliveries) == 22)

    assert got.events[20:] == [ticks(1), ticks(2)]


async def test_a_batch_waits_for_more_only_as_long_as_it_was_told(nats_server: NatsServer) -> None:
    got = Collector()
    async with process(nats_server, "data_pipeline") as running:
        await running.bus.subscribe(
            Subscription((PriceTickReceived,), got, max_batch=40, merge=True, max_wait_s=0.5)
        )
        for number in range(1, 101):
            await running.bus.publish(ticks(number, ("EURUSD", "USDJPY")[number % 2]))
        await until(lambda: len(got.deliveries) == 100)

    assert [len(batch) for batch in got.batches] == [40, 40, 20]


async def test_events_nobody_wants_are_acknowledged_unseen(nats_server: NatsServer) -> None:
    got = Collector()
    async with process(nats_server, "analysis_engine") as running:
        await running.bus.subscribe(Subscription((PriceTickReceived,), got))
        updates = [update(number) for number in range(1, 301)]
        await running.bus.publish_many([*updates, ticks(1)])
        await until(lambda: got.deliveries)
        await until_async(lambda: unacknowledged(running, "analysis_engine"), 0)
    assert got.events == [ticks(1)]


async def test_a_slow_consumer_has_a_bounded_number_of_events_in_hand_and_gets_all_of_them(
    nats_server: NatsServer,
) -> None:
    go_on = asyncio.Event()
    got = Collector()

    async def handler(deliveries: Sequence[Delivery]) -> None:
        await go_on.wait()
        await got(deliveries)

    async with process(nats_server, "data_pipeline") as running:
        await running.bus.subscribe(Subscription((PriceTickReceived,), handler, max_batch=16))
        await running.bus.publish_many([ticks(number) for number in range(1, 1001)])
        jetstream = await jetstream_of(running)

        async def in_hand() -> int:
            info = await jetstream.consumer_info("MARKETDATA_MARKET", "data_pipeline_11")
            return info.num_ack_pending or 0

        await until_async(in_hand, PREFETCH)
        assert await running.bus.pending("data_pipeline", PriceTickReceived) == 1000
        go_on.set()
        await until(lambda: len(got.deliveries) == 1000)
    assert got.events == [ticks(number) for number in range(1, 1001)]


async def test_work_longer_than_the_ack_wait_is_not_delivered_twice(nats_server: NatsServer) -> None:
    # The real wait is 30 s: what is shown here is that the lane says "still working" for all it holds.
    gate = asyncio.Event()
    got = Collector()

    async def handler(deliveries: Sequence[Delivery]) -> None:
        await gate.wait()
        await got(deliveries)

    heard: list[str] = []
    async with process(nats_server, "data_pipeline") as running:
        await running.bus.publish_many([ticks(1), ticks(2), ticks(3)])
        stranger = await nats.connect(nats_server.url)

        async def listen(message: Msg) -> None:
            if message.data == b"+WPI":
                heard.append(message.subject)

        await stranger.subscribe("$JS.ACK.>", cb=listen)
        await running.bus.subscribe(Subscription((PriceTickReceived,), handler, max_batch=1))
        await until(lambda: len(heard) >= 3, seconds=15)
        gate.set()
        await until(lambda: len(got.deliveries) == 3)
        await stranger.close()
    assert [each.redelivered for each in got.deliveries] == [False] * 3


async def test_a_durable_configured_otherwise_stops_the_service(nats_server: NatsServer) -> None:
    async with process(nats_server, "data_pipeline") as running:
        await running.bus.open()
        jetstream = await jetstream_of(running)
        await jetstream.add_consumer(
            TICKS, durable_name="data_pipeline_07", filter_subject="fxmesh.marketdata.*.*.market.08.>"
        )

        with pytest.raises(FatalError, match=r"consumer data_pipeline_07 .* configured otherwise"):
            await running.bus.subscribe(Subscription((PriceTickReceived,), Collector()))


async def test_health_follows_the_connection(own_nats: NatsServer) -> None:
    health = Health()

    def state() -> State:
        return next(each.state for each in health.dependencies() if each.name == "bus")

    async with process(own_nats) as running:
        watching = asyncio.create_task(running.bus.watch(health))
        await until(lambda: health.dependencies() and state() is State.UP)
        own_nats.kill()
        await until(lambda: state() is State.DOWN)
        own_nats.start()
        await until(lambda: state() is State.UP)
        watching.cancel()
        await asyncio.wait((watching,))


async def test_a_consumer_that_is_down_or_never_came_counts_with_all_it_has_to_do(
    nats_server: NatsServer,
) -> None:
    async with process(nats_server, "data_pipeline") as consumer:
        await consumer.bus.subscribe(Subscription((PriceTickReceived,), Collector()))
        await consumer.bus.publish(ticks(1))
        await until_async(lambda: unacknowledged(consumer, "data_pipeline"), 0)
    async with process(nats_server) as publisher:
        await publisher.bus.publish_many([ticks(number) for number in range(2, 12)])
        assert await publisher.bus.pending("data_pipeline", PriceTickReceived, "EURUSD") == 10
        assert await publisher.bus.pending("data_pipeline", PriceTickReceived, "USDJPY") == 0
        assert await publisher.bus.pending("analysis_engine", PriceTickReceived, "EURUSD") == 11
