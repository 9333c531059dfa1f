"""Trading on a real bus whose stream of money events has no room left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from fxmesh.trading.v1 import service_pb2, trading_pb2
from fxmesh.types.v1 import market_pb2 as types_pb2

from services.errors import FxError
from services.runtime.bus import Link, NatsBus, RetryPolicy
from services.runtime.bus.naming import Retention, Stream
from services.runtime.bus.streams import BOUNDS
from services.runtime.clock import WallClock
from services.runtime.policy import service_policy
from services.trading_gateway.config import Settings
from tests.kit.events import quiet_log
from tests.kit.nats import NatsServer, nats_server, shared_nats
from tests.trading_gateway.kit import batch
from tests.trading_gateway.platform import TRADING, Platform, platform
from tests.trading_gateway.world import until

pytestmark = pytest.mark.integration

__all__ = ["nats_server", "shared_nats"]

MONEY = Stream("trading", Retention.MONEY)


@pytest_asyncio.fixture
async def link(nats_server: NatsServer) -> AsyncIterator[Link]:
    link = Link(nats_server.url, "trading_gateway", quiet_log())
    link.open()
    yield link
    await link.close()


def limit(number: int) -> service_pb2.PlaceOrderRequest:
    return service_pb2.PlaceOrderRequest(
        account_id="demo",
        client_order_id=f"o-{number}",
        symbol="EURUSD",
        side=types_pb2.SIDE_BUY,
        type=trading_pb2.ORDER_TYPE_LIMIT,
        limit_price="1.09900",
        size="1000",
    )


async def place_until_refused(running: Platform) -> tuple[list[Any], FxError]:
    """Orders that were taken, and why the next one was not."""
    taken = []
    for number in range(1, 200):
        try:
            taken.append((await running.stub.PlaceOrder(limit(number), timeout=30)).order)
        except FxError as refused:
            return taken, refused
    pytest.fail("every order was taken")


async def test_a_full_stream_refuses_new_risk_passes_cancels_and_ends_when_there_is_room(
    tmp_path: Path, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BOUNDS, Retention.MONEY, replace(BOUNDS[Retention.MONEY], max_bytes=20_000))
    log = quiet_log()
    bus = NatsBus(link, service_policy(TRADING), WallClock(), log, retry=RetryPolicy())
    # No tick follows the first: what is looked at is the room on the bus, however long that takes.
    async with platform(tmp_path, Settings(feed_stale_seconds=60), bus=bus) as running:
        await running.announce()
        await running.tick(batch([("1.10000", "1.10010")]))
        taken, refused = await place_until_refused(running)
        assert taken
        assert refused.reason == "STREAM_FULL"

        cancel = service_pb2.CancelOrderRequest(order_id=taken[0].order_id, request_id="c-1")
        cancelled = (await running.stub.CancelOrder(cancel, timeout=30)).order
        assert cancelled.status in (
            trading_pb2.ORDER_STATUS_CANCELLED,
            trading_pb2.ORDER_STATUS_PENDING_CANCEL,
        )
        waiting = running.registry.get_sample_value("fxmesh_bus_outbox_backlog")
        assert waiting

        jetstream = (await link.session()).jetstream
        await jetstream.purge_stream(MONEY.name)
        await until(lambda: running.registry.get_sample_value("fxmesh_bus_outbox_backlog") == 0)
        again = (await running.stub.PlaceOrder(limit(500), timeout=30)).order
        assert again.status != trading_pb2.ORDER_STATUS_REJECTED
