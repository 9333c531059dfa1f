"""`fxmesh up --tls`: a newcomer's first order, with all that speak gRPC asking for certificates."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from fxmesh.marketdata.v1 import service_pb2 as marketdata
from fxmesh.marketdata.v1.service_pb2_grpc import MarketDataServiceStub

from services.cli.supervisor.authority import Authority, Lifetimes
from services.runtime.channels import open_channel
from services.runtime.policy import service_policies
from services.runtime.tls_files import TlsFiles
from tests.kit.certificates import shown
from tests.kit.live import LivePlatform, eventually, started, stopped

pytestmark = pytest.mark.integration
SERVICES = service_policies()


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePlatform]:
    """One, for the tests of this file."""
    platform = started(tmp_path_factory.mktemp("tls"), "--tls", "--symbols", "EURUSD,USDJPY")
    yield platform
    stopped(platform)


def fxmesh(platform: LivePlatform, *arguments: str) -> Any:
    done = platform.command(*arguments, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)["data"]


def rest(platform: LivePlatform, path: str) -> Any:
    asked = urllib.request.Request(
        f"http://127.0.0.1:{platform.ports['edge']['edge']}{path}",
        headers={"Authorization": f"Bearer {platform.token}"},
    )
    with urllib.request.urlopen(asked, timeout=20) as answer:
        return json.loads(answer.read())


def pid(platform: LivePlatform, name: str) -> int:
    said = json.loads(platform.command("status", "--json").stdout)["data"]  # not all need be well
    (found,) = (each for each in said["processes"] if each["name"] == name)
    return int(found["pid"] or 0)


async def test_the_first_order_goes_through_by_command_and_shows_at_the_edge(platform: LivePlatform) -> None:
    placed = fxmesh(platform, "order", "buy", "EURUSD", "10000")["order"]
    orders = rest(platform, "/api/v1/trading/orders")["orders"]
    assert placed["orderId"] in {each["order_id"] for each in orders}
    assert rest(platform, "/api/v1/market-data/quotes?symbol=EURUSD")["quotes"]


def test_the_edges_certificate_stands_for_no_caller(platform: LivePlatform) -> None:
    asked = f"http://127.0.0.1:{platform.ports['edge']['edge']}/api/v1/trading/orders"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(asked, timeout=20)
    refused.value.close()
    assert refused.value.code == 401


async def test_services_call_each_other(platform: LivePlatform) -> None:
    async def called() -> bool:
        return platform.metric("trading_gateway", "grpc_client_handled_total", grpc_code="OK") > 0

    await eventually(called)


@pytest.mark.parametrize("service", SERVICES, ids=lambda each: each.name)
async def test_a_caller_without_a_certificate_reaches_nobody(platform: LivePlatform, service: Any) -> None:
    for name in (service.name, "edge_gate"):
        async with platform.channel(name) as channel:
            stub: Any = MarketDataServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await stub.ListQuotes(marketdata.ListQuotesRequest(), timeout=20)
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_keys_change_while_callers_call_and_a_service_that_starts_anew_is_found(
    platform: LivePlatform,
) -> None:
    folder = platform.home / "secrets" / "tls"
    names = [path.stem for path in folder.glob("*.crt")]
    kept = Authority(folder, names, Lifetimes(settle=timedelta(seconds=5)))
    mine = shown(files(folder, "operator"))
    before = mine.pem.authorities
    address = f"127.0.0.1:{platform.ports['market_data']['grpc']}"
    channel = open_channel(address, tls=mine, name="market-data")
    stub: Any = MarketDataServiceStub(channel)
    kept.replace()
    calls = 0
    while kept.changing:
        kept.keep()
        mine.look()
        token = (("authorization", f"Bearer {platform.token}"),)
        assert (await stub.ListQuotes(marketdata.ListQuotesRequest(), timeout=20, metadata=token)).quotes
        assert rest(platform, "/api/v1/market-data/quotes?symbol=EURUSD")["quotes"]
        calls += 1
        await asyncio.sleep(0.1)
    assert calls > 10
    assert mine.look() or before not in mine.pem.authorities
    await channel.close()

    # New connections, by Envoy and by peers, rest on nothing but the new keys.
    was = pid(platform, "market_data")
    os.kill(was, signal.SIGKILL)

    async def again() -> bool:
        try:
            return bool(rest(platform, "/api/v1/market-data/quotes?symbol=EURUSD")["quotes"])
        except OSError:
            return False

    async def restarted() -> bool:
        return pid(platform, "market_data") not in (0, was)

    async def traded() -> bool:  # the gateway must have heard prices from the new process
        return platform.command("order", "buy", "EURUSD", "10000").returncode == 0

    await eventually(restarted)
    await eventually(again)
    await eventually(traded)


def files(folder: Path, name: str) -> TlsFiles:
    return TlsFiles(folder / f"{name}.crt", folder / f"{name}.key", folder / "ca.pem")
