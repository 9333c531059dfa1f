"""All seven real services in one process, on a bus in memory, behind one gRPC port.

Run as `python -m tests.kit.served_platform FOLDER`: prints the port once it serves, and ends when its
standard input does. A synthetic feed of two symbols runs, and the demo account trades.
"""

import asyncio
import sys
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from interceptors.standard import server_concerns, steady_client_concerns
from services.market_data import compose as market_data_compose
from services.market_data import config as market_data_config
from services.replay import platform
from services.runtime import logs
from services.runtime.clock import WallClock
from services.runtime.health import Health
from services.runtime.ids import Uuid7Ids
from services.runtime.memory_channels import MemoryChannels
from services.runtime.serve import MeshServer
from services.trading_gateway import compose as trading_gateway_compose
from services.trading_gateway import config as trading_gateway_config


class BothWays(MemoryChannels):
    """Serves in the process and on a port."""

    def __init__(self, server: MeshServer) -> None:
        ids, metrics = Uuid7Ids(WallClock()), CollectorRegistry()
        super().__init__(server_concerns(ids, metrics), steady_client_concerns(ids, metrics))
        self._port = server

    def serve(self, add_to_server: Any, servicer: object) -> None:
        super().serve(add_to_server, servicer)
        self._port.add(add_to_server, servicer)


async def main(folder: Path) -> None:
    compositions = dict(platform.compositions())
    feed = market_data_config.Settings(symbols=("EURUSD", "USDJPY"), ticks_per_second=20, flush_seconds=0.05)
    compositions["market_data"] = partial(market_data_compose.compose, feed)
    # All seven share a loop, which on a busy machine may stand still for longer than a feed may be silent.
    trading = trading_gateway_config.Settings(
        feed_stale_seconds=60, simulated_venue="far", simulated_accounts=("typed-far:USD:2000",)
    )
    compositions["trading_gateway"] = partial(trading_gateway_compose.compose, trading)
    platform.compositions = lambda: compositions
    health = Health()
    server = MeshServer("127.0.0.1", 0, server_concerns(Uuid7Ids(WallClock()), CollectorRegistry()), health)
    whole = platform.Platform(folder, logs.configure("platform", "error", "console"))
    whole.channels = BothWays(server)
    async with whole:
        await server.start()
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
        await server.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
