"""Real processes through the entry of every service: any start order, a clean stop, one last sentence."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.fakes.echo import service_pb2_grpc
from tests.fakes.echo.service import Request
from tests.kit.nats import NatsServer, own_nats

__all__ = ["own_nats"]

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]
NOWHERE = "nats://127.0.0.1:1"


class Echo:
    """One echo process. Its lines are read as they come."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []

    async def until(self, event: str) -> dict[str, Any]:
        """Read lines up to the one that tells of `event`."""
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            while line := await self.process.stdout.readline():
                self.lines.append(json.loads(line))
                if self.lines[-1]["event"] == event:
                    return self.lines[-1]
        raise AssertionError(f"it ended without {event!r}: {self.lines}")

    async def ended(self) -> tuple[int, str, str]:
        """Exit code, last line of stdout (its event) and everything on stderr."""
        async with asyncio.timeout(30):
            out, err = await self.process.communicate()
        last = json.loads(out.splitlines()[-1])["event"] if out else ""
        return int(self.process.returncode or 0), last, err.decode()


@asynccontextmanager
async def _echo(tmp_path: Path, code: str = "", **environment: str) -> AsyncIterator[Echo]:
    given = {
        "FXMESH_NATS_URL": NOWHERE,
        "FXMESH_IDENTITY": "off",
        "FXMESH_GRPC_PORT": "0",
        "FXMESH_HTTP_PORT": "0",
        "FXMESH_DATA_DIR": str(tmp_path / "data"),
        "GRPC_VERBOSITY": "NONE",
        "PYTHONPATH": str(ROOT),
    }
    program = ("-c", code) if code else ("-m", "tests.fakes.echo.service")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *program,
        cwd=tmp_path,
        env={**os.environ, **given, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Echo(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def _health(port: int) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        return refused.code, json.loads(refused.read())


async def _until_health(port: int, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while not wanted(health := (await asyncio.to_thread(_health, port))[1]):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return health


async def test_it_waits_for_nats_loses_it_and_finds_it_again(tmp_path: Path, own_nats: NatsServer) -> None:
    own_nats.kill()
    async with _echo(tmp_path, FXMESH_NATS_URL=own_nats.url) as echo:
        port = (await echo.until("bound"))["http_port"]
        waiting = await _until_health(port, lambda health: bool(health["dependencies"]))
        assert waiting["status"] == "starting"
        assert "waiting for NATS" in waiting["dependencies"]["bus"]["detail"]
        assert (await asyncio.to_thread(_health, port))[0] == 503

        own_nats.start()
        serving = await echo.until("serving")
        # It calls itself, so it is its own peer: found through the registry.
        await _until_health(port, lambda health: health["status"] == "serving")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{serving['grpc_port']}") as channel:
            assert (await service_pb2_grpc.EchoServiceStub(channel).Unary(Request(), timeout=5)).text

        own_nats.kill()
        lost = await _until_health(port, lambda health: health["status"] == "not_serving")
        assert lost["dependencies"]["bus"]["state"] == "down"
        own_nats.start()
        await _until_health(port, lambda health: health["status"] == "serving")

        echo.process.send_signal(signal.SIGTERM)
        assert await echo.ended() == (0, "stopped", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_can_be_stopped_while_it_waits(tmp_path: Path, number: signal.Signals) -> None:
    async with _echo(tmp_path) as echo:
        await echo.until("bound")
        echo.process.send_signal(number)
        assert await echo.ended() == (0, "stopped", "")


@pytest.mark.parametrize("variable", ["FXMESH_GRPC_PORT", "FXMESH_HTTP_PORT"])
async def test_a_taken_port(tmp_path: Path, variable: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        await _dies(
            tmp_path,
            rf"port {port} on 127.0.0.1 is in use: stop what uses it or set {variable}",
            **{variable: str(port)},
        )


async def test_wrong_settings(tmp_path: Path) -> None:
    await _dies(tmp_path, "FXMESH_GRPC_PORT is 'x', but should be a whole number", FXMESH_GRPC_PORT="x")
    await _dies(tmp_path, "(did you mean FXMESH_ECHO_GREETING?)", FXMESH_ECHO_GREETNIG="hi")


async def test_an_unwritable_data_folder(tmp_path: Path) -> None:
    await _dies(tmp_path, "the data folder /proc/fxmesh", FXMESH_DATA_DIR="/proc/fxmesh")


async def test_a_data_folder_in_use(tmp_path: Path) -> None:
    async with _echo(tmp_path) as first:
        await first.until("bound")
        await _dies(tmp_path, f"is in use by process {first.process.pid}")


PROGRAM = """
from tests.fakes.echo.service import EchoServicer, EchoSettings
from tests.fakes.echo import service_pb2_grpc
from services.runtime.mesh import Service
from services.runtime.run import run
class Loose(EchoServicer):
    NoPolicy = EchoServicer.Unary
def compose(settings, mesh):
    {}
run("{}", EchoSettings, compose)
"""


@pytest.mark.parametrize(
    ("body", "service", "sentence"),
    [
        (
            "raise OSError(28, 'No space left on device')",
            "echo.v1.EchoService",
            "the disk is full: free some space",
        ),
        (
            "raise Exception('database or disk is full')",
            "echo.v1.EchoService",
            "the disk is full: free some space",
        ),
        (
            "return Service(Loose(), service_pb2_grpc.add_LooseServiceServicer_to_server)",
            "echo.v1.EchoService",
            "method /echo.v1.LooseService/NoPolicy has no policy: add option",
        ),
        (
            "raise ValueError('hunter2')",
            "echo.v1.EchoService",
            "failed (ValueError): the lines above say where",
        ),
        ("pass", "echo.v1.LooseService", "service echo.v1.LooseService has no policy"),
    ],
)
async def test_what_cannot_be_cured_by_waiting(
    tmp_path: Path, own_nats: NatsServer, body: str, service: str, sentence: str
) -> None:
    await _dies(tmp_path, sentence, code=PROGRAM.format(body, service), FXMESH_NATS_URL=own_nats.url)


async def _dies(tmp_path: Path, sentence: str, code: str = "", **environment: str) -> None:
    """It ends with exit code 1 and the sentence as last line of the log and only line of stderr."""
    async with _echo(tmp_path, code, **environment) as echo:
        status, last, err = await echo.ended()
    assert status == 1
    assert last.startswith("FATAL: ")
    assert sentence in last
    assert err == last + "\n"
