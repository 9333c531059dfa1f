"""Prints quotes as they change, until it has seen enough.

python examples/stream_quotes.py [SYMBOL]... [--count N] [--market-data HOST:PORT]
"""

import argparse
import asyncio

import grpc
from fxmesh.marketdata.v1 import service_pb2
from fxmesh.marketdata.v1.service_pb2_grpc import MarketDataServiceStub

from services.cli.credentials import channel_credentials

parser = argparse.ArgumentParser(description="Follow quotes.")
parser.add_argument("symbols", nargs="*", default=["EURUSD"])
parser.add_argument("--count", type=int, default=10, help="quotes to print")
parser.add_argument("--market-data", default="localhost:50052", help="address of market_data")
options = parser.parse_args()


async def main() -> None:
    async with grpc.aio.secure_channel(options.market_data, channel_credentials()) as channel:
        wanted = service_pb2.StreamQuotesRequest(symbol=options.symbols)
        answers = MarketDataServiceStub(channel).StreamQuotes(wanted, timeout=3600)
        seen = 0
        async for answer in answers:
            if answer.WhichOneof("content") == "heartbeat":
                continue  # once a second when nothing else comes: the feed lives, the price rests
            quote = answer.quote
            print(quote.time.ToJsonString(), quote.symbol, quote.bid, quote.ask, flush=True)
            seen += 1
            if seen == options.count:
                answers.cancel()
                return


asyncio.run(main())
