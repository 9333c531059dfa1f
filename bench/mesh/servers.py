"""The processes that are called: `python -m bench.mesh.servers WAY SECRETS SAMPLE` prints its port, and
serves until its standard input ends.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import psutil
import uvloop

from bench.mesh import stack
from bench.mesh.child import child
from services.runtime.health import Health
from services.runtime.loop import run_measured
from services.runtime.serve import MeshServer
from tests.fakes.echo import service_pb2_grpc

_add = service_pb2_grpc.add_EchoServiceServicer_to_server


async def _bare() -> None:
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    _add(stack.Echo(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await _until_stdin_ends(port)
    await server.stop(None)


async def _mesh(secrets: Path, sample: float) -> None:
    server = MeshServer("127.0.0.1", 0, stack.serving(secrets, sample), Health())
    server.add(_add, stack.Echo())
    await server.start()
    await _until_stdin_ends(server.port)
    await server.close()


async def _until_stdin_ends(port: int) -> None:
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)


@contextmanager
def serving(name: str, secrets: Path, sample: float) -> Iterator[tuple[int, psutil.Process]]:
    """The server of that way; yields its port and the process of its own that it runs in."""
    with child("-m", __name__, name, str(secrets), str(sample)) as server:
        yield int(server.answer()), server.process


if __name__ == "__main__":
    match sys.argv[1]:
        case "bare":
            asyncio.run(_bare())
        case "bare-uvloop":
            uvloop.run(_bare())
        case "mesh":
            run_measured(_mesh(Path(sys.argv[2]), float(sys.argv[3])))
        case "rest":
            from bench.mesh import rest_server  # only here: FastAPI is not needed for the others

            rest_server.serve()
