"""Health by gRPC and HTTP, and metrics, of every service as probes and scrapers read them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from fxmesh.marketdata.v1 import service_pb2 as marketdata
from fxmesh.marketdata.v1.service_pb2_grpc import MarketDataServiceStub
from fxmesh.trading.v1 import service_pb2 as trading
from fxmesh.trading.v1.service_pb2_grpc import TradingServiceStub
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from services.runtime.policy import service_policies
from tests.kit.live import LivePlatform, eventually, started, stopped
from tools.programs import MissingError, program

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

POLICIES = {policy.name: policy for policy in service_policies()}
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
STATES = {"starting", "up", "down"}


def _health(channel: grpc.aio.Channel) -> Any:
    """The types of its stub know no methods."""
    return HealthStub(channel)


def get(live: LivePlatform, name: str, path: str) -> tuple[int, str, str]:
    """Status, content type and body of what a service's HTTP port says."""
    url = f"http://127.0.0.1:{live.ports[name]['http']}{path}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.headers["Content-Type"], refused.read().decode()


@pytest.mark.parametrize("name", sorted(POLICIES))
async def test_a_service_is_healthy_by_name_overall_and_over_http(live: LivePlatform, name: str) -> None:
    async with live.channel(name) as channel:
        for service in ("", POLICIES[name].full_name):
            answer = await _health(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
            assert answer.status == SERVING
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await _health(channel).Check(health_pb2.HealthCheckRequest(service="fxmesh.no.Such"), timeout=5)
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
    code, kind, body = await asyncio.to_thread(get, live, name, "/health")
    said: dict[str, Any] = json.loads(body)
    assert (code, kind, said["service"]) == (200, "application/json", name)
    assert said["status"] in {"serving", "degraded"}
    assert said["dependencies"]["bus"] == {"state": "up", "required": True, "detail": ""}
    for dependency in said["dependencies"].values():
        assert set(dependency) == {"state", "required", "detail"}
        assert dependency["state"] in STATES


async def test_watchers_are_told_before_a_platform_stops(tmp_path: Path) -> None:
    """Each of the seven drains: its watchers hear NOT_SERVING and no more, its probes get 503."""
    platform = started(tmp_path, "--no-feed")
    try:
        probes = [Probes(platform, name) for name in POLICIES]
        heard: list[list[int]] = []
        watches = [
            asyncio.create_task(_watch(platform, name, service, heard))
            for name, policy in POLICIES.items()
            for service in ("", policy.full_name)
        ]

        async def all_are_looking() -> bool:
            return heard == [[SERVING]] * 14 and all(each.seen for each in probes)

        await eventually(all_are_looking, 20)
        down = await asyncio.to_thread(platform.command, "down")
        assert down.returncode == 0, down.stderr
        await asyncio.wait_for(asyncio.gather(*watches), 20)
    finally:
        await asyncio.to_thread(stopped, platform)
    assert heard == [[SERVING, NOT_SERVING]] * 14
    for probe in probes:
        assert probe.ended() == [(200, True), (503, False)], probe.name


async def _watch(platform: LivePlatform, name: str, service: str, heard: list[list[int]]) -> None:
    """Adds what a watcher hears until its connection ends, without repetitions."""
    own: list[int] = []
    heard.append(own)
    async with platform.channel(name) as channel:
        with suppress(grpc.aio.AioRpcError):
            async for answer in _health(channel).Watch(health_pb2.HealthCheckRequest(service=service)):
                own += [answer.status] if own[-1:] != [answer.status] else []


class Probes:
    """Asks `/health` of one service again and again until it is gone."""

    def __init__(self, platform: LivePlatform, name: str) -> None:
        self.name = name
        self.seen: list[tuple[int, bool]] = []
        """Code, and whether it said it takes calls; each change once."""
        self._platform = platform
        self._pause = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def ended(self) -> list[tuple[int, bool]]:
        self._thread.join(timeout=20)
        assert not self._thread.is_alive()
        return self.seen

    def _ask(self) -> None:
        while True:
            try:
                code, _, body = get(self._platform, self.name, "/health")
            except OSError:
                return
            now = (code, json.loads(body)["status"] in {"serving", "degraded"})
            if self.seen[-1:] != [now]:
                self.seen.append(now)
            self._pause.wait(0.02)


@pytest.fixture(scope="module")
def promtool() -> Path:
    """The program. Fails with what to install where there is none."""
    try:
        return program("promtool")
    except MissingError as why:
        pytest.fail(str(why), pytrace=False)


def check(promtool: Path, metrics: str) -> tuple[int, str]:
    """What `promtool check metrics` ends with and says."""
    done = subprocess.run(
        [promtool, "check", "metrics"], input=metrics, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
async def load(live: LivePlatform) -> AsyncIterator[None]:
    """Calls that are answered, refused and streamed, as long as a test lasts."""

    async def calls() -> None:
        async with live.channel("market_data") as market, live.channel("trading_gateway") as gateway:
            quotes, orders = MarketDataServiceStub(market), TradingServiceStub(gateway)
            stream = quotes.StreamQuotes(marketdata.StreamQuotesRequest())
            while True:
                await quotes.ListQuotes(marketdata.ListQuotesRequest())
                with pytest.raises(grpc.aio.AioRpcError):
                    await orders.GetOrder(trading.GetOrderRequest(order_id="none"))
                await stream.read()

    working = asyncio.create_task(calls())
    yield
    assert not working.done()
    working.cancel()


@pytest.mark.promtool
@pytest.mark.usefixtures("load")
async def test_promtool_finds_no_fault_in_any_metrics(live: LivePlatform, promtool: Path) -> None:
    faults: dict[str, tuple[int, str]] = {}
    for name in (*POLICIES, "edge_gate"):
        code, kind, body = await asyncio.to_thread(get, live, name, "/metrics")
        assert (code, kind.partition(";")[0]) == (200, "text/plain")
        assert "process_cpu_seconds_total" in body
        found = await asyncio.to_thread(check, promtool, body)
        faults |= {} if found == (0, "") else {name: found}
    assert faults == {}
    assert check(promtool, "orders_total 1\n")[0] == 3, "promtool finds nothing at all"
