"""One instance of the echo service as a program, without a registry: prints its port, ends with its input."""

from __future__ import annotations

import asyncio
import sys

from prometheus_client import CollectorRegistry

from interceptors.standard import server_concerns
from services.runtime.health import Health
from services.runtime.ids import CountedIds
from services.runtime.serve import MeshServer
from tests.fakes.echo import service_pb2_grpc
from tests.fakes.echo.service import EchoServicer


async def main(port: int) -> None:
    server = MeshServer("127.0.0.1", port, server_concerns(CountedIds("s"), CollectorRegistry()), Health())
    server.add(service_pb2_grpc.add_EchoServiceServicer_to_server, EchoServicer())
    await server.start()
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await server.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
