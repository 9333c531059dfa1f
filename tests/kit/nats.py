"""A real nats-server for tests: on a free port, JetStream in a folder of its own, with the faults a test may
want.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import nats
import psutil
import pytest
import pytest_asyncio

from services.cli.nats import find_or_fetch, write_config
from tests.kit.ports import HOST, free_port

T = TypeVar("T")

SERVER_VARIABLE = "FXMESH_TEST_NATS_SERVER"
"""Path of the server to test with; without it whichever `fxmesh up` would use."""
_TOOLS = Path(__file__).parents[2] / ".tools"
_START_LIMIT_S = 20.0


class NatsServer:
    """One server process; its port and its store stay when it is killed and started again."""

    def __init__(
        self, program: Path, folder: Path, users: Path | None = None, most_stored: int | None = None
    ) -> None:
        """`users`: a file with the users it knows; without it, it asks nobody. `most_stored`: bytes that it
        believes its disk may hold; without it, it looks.
        """
        self._program = program
        self._config = folder / "nats.conf"
        self._log = folder / "nats.log"
        self._port = free_port()
        self._store = folder / "store"
        write_config(self._config, HOST, self._port, self._store, users)
        if most_stored is not None:
            text = self._config.read_text()
            self._config.write_text(
                text.replace("jetstream {", f"jetstream {{\n  max_file_store: {most_stored}")
            )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://{HOST}:{self._port}"

    def start(self) -> None:
        """Start and return once it takes connections."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-c", self._config], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until = time.monotonic() + _START_LIMIT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"nats-server did not start:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL: no goodbye, no flush."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def terminate(self) -> None:
        """SIGTERM: everything is written down first."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait()

    def freeze(self) -> None:
        """SIGSTOP: connections stay, nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        # On a busy machine its threads may run on for a moment.
        while psutil.Process(self._process.pid).status() != psutil.STATUS_STOPPED:
            time.sleep(0.001)

    def thaw(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it, whatever state it is in."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self.kill()

    def lose_events(self, stream: str) -> None:
        """While it is down: lose what a stream stored and keep its durables, as a power cut can."""
        shutil.rmtree(self._store / "jetstream" / "$G" / "streams" / stream / "msgs")

    def spoil(self, stream: str) -> None:
        """While it runs: take the folder where it stores a stream's events, so that it can begin no file."""
        messages = self._store / "jetstream" / "$G" / "streams" / stream / "msgs"
        shutil.rmtree(messages)
        messages.touch()

    def lose_everything(self) -> None:
        """While it is down: begin again with an empty store."""
        shutil.rmtree(self._store)

    def _answers(self) -> bool:
        try:
            with socket.create_connection((HOST, self._port), timeout=1) as connection:
                return connection.recv(4) == b"INFO"
        except OSError:
            return False


def find_program() -> Path:
    """The server to test with. Raises CliError with what to do where none can be had."""
    given = os.environ.get(SERVER_VARIABLE)
    return Path(given) if given else find_or_fetch(_TOOLS, os.environ, print).path


@pytest.fixture(scope="session")
def shared_nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One server for all tests that do not break it."""
    server = NatsServer(find_program(), tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.stop()


@pytest_asyncio.fixture
async def nats_server(shared_nats: NatsServer) -> AsyncIterator[NatsServer]:
    """The shared server, without any stream at the beginning of the test."""
    await wipe(shared_nats)
    yield shared_nats


async def wipe(server: NatsServer) -> None:
    """Delete every stream."""
    client = await nats.connect(server.url)
    jetstream = client.jetstream()
    for stream in await jetstream.streams_info():
        await jetstream.delete_stream(str(stream.config.name))
    await client.close()


@pytest.fixture
def own_nats(tmp_path: Path) -> Iterator[NatsServer]:
    """A server of the test's own, to kill, freeze and restart."""
    server = NatsServer(find_program(), tmp_path)
    server.start()
    yield server
    server.stop()


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until `condition()` is true. Fails the test when it is not in time."""

    async def holds() -> bool:
        return bool(condition())

    await until_async(holds, expected=True, seconds=seconds)


async def until_async(ask: Callable[[], Awaitable[T]], expected: T, seconds: float = 20.0) -> None:
    """Wait until `await ask()` is as expected. Fails the test when it is not in time."""
    end = time.monotonic() + seconds
    while (last := await ask()) != expected:
        assert time.monotonic() < end, f"still {last!r} after {seconds:g} s"
        await asyncio.sleep(0.01)
