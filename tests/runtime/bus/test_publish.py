from __future__ import annotations

import asyncio

import pytest
from fxmesh.marketdata.v1.events_pb2 import PriceTickReceived
from fxmesh.trading.v1.events_pb2 import OrderPlaced
from nats.js import api

from services.errors import FxError, Kind
from services.runtime.bus.naming import Retention, Stream
from services.runtime.bus.streams import BOUNDS
from services.runtime.fatal import FatalError
from tests.kit.buses import process
from tests.kit.events import order, ticks
from tests.kit.nats import NatsServer

pytestmark = pytest.mark.integration


async def stored(running: object, stream: str) -> list[tuple[str, bytes]]:
    """Id and payload of every event of a stream."""
    jetstream = (await running.link.session()).jetstream  # type: ignore[attr-defined]
    state = (await jetstream.stream_info(stream)).state
    messages = [
        await jetstream.get_msg(stream, number) for number in range(state.first_seq, state.last_seq + 1)
    ]
    return [((each.headers or {})["Nats-Msg-Id"], each.data or b"") for each in messages]


async def test_publishing_returns_once_the_event_is_stored(nats_server: NatsServer) -> None:
    async with process(nats_server) as running:
        await running.bus.publish(ticks(1))

        ((identity, payload),) = await stored(running, "MARKETDATA_MARKET")

    assert identity == "fxmesh.marketdata.v1.PriceTickReceived/s-1/EURUSD/1/1"
    assert PriceTickReceived.FromString(payload) == ticks(1)


async def test_the_first_of_two_events_with_one_id_is_kept(nats_server: NatsServer) -> None:
    async with process(nats_server) as running:
        await running.bus.publish(ticks(1))
        other = ticks(1)
        other.session_ended = True
        await running.bus.publish(other)

        assert [payload for _, payload in await stored(running, "MARKETDATA_MARKET")] == [
            ticks(1).SerializeToString()
        ]


async def test_thousands_are_stored_in_order(nats_server: NatsServer) -> None:
    events = [ticks(number) for number in range(1, 2001)]
    async with process(nats_server) as running:
        await running.bus.publish_many(events)
        jetstream = (await running.link.session()).jetstream
        state = (await jetstream.stream_info("MARKETDATA_MARKET")).state
        assert state.messages == 2000
        for number in (1, 256, 257, 1999, 2000):
            message = await jetstream.get_msg("MARKETDATA_MARKET", number)
            assert PriceTickReceived.FromString(message.data or b"").first_sequence == number


async def test_publishers_at_the_same_time_lose_and_double_nothing(nats_server: NatsServer) -> None:
    async with process(nats_server) as running:
        await asyncio.gather(
            *(
                running.bus.publish_many([ticks(number, symbol) for number in range(1, 101)])
                for symbol in ("EURUSD", "GBPUSD", "USDJPY")
            ),
            *(running.bus.publish(order(number)) for number in range(50)),
        )
        assert len(await stored(running, "MARKETDATA_MARKET")) == 300
        assert len(await stored(running, "TRADING_MONEY")) == 50


async def test_publishing_waits_for_a_server_that_is_started_later(own_nats: NatsServer) -> None:
    own_nats.kill()
    async with process(own_nats) as running:
        publishing = asyncio.create_task(running.bus.publish_many([order(1), order(2)]))
        await asyncio.sleep(0)
        own_nats.start()
        await publishing

        assert len(await stored(running, "TRADING_MONEY")) == 2


async def test_a_server_that_stays_away_ends_in_unavailable(own_nats: NatsServer) -> None:
    async with process(own_nats, patience_s=0.5) as running:
        await running.bus.publish(order(1))
        own_nats.kill()

        with pytest.raises(FxError) as refused:
            await running.bus.publish(order(2))
        assert (refused.value.kind, refused.value.reason) == (Kind.UNAVAILABLE, "BUS_UNAVAILABLE")

        own_nats.start()
        await running.bus.publish(order(2))
        assert len(await stored(running, "TRADING_MONEY")) == 2


