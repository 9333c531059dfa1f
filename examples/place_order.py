"""Places a market order on the demo account and shows what it did to the position.

python examples/place_order.py [SYMBOL] [SIZE] [--trading HOST:PORT]
"""

import argparse
import asyncio
import uuid

import grpc
from fxmesh.trading.v1 import service_pb2, trading_pb2
from fxmesh.trading.v1.service_pb2_grpc import TradingServiceStub
from fxmesh.types.v1 import market_pb2

from services.cli.credentials import channel_credentials

parser = argparse.ArgumentParser(description="Buy at the market.")
parser.add_argument("symbol", nargs="?", default="EURUSD")
parser.add_argument("size", nargs="?", default="10000", help="units of the base currency")
parser.add_argument("--trading", default="localhost:50051", help="address of trading_gateway")
options = parser.parse_args()


async def main() -> None:
    async with grpc.aio.secure_channel(options.trading, channel_credentials()) as channel:
        trading = TradingServiceStub(channel)
        wanted = service_pb2.PlaceOrderRequest(
            account_id="demo",
            client_order_id=uuid.uuid4().hex,  # sent again, the same key gives the same order
            symbol=options.symbol,
            size=options.size,
            side=market_pb2.SIDE_BUY,
            type=trading_pb2.ORDER_TYPE_MARKET,
        )
        try:
            order = (await trading.PlaceOrder(wanted, timeout=5)).order
        except grpc.aio.AioRpcError as refused:
            raise SystemExit(f"{refused.code().name}: {refused.details()}") from None
        status = trading_pb2.OrderStatus.Name(order.status).removeprefix("ORDER_STATUS_").lower()
        print(f"{order.order_id} {status}: {order.filled_size} {order.symbol} at {order.average_price}")

        asked = service_pb2.ListPositionsRequest(account_id="demo", symbol=[options.symbol])
        for position in (await trading.ListPositions(asked, timeout=5)).positions:
            print(f"position {position.size} {position.symbol}, unrealised {position.unrealised_profit}")


asyncio.run(main())
