"""The platform as people start it: `fxmesh up`, with real processes and nats-server on free ports."""

import asyncio
import json
import os
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from fxmesh.marketdata.v1 import market_pb2
from fxmesh.marketdata.v1 import service_pb2 as marketdata
from fxmesh.marketdata.v1.service_pb2_grpc import MarketDataServiceStub
from fxmesh.pipeline.v1 import pipeline_pb2
from fxmesh.pipeline.v1 import service_pb2 as pipeline
from fxmesh.pipeline.v1.service_pb2_grpc import PipelineServiceStub
from fxmesh.trading.v1 import service_pb2 as trading_service
from fxmesh.trading.v1.service_pb2_grpc import TradingServiceStub
from prometheus_client.parser import text_string_to_metric_families

from services.cli import bus, key_store
from services.cli.home import Home
from services.cli.key_store import KeyStore
from services.uploads import Announced

VENUE = {
    "FXMESH_TRADING_GATEWAY_SIMULATED_VENUE": "far",
    "FXMESH_TRADING_GATEWAY_SIMULATED_ACCOUNTS": "twice-far:USD:1000",
}
"""A venue outside with an account of its own."""
FXMESH = [sys.executable, "-m", "services.cli"]
CHUNK = 128 * 1024


@dataclass(frozen=True, slots=True)
class LivePlatform:
    """A running platform and the ways to it."""

    home: Path
    ports: dict[str, dict[str, int]]

    @property
    def environment(self) -> dict[str, str]:
        """Of a shell in which `fxmesh` means this platform."""
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        kept = {name: value for name, value in os.environ.items() if name != "FXMESH_KEY"}
        return kept | {"FXMESH_HOME": str(self.home), "PATH": programs}

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `fxmesh ARGUMENTS` against this platform."""
        return subprocess.run(
            [*FXMESH, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    @property
    def token(self) -> str:
        """The operator's, as `fxmesh token` prints it."""
        return Home.at(self.home).token("operator").read_text()

    @property
    def log(self) -> str:
        """Everything that any process of it has written to its log."""
        return "".join(path.read_text() for path in sorted(Home.at(self.home).logs.iterdir()))

    def keys(self) -> AbstractAsyncContextManager[KeyStore]:
        """Its API keys, as the operator changes them."""
        return key_store.opened(*bus.access(Home.at(self.home), ""))

    def channel(self, name: str, credentials: str | None = None) -> grpc.aio.Channel:
        """A plain channel to a service by folder name, as any client would open it: with the operator's
        token, or other credentials; none where they are empty.
        """
        port = self.ports[name]["edge" if name == "edge" else "grpc"]
        return opened(f"127.0.0.1:{port}", self.token if credentials is None else credentials)

    def metric(self, name: str, metric: str, **labels: str) -> float:
        """Sum of a service's samples with these labels."""
        url = f"http://127.0.0.1:{self.ports[name]['http']}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == metric and labels.items() <= sample.labels.items()
        )

    async def replay(self, path: Path, pace: int, **fields: Any) -> market_pb2.Replay:
        """Upload a tick file, replay it, wait for its end and for the live market, which rests meanwhile."""
        async with self.channel("market_data") as channel:
            stub = MarketDataServiceStub(channel)

            async def parts() -> AsyncIterator[marketdata.UploadTickFileRequest]:
                announced = Announced.of(path)
                header = marketdata.UploadHeader(
                    file_name=path.name, size_bytes=announced.size, sha256=announced.sha256
                )
                yield marketdata.UploadTickFileRequest(header=header)
                for content in _chunks(path):
                    yield marketdata.UploadTickFileRequest(content=content)

            uploaded = await stub.UploadTickFile(parts())
            request = marketdata.StartReplayRequest(
                request_id=uuid.uuid4().hex,
                file_id=uploaded.file_id,
                file_name=path.name,
                pace=pace,  # type: ignore[arg-type]
                **fields,
            )
            replay = (await stub.StartReplay(request)).replay
            async for answer in stub.StreamReplay(marketdata.StreamReplayRequest(replay_id=replay.replay_id)):
                replay = answer.replay
        await self._live_again(replay.symbol)
        return replay

    async def _live_again(self, symbol: str) -> None:
        """Return once trading has read another live tick of a symbol, if it has a live market."""
        async with self.channel("market_data") as market, self.channel("trading_gateway") as gateway:
            sessions = await MarketDataServiceStub(market).ListFeedSessions(
                marketdata.ListFeedSessionsRequest()
            )
            live = [
                each.session_id
                for each in sessions.sessions
                if each.active and each.kind != market_pb2.FEED_KIND_REPLAY and symbol in each.symbols
            ]
            if not live:
                return
            trading = TradingServiceStub(gateway)

            async def read() -> int:
                asked = trading_service.GetSessionProgressRequest(session_id=live[0])
                feeds = (await trading.GetSessionProgress(asked)).feeds
                return max((each.sequence for each in feeds if each.symbol == symbol), default=0)

            before = await read()

            async def more() -> bool:
                return await read() > before

            await eventually(more)

    async def import_file(self, path: Path, **fields: Any) -> pipeline_pb2.PipelineExecution:
        """Import a file and wait for its end."""
        async with self.channel("data_pipeline") as channel:
            stub = PipelineServiceStub(channel)

            async def parts() -> AsyncIterator[pipeline.ImportFileRequest]:
                announced = Announced.of(path)
                header = pipeline.ImportHeader(
                    file_name=path.name, size_bytes=announced.size, sha256=announced.sha256, **fields
                )
                yield pipeline.ImportFileRequest(header=header)
                for content in _chunks(path):
                    yield pipeline.ImportFileRequest(content=content)

            execution = (await stub.ImportFile(parts())).execution
            request = pipeline.StreamPipelineExecutionRequest(execution_id=execution.execution_id)
            async for answer in stub.StreamPipelineExecution(request):
                execution = answer.execution
            return execution

    async def stored(self, session_id: str) -> dict[str, int]:
        """What the pipeline holds of a session, by kind."""
        async with self.channel("data_pipeline") as channel:
            report = await PipelineServiceStub(channel).GetStorageReport(
                pipeline.GetStorageReportRequest(source_id=session_id)
            )
            return {count.name.rpartition(".")[2]: count.count for count in report.counts}


