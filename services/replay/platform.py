"""Composes the seven services in one process, on a bus, channels and a registry in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

from interceptors.standard import server_concerns, steady_client_concerns
from services.analysis_engine import compose as analysis_engine_compose
from services.analysis_engine import config as analysis_engine_config
from services.data_pipeline import compose as data_pipeline_compose
from services.data_pipeline import config as data_pipeline_config
from services.market_data import compose as market_data_compose
from services.market_data import config as market_data_config
from services.ml_integration import compose as ml_integration_compose
from services.ml_integration import config as ml_integration_config
from services.ml_workbench import compose as ml_workbench_compose
from services.ml_workbench import config as ml_workbench_config
from services.monitoring_alerting import compose as monitoring_alerting_compose
from services.monitoring_alerting import config as monitoring_alerting_config
from services.runtime.clock import WallClock
from services.runtime.health import Health
from services.runtime.ids import CountedIds
from services.runtime.memory_bus import MemoryBroker
from services.runtime.memory_channels import MemoryChannels
from services.runtime.memory_registry import MemoryRegistry
from services.runtime.mesh import Mesh, Service
from services.runtime.policy import ServicePolicy, service_policies
from services.trading_gateway import compose as trading_gateway_compose
from services.trading_gateway import config as trading_gateway_config

Compose = Callable[[Mesh], Service]


def compositions() -> Mapping[str, Compose]:
    """Every service by folder name, set up for a replay: no synthetic prices, no demo account."""
    return {
        "market_data": partial(market_data_compose.compose, market_data_config.Settings(synthetic=False)),
        "analysis_engine": partial(analysis_engine_compose.compose, analysis_engine_config.Settings()),
        "data_pipeline": partial(data_pipeline_compose.compose, data_pipeline_config.Settings()),
        "ml_integration": partial(ml_integration_compose.compose, ml_integration_config.Settings()),
        "ml_workbench": partial(ml_workbench_compose.compose, ml_workbench_config.Settings()),
        "monitoring_alerting": partial(
            monitoring_alerting_compose.compose, monitoring_alerting_config.Settings()
        ),
        "trading_gateway": partial(
            trading_gateway_compose.compose, trading_gateway_config.Settings(demo_account="")
        ),
    }


class Platform:
    """All services, running. Use as a context manager: on the way out it drains and closes in order."""

    def __init__(self, folder: Path, log: FilteringBoundLogger) -> None:
        """`folder` holds the data, a folder a service; a run that must repeat starts with an empty one."""
        self._folder = folder
        self._log = log
        self._clock = WallClock()
        self._stack = AsyncExitStack()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        ids, metrics = CountedIds("call"), CollectorRegistry()
        self.broker = MemoryBroker(self._clock, log)
        self.registry = MemoryRegistry()
        self.channels = MemoryChannels(
            server_concerns(ids, metrics, limits=None), steady_client_concerns(ids, metrics)
        )

    async def __aenter__(self) -> Self:
        table = compositions()
        policies = [policy for policy in service_policies() if policy.name in table]
        meshes = {policy.name: self._mesh(policy) for policy in policies}
        composed = [(policy, table[policy.name](meshes[policy.name])) for policy in policies]
        for _, service in composed:
            self._stack.push_async_callback(service.close)
            self.channels.serve(service.add_to_server, service.servicer)
        for policy, service in composed:
            await self._start(meshes[policy.name], service)
        return self

    def _mesh(self, policy: ServicePolicy) -> Mesh:
        data_dir = self._folder / policy.name
        data_dir.mkdir(parents=True, exist_ok=True)
        return Mesh(
            service=policy,
            bus=self.broker.bus(policy),
            channels=self.channels,
            registry=self.registry,
            clock=self._clock,
            ids=CountedIds(policy.area),
            health=Health(),
            data_dir=data_dir,
            metrics=CollectorRegistry(),
            log=self._log.bind(service=policy.name),
        )

    async def _start(self, mesh: Mesh, service: Service) -> None:
        for dependency in service.dependencies:
            await dependency.check()
        await service.start()
        for action in service.background:
            task = asyncio.ensure_future(action())
            task.add_done_callback(self._watch)
            self._stack.push_async_callback(_cancelled, task)
        if service.subscriptions:
            await mesh.bus.subscribe(*service.subscriptions)
        self._stack.push_async_callback(mesh.bus.drain)

    def _watch(self, task: asyncio.Future[None]) -> None:
        failure = None if task.cancelled() else task.exception()
        if failure is not None and not self._failed.done():
            self._failed.set_exception(failure)

    def check(self) -> None:
        """Raises what background work of a service failed with, if it did; dead letters count as failures."""
        if self._failed.done():
            self._failed.result()
        if self.broker.dead_letters:
            first = self.broker.dead_letters[0]
            raise RuntimeError(f"{first.consumer} gave up {first.delivery.id}: {first.reason}")

    def channel(self, service: str) -> grpc.aio.Channel:
        """The way to a service by full gRPC name."""
        return self.channels.to(service)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()
        if self._failed.done():
            self._failed.exception()


async def _cancelled(task: asyncio.Future[Any]) -> None:
    task.cancel()
    await asyncio.wait((task,))
