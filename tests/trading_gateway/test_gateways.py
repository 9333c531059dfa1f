"""Two gateways on one database: one trades, the other passes calls on, and takes over when it must."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from fxmesh.trading.v1 import service_pb2 as pb
from fxmesh.trading.v1 import trading_pb2
from fxmesh.trading.v1.service_pb2_grpc import TradingServiceStub
from fxmesh.types.v1 import market_pb2

from services.errors import FxError, Kind
from tests.kit.nats import NatsServer, nats_server, shared_nats, until_async
from tests.kit.postgres import PostgresServer, own_postgres, postgres
from tests.kit.service_process import ServiceProcess, calling, service_process

__all__ = ["nats_server", "own_postgres", "postgres", "shared_nats"]

pytestmark = [pytest.mark.integration, pytest.mark.postgres, pytest.mark.timeout(300)]

TRADING = "fxmesh.trading.v1.TradingService"
PATIENCE_S = 60.0
DEADLINE_S = 10.0
_NOT_NOW = (Kind.UNAVAILABLE, Kind.DEADLINE_EXCEEDED)


class Gateway:
    """One process, and a stub that calls it and no other, once."""

    def __init__(self, process: ServiceProcess, stub: Any) -> None:
        self.process = process
        self.stub = stub
        self._asked = count(1)

    async def place(self, key: str, size: str = "1000", limit: str = "") -> trading_pb2.Order:
        """A market order, or one that rests far below the market."""
        request = pb.PlaceOrderRequest(
            account_id="demo",
            client_order_id=key,
            symbol="EURUSD",
            side=market_pb2.SIDE_BUY,
            type=trading_pb2.ORDER_TYPE_LIMIT if limit else trading_pb2.ORDER_TYPE_MARKET,
            size=size,
            limit_price=limit,
        )
        answer = await self.stub.PlaceOrder(request, timeout=DEADLINE_S)
        return answer.order  # type: ignore[no-any-return]

    async def trades(self) -> bool:
        """It knows of the account and of prices, itself or by another."""
        try:
            await self.place(f"to-see-whether-there-are-prices-{next(self._asked)}")
        except FxError as failure:
            if failure.kind not in (*_NOT_NOW, Kind.FAILED_PRECONDITION, Kind.NOT_FOUND):
                raise
            return False
        return True

    async def orders(self) -> list[trading_pb2.Order]:
        request = pb.ListOrdersRequest(account_id="demo", page_size=500)
        return list((await self.stub.ListOrders(request, timeout=DEADLINE_S)).orders)

    async def reconciled(self) -> bool:
        request = pb.ReconcileAccountRequest(account_id="demo")
        answer = await self.stub.ReconcileAccount(request, timeout=DEADLINE_S)
        return bool(answer.reconciled)

    def terms(self) -> list[int]:
        """Of the leases that it took so far."""
        return [line["term"] for line in self.process.lines if line["event"] == "lease.taken"]

    def built(self) -> int:
        """How often it built the books."""
        return sum(line["event"] == "books.built" for line in self.process.lines)


@asynccontextmanager
async def _gateway(folder: Path, nats: NatsServer, address: str) -> AsyncIterator[Gateway]:
    settings = {
        "FXMESH_TRADING_GATEWAY_DATABASE_URL": address,
        "FXMESH_TRADING_GATEWAY_MAX_ORDERS_PER_SECOND": "1000",
        # A loaded machine may be late with ticks; that is not what this is about.
        "FXMESH_TRADING_GATEWAY_FEED_STALE_SECONDS": "60",
    }
    async with (
        service_process(folder, nats, "services.trading_gateway", **settings) as process,
        calling(process.address, TRADING, once=True) as channels,
    ):
        yield Gateway(process, TradingServiceStub(channels.to(TRADING)))


@pytest_asyncio.fixture
async def gateways(
    nats_server: NatsServer, postgres: PostgresServer, tmp_path: Path
) -> AsyncIterator[list[Gateway]]:
    """Two, of which the first one trades, and market data."""
    async with _gateways(nats_server, postgres, tmp_path) as found:
        yield found


@asynccontextmanager
async def _gateways(
    nats_server: NatsServer, postgres: PostgresServer, tmp_path: Path
) -> AsyncIterator[list[Gateway]]:
    address = postgres.database()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(
            service_process(tmp_path / "prices", nats_server, "services.market_data")
        )
        found = []
        for name in ("first", "second"):
            found.append(await stack.enter_async_context(_gateway(tmp_path / name, nats_server, address)))
            await until_async(found[0].trades, expected=True, seconds=PATIENCE_S)
        yield found


async def eventually(act: Callable[[], Awaitable[trading_pb2.Order]]) -> trading_pb2.Order:
    """What it answers once it does, asked again while nobody leads, as a client would."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await act()
            except FxError as failure:
                if failure.kind not in _NOT_NOW:
                    raise
                await asyncio.sleep(0.1)


