"""What a service may rely on, whichever bus it was handed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from fxmesh.analysis.v1.events_pb2 import SignalGenerated
from fxmesh.marketdata.v1.events_pb2 import MarketDataUpdated, PriceTickReceived
from fxmesh.pipeline.v1.events_pb2 import PipelineExecutionStarted
from fxmesh.trading.v1.events_pb2 import OrderPlaced
from google.protobuf.message import Message

from services.errors import FxError, Kind
from services.runtime import context
from services.runtime.ports import Delivery, Observation, Subscription
from tests.kit.buses import Collector
from tests.kit.events import order, signal, ticks, update
from tests.kit.nats import until, until_async
from tests.kit.worlds import World

pytestmark = pytest.mark.integration


async def test_an_event_arrives_as_it_was_with_its_id_key_and_headers(world: World) -> None:
    got = Collector()
    await world.bus("alpha").subscribe(Subscription((PriceTickReceived,), got))

    await world.bus("beta").publish(ticks(1, size=100), causation_id="cause")
    await until(lambda: got.deliveries)

    (delivery,) = got.deliveries
    assert delivery.event == ticks(1, size=100)
    assert delivery.id == "fxmesh.marketdata.v1.PriceTickReceived/s-1/EURUSD/1/100"
    assert delivery.subject == "fxmesh.marketdata.v1.PriceTickReceived.market.11.EURUSD"
    assert (delivery.key, delivery.stream_sequence, delivery.redelivered) == ("EURUSD", 1, False)
    headers = dict(delivery.headers)
    assert headers.pop("ce-time").endswith("Z")
    assert headers == {
        "Nats-Msg-Id": delivery.id,
        "ce-specversion": "1.0",
        "ce-id": delivery.id,
        "ce-type": "fxmesh.marketdata.v1.PriceTickReceived",
        "ce-source": "/fxmesh/beta",
        "ce-subject": "EURUSD",
        "ce-datacontenttype": "application/protobuf",
        "correlation-id": delivery.id,
        "causation-id": "cause",
    }


async def test_events_of_one_key_arrive_in_the_order_they_were_published(world: World) -> None:
    got = Collector()
    await world.bus("alpha").subscribe(Subscription((PriceTickReceived,), got, max_batch=7))
    symbols = ("EURUSD", "GBPUSD", "USDJPY")

    await world.bus("beta").publish_many(
        [ticks(number, symbol) for number in range(1, 101) for symbol in symbols]
    )
    await until(lambda: len(got.deliveries) == 300)

    for symbol in symbols:
        assert [each.event for each in got.deliveries if each.key == symbol] == [
            ticks(number, symbol) for number in range(1, 101)
        ]
    assert max(map(len, got.batches)) <= 7


async def test_an_event_published_again_is_delivered_once(world: World) -> None:
    got = Collector()
    await world.bus("alpha").subscribe(Subscription((OrderPlaced,), got))

    for _ in range(3):
        await world.bus("beta").publish(order(1))
    await world.bus("beta").publish_many([order(1), order(2), order(2)])
    await until(lambda: len(got.deliveries) >= 2)
    await world.bus("alpha").drain()

    assert got.events == [order(1), order(2)]


async def test_every_consuming_service_gets_every_event(world: World) -> None:
    alpha, beta = Collector(), Collector()
    await world.bus("alpha").subscribe(Subscription((SignalGenerated,), alpha))
    await world.bus("beta").subscribe(Subscription((SignalGenerated,), beta))

    await world.bus("beta").publish_many([signal(1), signal(2)])
    await until(lambda: len(alpha.deliveries) == len(beta.deliveries) == 2)

    assert alpha.events == beta.events == [signal(1), signal(2)]


async def test_what_was_published_before_is_delivered_to_a_consumer_that_comes_later(world: World) -> None:
    await world.bus("beta").publish_many([signal(1), signal(2)])
    got = Collector()

    await world.bus("alpha").subscribe(Subscription((SignalGenerated,), got))
    await until(lambda: len(got.deliveries) == 2)

    assert got.events == [signal(1), signal(2)]


async def test_subscriptions_on_one_stream_each_get_their_events_and_nothing_else(world: World) -> None:
    tick, quote = Collector(), Collector()
    await world.bus("alpha").subscribe(
        Subscription((PriceTickReceived,), tick), Subscription((MarketDataUpdated,), quote)
    )

    await world.bus("beta").publish_many([ticks(1), update(1), ticks(2)])
    await until(lambda: len(tick.deliveries) == 2 and quote.deliveries)

    assert (tick.events, quote.events) == ([ticks(1), ticks(2)], [update(1)])


async def test_a_merged_subscription_gets_all_keys_and_classes_one_batch_at_a_time(world: World) -> None:
    running = 0
    most = 0
    got = Collector()

    async def handler(deliveries: Sequence[Delivery]) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        await got(deliveries)
        running -= 1

    await world.bus("alpha").subscribe(
        Subscription((PriceTickReceived, OrderPlaced), handler, max_batch=50, merge=True)
    )
    events = [ticks(number, symbol) for number in range(1, 21) for symbol in ("EURUSD", "USDJPY", "AUDUSD")]
    await world.bus("beta").publish_many([*events, *(order(number) for number in range(1, 21))])
    await until(lambda: len(got.deliveries) == 80)

    assert most == 1
    for key in ("EURUSD", "USDJPY", "AUDUSD"):
        numbers = [each.event.first_sequence for each in got.deliveries if each.key == key]  # type: ignore[attr-defined]
        assert numbers == list(range(1, 21))


async def test_a_handler_that_fails_gets_the_events_again_and_nothing_overtakes(world: World) -> None:
    failures = iter([ValueError("not yet"), FxError(Kind.UNAVAILABLE, "STORE_UNAVAILABLE", "away")])
    got = Collector()

    async def handler(deliveries: Sequence[Delivery]) -> None:
        failure = next(failures, None)
        if failure is not None:
            raise failure
        await got(deliveries)

    await world.bus("alpha").subscribe(Subscription((PriceTickReceived,), handler, max_batch=1))
    await world.bus("beta").publish_many([ticks(1), ticks(2), ticks(3)])
    await until(lambda: len(got.deliveries) == 3)

    assert got.events == [ticks(1), ticks(2), ticks(3)]
    assert await world.dead_letters() == []


async def test_two_consumers_give_up_the_same_event_separately(world: World) -> None:
    async def handler(deliveries: Sequence[Delivery]) -> None:
        raise ValueError("no")

    for name in ("alpha", "beta"):
        await world.bus(name).subscribe(Subscription((SignalGenerated,), handler))
    await world.bus("beta").publish(signal(1))

    async def consumers() -> list[str]:
        return sorted(each.partition("/")[0] for each in await world.dead_letters())

    await until_async(consumers, ["alpha", "beta"])


async def test_a_publisher_sees_what_a_consumer_has_still_to_do(world: World) -> None:
    gate = asyncio.Event()

    async def handler(deliveries: Sequence[Delivery]) -> None:
        await gate.wait()

    await world.bus("alpha").subscribe(Subscription((PriceTickReceived,), handler, max_batch=4))
    await world.bus("beta").publish_many([ticks(number) for number in range(1, 11)])

    assert await world.bus("beta").pending("alpha", PriceTickReceived) == 10
    gate.set()
    await until_async(lambda: world.bus("beta").pending("alpha", PriceTickReceived), 0)


async def test_what_a_handler_publishes_belongs_to_the_story_of_what_it_handles(world: World) -> None:
    got = Collector()

    async def handler(deliveries: Sequence[Delivery]) -> None:
        await world.bus("alpha").publish(signal(1))

    await world.bus("alpha").subscribe(Subscription((PriceTickReceived,), handler))
    await world.bus("beta").subscribe(Subscription((SignalGenerated,), got))
    context.correlation_id.set("story")
    await world.bus("beta").publish(ticks(1))
    await until(lambda: got.deliveries)

    headers = got.deliveries[0].headers
    assert headers["correlation-id"] == "story"
    assert headers["causation-id"] == "fxmesh.marketdata.v1.PriceTickReceived/s-1/EURUSD/1/1"


async def test_draining_lets_the_batch_in_hand_finish_and_takes_no_other(world: World) -> None:
    started, gate = asyncio.Event(), asyncio.Event()
    got = Collector()

    async def handler(deliveries: Sequence[Delivery]) -> None:
        started.set()
        await gate.wait()
        await got(deliveries)

    await world.bus("alpha").subscribe(Subscription((PriceTickReceived,), handler, max_batch=1))
    await world.bus("beta").publish_many([ticks(1), ticks(2), ticks(3)])
    await started.wait()
    draining = asyncio.create_task(world.bus("alpha").drain())
    await asyncio.sleep(0)
    assert not draining.done()
    gate.set()
    await draining

    assert got.events == [ticks(1)]


async def test_an_event_that_the_contract_does_not_list_is_refused(world: World) -> None:
    with pytest.raises(FxError, match=r"does not list .*PipelineExecutionStarted under publishes") as refused:
        await world.bus("alpha").publish(PipelineExecutionStarted(execution_id="x"))
    assert refused.value.kind is Kind.PERMISSION_DENIED

    with pytest.raises(ValueError, match="under consumes"):
        await world.bus("alpha").subscribe(Subscription((PipelineExecutionStarted,), Collector()))


async def test_an_event_without_identity_is_refused(world: World) -> None:
    with pytest.raises(FxError) as refused:
        await world.bus("alpha").publish_many([ticks(1), ticks(2, symbol="EUR/USD")])
    assert refused.value.kind is Kind.INVALID_ARGUMENT
    assert refused.value.violations[0].field == "symbol"


async def test_an_event_belongs_to_one_subscription(world: World) -> None:
    with pytest.raises(ValueError, match="two subscriptions"):
        await world.bus("alpha").subscribe(
            Subscription((PriceTickReceived,), Collector()), Subscription((PriceTickReceived,), Collector())
        )


async def test_a_second_subscription_on_a_stream_comes_too_late(world: World) -> None:
    await world.bus("alpha").subscribe(Subscription((PriceTickReceived,), Collector()))

    with pytest.raises(ValueError, match="subscribe once"):
        await world.bus("alpha").subscribe(Subscription((MarketDataUpdated,), Collector()))


class Ear:
    """Notes what an observer is told."""

    def __init__(self, *events: type[Message]) -> None:
        self.heard: list[str] = []
        self.listening = False
        self.observation = Observation(
            tuple(each.DESCRIPTOR.full_name for each in events), self.heard.append, self._on, self._off
        )

    def _on(self) -> None:
        self.listening = True

    def _off(self) -> None:
        self.listening = False


async def test_an_observer_hears_its_events_from_now_on_and_takes_them_from_nobody(world: World) -> None:
    await world.bus("beta").publish(signal(1))
    ear, got = Ear(SignalGenerated, OrderPlaced), Collector()
    await world.bus("alpha").observe(ear.observation)
    await until(lambda: ear.listening)
    await world.bus("alpha").subscribe(Subscription((SignalGenerated,), got))

    await world.bus("beta").publish_many([ticks(1), signal(2), order(1), signal(3)])
    await until(lambda: len(ear.heard) == 3 and len(got.deliveries) == 3)

    names = [SignalGenerated.DESCRIPTOR.full_name, OrderPlaced.DESCRIPTOR.full_name]
    assert sorted(ear.heard) == sorted([*names, names[0]])
    assert got.events == [signal(1), signal(2), signal(3)]


async def test_an_observer_of_nothing_is_told_that_the_way_is_open(world: World) -> None:
    ear = Ear()
    await world.bus("alpha").observe(ear.observation)
    await until(lambda: ear.listening)
    await world.bus("beta").publish(signal(1))
    assert ear.heard == []
