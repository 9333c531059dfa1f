"""What the bus shows of itself, on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from fxmesh.analysis.v1.events_pb2 import SignalGenerated
from nats.js import api
from prometheus_client import CollectorRegistry

from services.runtime.bus import BusMetrics, Link, NatsBus
from services.runtime.bus.letters import Letters
from services.runtime.bus.naming import Retention, Stream
from services.runtime.bus.streams import BOUNDS
from services.runtime.clock import WallClock
from services.runtime.health import Health
from services.runtime.ports import Delivery, Subscription
from tests.kit.buses import QUICK
from tests.kit.events import order, quiet_log, service, signal
from tests.kit.nats import NatsServer, until

pytestmark = pytest.mark.integration


async def test_held_and_parked_keys_letters_and_redrives_are_shown(nats_server: NatsServer) -> None:
    registry = CollectorRegistry()
    link = Link(nats_server.url, "data_pipeline", quiet_log())
    link.open()
    bus = NatsBus(link, service("data_pipeline"), WallClock(), quiet_log(), BusMetrics(registry), retry=QUICK)
    cured = asyncio.Event()

    async def handler(deliveries: Sequence[Delivery]) -> None:
        if not cured.is_set() and deliveries[0].key == "EURUSD":
            raise ValueError("no")

    def shown(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"fxmesh_bus_{name}", labels)

    await bus.subscribe(Subscription((SignalGenerated,), handler))
    assert shown("dead_letters_total", event="SignalGenerated") == 0
    await bus.publish_many([signal(1), signal(2), signal(3), signal(1, "USDJPY")])
    await until(lambda: shown("parked_events") == 2)
    assert shown("parked_keys") == 1
    assert shown("held_keys") == 0
    assert shown("dead_letters_total", event="SignalGenerated") == 1
    assert shown("parked_fill_ratio") == 2 / 10_000

    cured.set()
    letters = Letters((await link.session()).client)
    await letters.order("redrive", (await letters.find())[0])
    await until(lambda: shown("redriven_total") == 3)
    await until(lambda: shown("parked_keys") == 0)
    assert shown("parked_events") == 0
    assert shown("consumed_total", event="SignalGenerated") == 4
    await bus.drain()
    await link.close()


async def test_a_money_stream_tells_how_full_it_is(nats_server: NatsServer) -> None:
    registry = CollectorRegistry()
    link = Link(nats_server.url, "trading_gateway", quiet_log())
    link.open()
    bus = NatsBus(link, service("trading_gateway"), WallClock(), quiet_log(), BusMetrics(registry))
    await bus.open()
    money = Stream("trading", Retention.MONEY)
    bounds = BOUNDS[Retention.MONEY]
    await (await link.session()).jetstream.update_stream(
        name=money.name,
        subjects=[money.subjects],
        max_bytes=1000,
        max_age=bounds.max_age_s,
        discard=api.DiscardPolicy.NEW,
        duplicate_window=bounds.duplicate_window_s,
    )
    await bus.publish(order(1))
    watching = asyncio.create_task(bus.watch(Health()))

    def fill() -> float | None:
        return registry.get_sample_value("fxmesh_bus_stream_fill_ratio", {"stream": "TRADING_MONEY"})

    await until(lambda: fill() is not None)
    assert 0.3 < (fill() or 0) < 1
    watching.cancel()
    await asyncio.wait((watching,))
    await link.close()