async def test_one_trades_and_both_answer_alike(gateways: list[Gateway]) -> None:
    first, second = gateways
    assert (len(first.terms()), len(second.terms())) == (1, 0)
    placed = await second.place("by-the-second")
    assert await first.place("by-the-second") == placed
    assert await first.orders() == await second.orders()
    assert await second.reconciled()
    assert second.built() == 0


async def test_the_other_takes_over_from_one_that_was_killed(gateways: list[Gateway]) -> None:
    first, second = gateways
    resting = await first.place("rests", limit="1.06000")
    acknowledged: dict[str, str] = {}
    unknown: list[str] = []

    async def keep_placing() -> None:
        number = 0
        while True:
            number += 1
            key = f"k{number}"
            try:
                acknowledged[key] = (await first.place(key)).order_id
            except FxError:
                unknown.append(key)
                return

    callers = [asyncio.create_task(keep_placing()) for _ in range(4)]
    await until_async(partial(_count, acknowledged), expected=True, seconds=PATIENCE_S)
    first.process.kill()
    await asyncio.gather(*callers)
    await until_async(second.trades, expected=True, seconds=PATIENCE_S)

    for key in [*acknowledged, *unknown]:
        again = await eventually(partial(second.place, key))
        assert acknowledged.setdefault(key, again.order_id) == again.order_id
    orders = await second.orders()
    keys = [each.client_order_id for each in orders]
    assert len(keys) == len(set(keys))
    assert {each.client_order_id: each.order_id for each in orders}.items() >= acknowledged.items()
    kept = next(each for each in orders if each.order_id == resting.order_id)
    assert kept.status == trading_pb2.ORDER_STATUS_ACCEPTED
    assert await second.reconciled()
    assert second.terms() > first.terms()


async def _count(acknowledged: dict[str, str]) -> bool:
    return len(acknowledged) >= 20


async def test_one_that_stood_still_past_its_lease_is_refused_and_follows(gateways: list[Gateway]) -> None:
    first, second = gateways
    before = (await first.place("before")).order_id
    first.process.freeze()
    late = asyncio.create_task(first.place("late"))  # waits in its socket
    await until_async(second.trades, expected=True, seconds=PATIENCE_S)
    during = await eventually(partial(second.place, "during"))
    first.process.thaw()
    # Refused, because its time or the lease has passed; or passed on.
    (answer,) = await asyncio.gather(late, return_exceptions=True)
    assert isinstance(answer, FxError | trading_pb2.Order), answer
    again = await eventually(partial(second.place, "late"))
    assert isinstance(answer, FxError) or answer.order_id == again.order_id
    after = await eventually(partial(first.place, "after"))

    assert (len(first.terms()), len(second.terms())) == (1, 1)
    found = {each.client_order_id: each.order_id for each in await first.orders()}
    assert {"before": before, "during": during.order_id, "after": after.order_id}.items() <= found.items()
    assert await first.orders() == await second.orders()
    assert await first.reconciled()

    second.process.terminate()
    assert await second.process.ended() == 0
    again = await eventually(partial(first.place, "during"))
    assert again.order_id == during.order_id
    await until_async(first.trades, expected=True, seconds=PATIENCE_S)
    await eventually(partial(first.place, "in-its-second-term"))
    assert (len(first.terms()), first.built()) == (2, 2)
    assert await first.reconciled()


async def test_one_that_is_told_to_stop_hands_over_at_once(gateways: list[Gateway]) -> None:
    first, second = gateways
    placed = (await first.place("before")).order_id
    first.process.terminate()
    assert await first.process.ended() == 0
    assert (await eventually(partial(second.place, "before"))).order_id == placed
    assert await second.reconciled()
    lapsed = [line for line in first.process.lines if line["event"] in ("lease.lapsed", "lease.lost")]
    assert lapsed == []


async def test_a_database_that_went_and_came_back_has_all_that_was_acknowledged(
    nats_server: NatsServer, own_postgres: PostgresServer, tmp_path: Path
) -> None:
    async with _gateways(nats_server, own_postgres, tmp_path) as (first, second):
        before = (await first.place("before")).order_id
        own_postgres.kill()
        for each in (first, second):
            with pytest.raises(FxError) as away:
                await each.place("meanwhile")
            assert away.value.kind in (Kind.UNAVAILABLE, Kind.DEADLINE_EXCEEDED)
        own_postgres.start()
        for each in (first, second):
            assert (await eventually(partial(each.place, "before"))).order_id == before
        await until_async(second.trades, expected=True, seconds=PATIENCE_S)
        during = await eventually(partial(second.place, "meanwhile"))
        assert (await eventually(partial(first.place, "meanwhile"))).order_id == during.order_id
        assert await first.reconciled()
