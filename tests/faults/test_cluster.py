"""Three nats-servers with three copies of each stream: one may die at any time; two, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from nats import errors

from services.runtime.bus import Link
from services.runtime.bus.looking import Look
from services.runtime.bus.streams import PARKED, ensure_dead_letters
from tests.kit.cluster import Cluster, cluster_of_three
from tests.kit.event_process import effects
from tests.kit.events import quiet_log
from tests.kit.nats import NatsServer, until, until_async
from tests.kit.order_flow import CONSUMER, OrderFlow

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

STREAM = "TRADING_MONEY"


@pytest.fixture
def flow(tmp_path: Path) -> Iterator[OrderFlow]:
    with cluster_of_three(tmp_path) as cluster:
        yield OrderFlow(tmp_path, cluster, FXMESH_STREAM_REPLICAS="3")


async def leader(flow: OrderFlow) -> NatsServer:
    """Who leads the stream of orders, once somebody does."""
    assert isinstance(flow.nats, Cluster)
    found: list[NatsServer] = []

    async def chosen() -> bool:
        try:
            found.append(await flow.nats.leader(STREAM))  # type: ignore[union-attr]
        except (errors.Error, TimeoutError, AssertionError):
            return False
        return True

    await until_async(chosen, expected=True, seconds=60)
    return found[-1]


async def test_the_leader_of_a_stream_dies_and_its_events_go_on(flow: OrderFlow) -> None:
    async with flow.publisher() as publisher, flow.consumer():
        placing = asyncio.create_task(flow.place(publisher, 200, pause_s=0.005))
        await until(lambda: len(effects(flow.folder / CONSUMER)) >= 20, seconds=60)
        (await leader(flow)).kill()
        await placing
        assert flow.history.size[0] == 200
        await flow.settled()


async def test_without_a_quorum_orders_wait_in_the_outbox_until_there_is_one(flow: OrderFlow) -> None:
    assert isinstance(flow.nats, Cluster)
    async with flow.publisher() as publisher, flow.consumer():
        await flow.place(publisher, 20)
        await until(lambda: len(effects(flow.folder / CONSUMER)) == 20, seconds=60)
        first, second, _ = flow.nats.servers
        first.kill()
        second.kill()
        await flow.place(publisher, 30)
        assert flow.history.size[0] == 50
        assert len(effects(flow.folder / CONSUMER)) < 50
        first.start()
        second.start()
        await flow.settled()


async def test_what_is_parked_is_found_while_a_server_is_dead(flow: OrderFlow) -> None:
    """The cluster gives a look to one of its servers, a dead one included, for some minutes."""
    link = Link(flow.nats.url, "looker", quiet_log())
    link.open()
    session = await link.session(timeout_s=20)

    async def made() -> bool:
        try:
            await ensure_dead_letters(session.jetstream, replicas=3)
        except (errors.Error, TimeoutError):
            return False
        return True

    await until_async(made, expected=True, seconds=60)
    assert isinstance(flow.nats, Cluster)
    connected = session.client.connected_url
    assert connected is not None
    next(server for server in flow.nats.servers if not server.url.endswith(f":{connected.port}")).kill()
    await until_async(made, expected=True, seconds=60)  # a leader may have to be found
    look = Look("trading")
    for _ in range(10):
        assert not await look.finds(session.client, PARKED, "parked.trading.>", 1)
    await link.close()
