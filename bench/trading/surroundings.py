"""What trading needs around it, as real processes: nats-server, market data with one synthetic feed, and
trading itself on a database file of its own. Identity is off, as between programs of one machine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import psutil
from fxmesh.trading.v1 import service_pb2, trading_pb2
from fxmesh.trading.v1.service_pb2_grpc import TradingServiceStub
from fxmesh.types.v1 import market_pb2

from tests.kit.nats import NatsServer, find_program
from tests.kit.service_process import service_process

ACCOUNT = "desk"
ORDERS_A_SECOND = 1_000_000
"""Of market time: no bound."""
SETTINGS = {
    "FXMESH_TRADING_GATEWAY_DEMO_ACCOUNT": ACCOUNT,
    "FXMESH_TRADING_GATEWAY_DEMO_DEPOSIT": "1000000000",
    "FXMESH_TRADING_GATEWAY_MAX_ORDERS_PER_SECOND": str(ORDERS_A_SECOND),
    "FXMESH_TRADING_GATEWAY_MAX_POSITION_NOTIONAL": "1000000000",
    "FXMESH_TRADING_GATEWAY_MAX_CURRENCY_EXPOSURE": "1000000000",
    "FXMESH_RATE_ANONYMOUS": "1000000/1000000",
    "FXMESH_ADMISSION": "false",
    "FXMESH_LOG_LEVEL": "info",
}
"""An account that no limit stops; auto-trading has no signals to trade."""
START_S = 60.0


@dataclass(frozen=True, slots=True)
class Trading:
    """The running process, `stub` to call it over gRPC, and the price of EURUSD at the start.

    Seconds from its start until it served, until it had taken an order, and of processor until then.
    """

    process: psutil.Process
    stub: Any
    price: Decimal
    serves_s: float
    trades_s: float
    cpu_s: float


@asynccontextmanager
async def surroundings(folder: Path) -> AsyncIterator[NatsServer]:
    """nats-server and market data, whose data lies in `folder`."""
    nats = NatsServer(find_program(), folder)
    nats.start()
    try:
        feed = {"FXMESH_MARKET_DATA_SYMBOLS": "EURUSD"}
        async with service_process(folder / "market_data", nats, "services.market_data", **feed):
            yield nats
    finally:
        nats.stop()


@asynccontextmanager
async def trading(folder: Path, nats: NatsServer) -> AsyncIterator[Trading]:
    """Trading on the database in `folder`, once it takes orders."""
    began = time.monotonic()
    async with (
        service_process(folder / "trading", nats, "services.trading_gateway", **SETTINGS) as process,
        grpc.aio.insecure_channel(process.address) as channel,
    ):
        serves_s = time.monotonic() - began
        used, stub = psutil.Process(process.pid), TradingServiceStub(channel)
        price = await trades(stub)
        trades_s = time.monotonic() - began
        yield Trading(used, stub, price, serves_s, trades_s, sum(used.cpu_times()[:2]))


async def trades(stub: Any) -> Decimal:
    """Return once it takes an order: the price of that."""
    async with asyncio.timeout(START_S):
        while True:
            try:
                answer = await stub.PlaceOrder(market_order(market_pb2.SIDE_BUY), timeout=5.0)
            except grpc.aio.AioRpcError as failure:
                if failure.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                    raise  # anything but a price that is not there yet
                await asyncio.sleep(0.002)
            else:
                return Decimal(answer.order.average_price)


def market_order(side: market_pb2.Side.ValueType) -> service_pb2.PlaceOrderRequest:
    """A small one under a key of its own; it fills at once."""
    return service_pb2.PlaceOrderRequest(
        account_id=ACCOUNT,
        client_order_id=uuid4().hex,
        symbol="EURUSD",
        side=side,
        type=trading_pb2.ORDER_TYPE_MARKET,
        size="1000",
    )


def limit_order(side: market_pb2.Side.ValueType, price: str) -> service_pb2.PlaceOrderRequest:
    """A small one under a key of its own, which rests."""
    return service_pb2.PlaceOrderRequest(
        account_id=ACCOUNT,
        client_order_id=uuid4().hex,
        symbol="EURUSD",
        side=side,
        type=trading_pb2.ORDER_TYPE_LIMIT,
        size="1000",
        limit_price=price,
    )