async def test_killing_the_server_under_load_keeps_every_event_once_and_in_order(
    own_nats: NatsServer,
) -> None:
    count = 3000
    async with process(own_nats) as running:
        await running.bus.publish(ticks(1))
        publishing = asyncio.create_task(
            running.bus.publish_many([ticks(number) for number in range(2, count + 1)])
        )

        session = await running.link.session()

        async def stored_count() -> int:
            return (await session.jetstream.stream_info("MARKETDATA_MARKET")).state.messages

        for threshold in (count // 4, count // 2, count * 3 // 4):
            while await stored_count() < threshold:
                assert not publishing.done()
            own_nats.kill()
            own_nats.start()
            session = await running.link.session(after=session.number)
        await publishing

        events = [
            PriceTickReceived.FromString(data) for _, data in await stored(running, "MARKETDATA_MARKET")
        ]
    assert [event.first_sequence for event in events] == list(range(1, count + 1))


async def test_a_frozen_server_delays_and_doubles_nothing(own_nats: NatsServer) -> None:
    async with process(own_nats) as running:
        await running.bus.publish(order(1))
        own_nats.freeze()
        publishing = asyncio.create_task(running.bus.publish_many([order(2), order(3), order(4)]))
        done, _ = await asyncio.wait((publishing,), timeout=6)  # past the first time-out
        assert not done
        own_nats.thaw()
        await publishing

        events = [OrderPlaced.FromString(data) for _, data in await stored(running, "TRADING_MONEY")]
    assert events == [order(number) for number in range(1, 5)]


async def test_a_full_money_stream_refuses_and_keeps_what_it_has(nats_server: NatsServer) -> None:
    money = Stream("trading", Retention.MONEY)
    bounds = BOUNDS[Retention.MONEY]
    async with process(nats_server) as running:
        await running.bus.open()
        jetstream = (await running.link.session()).jetstream
        # An operator's emergency: no space for more. The running process does not look again.
        await jetstream.update_stream(
            name=money.name,
            subjects=[money.subjects],
            max_bytes=2000,
            max_age=bounds.max_age_s,
            discard=api.DiscardPolicy.NEW,
            duplicate_window=bounds.duplicate_window_s,
        )
        too_much = order(2)
        too_much.order.reason_detail = "x" * 2000

        with pytest.raises(FxError) as refused:
            # What would still fit must not overtake what does not.
            await running.bus.publish_many([order(1), too_much, order(3)])

        assert (refused.value.kind, refused.value.reason) == (Kind.RESOURCE_EXHAUSTED, "STREAM_FULL")
        kept = [OrderPlaced.FromString(data) for _, data in await stored(running, money.name)]
        assert kept == [order(1)]


async def test_an_event_too_large_for_the_bus_is_refused(nats_server: NatsServer) -> None:
    event = ticks(1)
    event.ticks.bid.extend([1 << 40] * 1_000_000)
    async with process(nats_server) as running:
        with pytest.raises(FxError) as refused:
            await running.bus.publish_many([ticks(2), event, ticks(3)])
    assert refused.value.reason == "REQUEST_TOO_LARGE"


async def test_a_stream_configured_otherwise_stops_the_publisher(nats_server: NatsServer) -> None:
    async with process(nats_server) as running:
        jetstream = (await running.link.session()).jetstream
        await jetstream.add_stream(name="TRADING_MONEY", subjects=["fxmesh.trading.*.*.money.>"])

        with pytest.raises(FatalError, match="stream TRADING_MONEY configured otherwise"):
            await running.bus.open()
        with pytest.raises(FatalError, match="stream TRADING_MONEY configured otherwise"):
            await running.bus.publish(order(1))


async def test_a_deleted_stream_is_made_again(nats_server: NatsServer) -> None:
    async with process(nats_server) as running:
        await running.bus.publish(order(1))
        jetstream = (await running.link.session()).jetstream
        await jetstream.delete_stream("TRADING_MONEY")

        await running.bus.publish(order(2))

        assert len(await stored(running, "TRADING_MONEY")) == 1
