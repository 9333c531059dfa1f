"""A caller of a fleet sees no failed call that may be repeated, whatever happens to one of its instances."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from tests.kit.fleet import Fleet, fleet_of
from tests.kit.load import Load
from tests.kit.nats import NatsServer, nats_server, shared_nats
from tests.kit.service_process import ServiceProcess, service_process

__all__ = ["nats_server", "shared_nats"]
pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest_asyncio.fixture
async def fleet(tmp_path: Path, nats_server: NatsServer) -> AsyncIterator[Fleet]:
    async with fleet_of(3, tmp_path, nats_server) as made:
        yield made


async def test_no_call_fails_while_an_instance_goes_down_in_good_order(fleet: Fleet) -> None:
    load = Load(fleet.call)
    await load.more(200)
    fleet.instances[0].terminate()
    assert await fleet.instances[0].ended() == 0
    await load.more(200)
    await load.end()
    assert load.failures == []


async def test_no_call_fails_when_an_instance_is_killed(fleet: Fleet) -> None:
    load = Load(fleet.call)
    await load.more(200)
    fleet.instances[0].kill()
    await fleet.leaves(fleet.instances[0])
    await load.more(200)
    await load.end()
    assert load.failures == []


async def test_a_new_instance_is_called_within_seconds(
    fleet: Fleet, tmp_path: Path, nats_server: NatsServer
) -> None:
    async with service_process(tmp_path / "new", nats_server) as new:
        load = Load(fleet.call)
        async with asyncio.timeout(10):
            while await asyncio.to_thread(_served, new) < 10:  # noqa: ASYNC110 another process tells of no event
                await asyncio.sleep(0.1)
        await load.end()
        assert load.failures == []


def _served(process: ServiceProcess) -> float:
    """Calls that an instance has answered."""
    with urllib.request.urlopen(f"http://127.0.0.1:{process.http_port}/metrics", timeout=5) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    wanted = ("grpc_server_handled_total", "Unary")
    samples = (sample for family in families for sample in family.samples)
    return sum(each.value for each in samples if (each.name, each.labels.get("grpc_method")) == wanted)
