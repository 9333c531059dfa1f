"""A mutation that is sent twice has one effect, on the running platform: who got no answer may ask again.

Which methods are mutations follows from the contracts: one without a case fails here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import grpc
import pytest
from fxmesh.inference.v1.service_pb2_grpc import InferenceServiceStub
from fxmesh.marketdata.v1.service_pb2_grpc import MarketDataServiceStub
from fxmesh.monitoring.v1.service_pb2_grpc import MonitoringServiceStub
from fxmesh.pipeline.v1.service_pb2_grpc import PipelineServiceStub
from fxmesh.trading.v1.service_pb2_grpc import TradingServiceStub
from fxmesh.workbench.v1.service_pb2_grpc import WorkbenchServiceStub

from services.runtime.policy import method_policies, service_policies
from tests.integration.repetitions.case import Platform, Twice
from tests.integration.repetitions.cases import CASES
from tests.kit.live import LivePlatform

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

MUTATIONS = [
    method.path
    for service in service_policies()
    for method in method_policies(service.full_name)
    if method.mutates
]


@pytest.fixture
async def platform(live: LivePlatform) -> AsyncIterator[Platform]:
    async with AsyncExitStack() as open_channels:

        async def channel(name: str) -> grpc.aio.Channel:
            return await open_channels.enter_async_context(live.channel(name))

        yield Platform(
            live,
            trading=TradingServiceStub(await channel("trading_gateway")),
            marketdata=MarketDataServiceStub(await channel("market_data")),
            pipeline=PipelineServiceStub(await channel("data_pipeline")),
            inference=InferenceServiceStub(await channel("ml_integration")),
            workbench=WorkbenchServiceStub(await channel("ml_workbench")),
            monitoring=MonitoringServiceStub(await channel("monitoring_alerting")),
        )


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda path: path.rpartition("/")[2])
async def test_a_mutation_sent_twice_has_one_effect(mutation: str, platform: Platform) -> None:
    assert mutation in CASES, f"no case for {mutation}: add one to tests/integration/repetitions"
    twice = Twice(platform.method(mutation))
    await CASES[mutation](platform, twice)
    assert twice.sent


def test_every_case_is_of_a_mutation() -> None:
    assert CASES.keys() <= set(MUTATIONS)