def opened(address: str, credentials: str) -> grpc.aio.Channel:
    """A plain channel on this machine that sends the credentials with each call."""
    if not credentials:
        return grpc.aio.insecure_channel(address)
    return grpc.aio.secure_channel(address, identified(credentials))


def identified(credentials: str) -> grpc.ChannelCredentials:
    """Of a channel without TLS, to an address of this machine."""
    return grpc.composite_channel_credentials(
        grpc.local_channel_credentials(), grpc.access_token_call_credentials(credentials)
    )


def _chunks(path: Path) -> list[bytes]:
    content = path.read_bytes()
    return [content[start : start + CHUNK] for start in range(0, len(content), CHUNK)]


def started(home: Path, *options: str, settings: Mapping[str, str] | None = None) -> LivePlatform:
    """`fxmesh up --detach` in a folder; again when another program takes a port before it is bound.

    `settings`: of services, as environment.
    """
    said = ""
    for _ in range(3):
        up = subprocess.run(
            [*FXMESH, "up", "--detach", "--home", str(home), "--port-offset", "auto", "--json", *options],
            env={**os.environ, **(settings or {})},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        if up.returncode == 0:
            processes = json.loads(up.stdout)["data"]["processes"]
            return LivePlatform(home, {each["name"]: each["ports"] for each in processes})
        said = f"{up.returncode}:\n{up.stdout[-3000:]}\n{up.stderr[-3000:]}"
        if "in use" not in said:
            break
    raise RuntimeError(f"`fxmesh up` ended with {said}")


def stopped(platform: LivePlatform) -> None:
    """`fxmesh down`."""
    platform.command("down")


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePlatform]:
    """One platform for all tests that leave it whole."""
    folder, symbols = tmp_path_factory.mktemp("platform"), "EURUSD,USDJPY,GBPUSD,EURGBP"
    platform = started(folder, "--symbols", symbols, settings=VENUE)
    yield platform
    stopped(platform)


async def eventually(condition: Callable[[], Any], limit_s: float = 60.0) -> Any:
    """The first true answer of an async condition, asked for again and again."""
    async with asyncio.timeout(limit_s):
        while not (answer := await condition()):  # noqa: ASYNC110 - another process has no event to wait for
            await asyncio.sleep(0.1)
    return answer
