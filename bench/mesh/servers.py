"""The processes that are called: `python -m bench.mesh.servers bare|mesh|rest SECRETS SAMPLE` prints its
port, and serves until its standard input ends.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen

import grpc
import psutil

from bench.mesh import stack
from services.runtime.health import Health
from services.runtime.loop import MeasuredLoop
from services.runtime.serve import MeshServer
from tests.fakes.echo import service_pb2_grpc

_add = service_pb2_grpc.add_EchoServiceServicer_to_server
LIMIT_S = 20.0


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
    """The server of that name; yields its port and the process of its own that it runs in."""
    argv = [sys.executable, "-m", __name__, name, str(secrets), str(sample)]
    with Popen(argv, stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"the server {name!r} did not start: its message is above")
            yield int(line), psutil.Process(process.pid)
        finally:
            process.stdin.close()
            process.wait(LIMIT_S)


if __name__ == "__main__":
    match sys.argv[1]:
        case "bare":
            asyncio.run(_bare())
        case "mesh":
            with asyncio.Runner(loop_factory=MeasuredLoop) as runner:
                runner.run(_mesh(Path(sys.argv[2]), float(sys.argv[3])))
        case "rest":
            from bench.mesh import rest_server  # only here: FastAPI is not needed for the others

            rest_server.serve()
