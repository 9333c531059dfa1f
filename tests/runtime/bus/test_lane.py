"""A pull that goes on for ever is made of requests that end: none of them may be waited for in vain."""

from __future__ import annotations

import json

import pytest
from fxmesh.marketdata.v1.events_pb2 import PriceTickReceived

from services.runtime.bus import BusMetrics, Link, RetryPolicy, lane
from services.runtime.bus.consume import Consumer
from services.runtime.bus.dispatch import Dispatcher
from services.runtime.bus.lane import Item, Lane
from services.runtime.bus.parking import Parking
from services.runtime.bus.publish import Publisher
from services.runtime.ports import Subscription
from tests.kit.buses import Collector, process
from tests.kit.events import quiet_log, ticks
from tests.kit.nats import NatsServer, until

pytestmark = pytest.mark.integration

EXPIRES_S, HEARTBEAT_S = 0.5, 0.2


async def test_a_request_whose_end_is_not_told_is_made_anew_and_no_durable_is_called_silent(
    own_nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # nats-server 2.9 drops a request that has just expired without a word when an event comes to it.
    request = {"expires": round(EXPIRES_S * 1e9), "idle_heartbeat": round(HEARTBEAT_S * 1e9)}
    monkeypatch.setattr(lane, "_REQUEST", json.dumps(request)[:-1])
    monkeypatch.setattr(lane, "_EXPIRES_S", EXPIRES_S)
    monkeypatch.setattr(lane, "_SILENCE_S", 600.0)  # a durable called silent would be set up anew
    ended: set[str] = set()
    heard = Lane.on_status

    def lose_the_end(self: Lane, block: bytes) -> None:
        if b" 408" in block:
            ended.add(self.durable)
        else:
            heard(self, block)

    monkeypatch.setattr(Lane, "on_status", lose_the_end)
    got = Collector()
    async with process(own_nats, "data_pipeline") as running:
        await running.bus.subscribe(Subscription((PriceTickReceived,), got))
        await until(lambda: "data_pipeline_11" in ended)
        await running.bus.publish(ticks(1))
        await until(lambda: got.events == [ticks(1)])


def unheard(failure: BaseException) -> None:
    raise failure


@pytest.mark.parametrize(
    ("before", "after"),
    [(b"$JS.ACK.", b""), (b"$JS.ACK.hub.ABCDEF.", b""), (b"$JS.ACK.hub.ABCDEF.", b".random")],
    ids=["stream first", "domain and account first", "and a token at the end"],
)
def test_an_event_is_known_by_what_acknowledges_it(
    before: bytes, after: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = Link("nats://127.0.0.1:1", "test", quiet_log())
    kept = Parking(link, Publisher(link, (), quiet_log(), 1.0), "data_pipeline", quiet_log())
    got: list[tuple[str, Item]] = []
    monkeypatch.setattr(Lane, "on_event", lambda self, item: got.append((self.durable, item)))
    wanted = Subscription((PriceTickReceived,), Collector())
    dispatcher = Dispatcher(
        "data_pipeline", [wanted], kept, unheard, quiet_log(), BusMetrics(), RetryPolicy()
    )
    consumer = Consumer(link, "data_pipeline", dispatcher, unheard, quiet_log())

    reply = before + b"MARKETDATA_MARKET.data_pipeline_11.2.7.9.1700000000000000000.3" + after
    consumer._on_message(b"some.subject", reply, b"payload", b"")
    consumer._on_message(b"some.subject", reply.replace(b"_11", b"_77"), b"payload", b"")  # of nobody here

    ((durable, item),) = got
    assert (durable, item.deliveries, item.sequence, item.reply) == ("data_pipeline_11", 2, 7, reply)
