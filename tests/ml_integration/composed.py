"""Pipeline, workbench and inference as composed, around one broker in memory; inference can restart."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import structlog
from fxmesh.inference.v1.service_pb2_grpc import InferenceServiceStub
from fxmesh.pipeline.v1 import service_pb2 as pipeline_pb2
from fxmesh.pipeline.v1.service_pb2_grpc import PipelineServiceStub
from fxmesh.types.v1 import market_pb2 as types_pb2
from fxmesh.workbench.v1 import service_pb2 as workbench_pb2
from fxmesh.workbench.v1.service_pb2_grpc import WorkbenchServiceStub
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from prometheus_client import CollectorRegistry

from interceptors.standard import client_concerns, server_concerns
from services.data_pipeline.compose import compose as compose_pipeline
from services.data_pipeline.config import Settings as PipelineSettings
from services.ml_integration.compose import compose as compose_inference
from services.ml_integration.config import Settings as InferenceSettings
from services.ml_workbench.compose import compose as compose_workbench
from services.ml_workbench.config import Settings as WorkbenchSettings
from services.runtime.clock import WallClock
from services.runtime.health import Health
from services.runtime.ids import Uuid7Ids
from services.runtime.memory_bus import MemoryBroker, MemoryBus
from services.runtime.memory_channels import MemoryChannels
from services.runtime.memory_registry import MemoryRegistry
from services.runtime.mesh import Mesh, Service
from services.runtime.policy import service_policy
from services.runtime.ports import Delivery, Subscription
from tests.ml_integration.world import FILE, running

INFERENCE = "fxmesh.inference.v1.InferenceService"
WORKBENCH = "fxmesh.workbench.v1.WorkbenchService"
PIPELINE = "fxmesh.pipeline.v1.PipelineService"
MONITORING = "fxmesh.monitoring.v1.MonitoringService"
"""Whose place the test takes: it consumes what inference publishes."""


class Surroundings:
    """One broker, one set of channels."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.clock = WallClock()
        self.ids = Uuid7Ids(self.clock)
        self.log = structlog.get_logger()
        self.broker = MemoryBroker(self.clock, self.log)
        self.channels = MemoryChannels(
            server_concerns(self.ids, CollectorRegistry()), client_concerns(self.ids, CollectorRegistry())
        )

    def mesh(self, name: str) -> Mesh:
        """What compose is handed. A folder stays the same from one composition to the next."""
        policy = service_policy(name)
        folder = self._folder / policy.name
        folder.mkdir(exist_ok=True)
        return Mesh(
            policy, self.broker.bus(policy), self.channels, MemoryRegistry(), self.clock, self.ids, Health(),
            folder, CollectorRegistry(), self.log,
        )  # fmt: skip


@asynccontextmanager
async def serving(
    surroundings: Surroundings, name: str, compose: Callable[[Any, Mesh], Service], settings: Any
) -> AsyncIterator[Mesh]:
    """A service for the length of a block, brought up and down in the order of a process."""
    mesh = surroundings.mesh(name)
    service = compose(settings, mesh)
    for dependency in service.dependencies:
        await dependency.check()
    await service.start()
    try:
        async with running(*(action() for action in service.background)):
            await mesh.bus.subscribe(*service.subscriptions)
            surroundings.channels.serve(service.add_to_server, service.servicer)
            try:
                yield mesh
            finally:
                surroundings.channels.withdraw(name)
                await mesh.bus.drain()
    finally:
        await service.close()


@dataclass
class Platform:
    """The three services; `published` is what inference published."""

    surroundings: Surroundings
    settings: InferenceSettings
    stack: AsyncExitStack
    published: list[Message] = field(default_factory=list)

    async def begin(self) -> None:
        """All but inference, and somebody who reads what it publishes."""
        bus: MemoryBus = self.surroundings.broker.bus(service_policy(MONITORING))

        async def keep(deliveries: Sequence[Delivery]) -> None:
            self.published += [each.event for each in deliveries]

        names = service_policy(INFERENCE).publishes
        events = tuple(GetMessageClass(Default().FindMessageTypeByName(name)) for name in names)
        await bus.subscribe(Subscription(events, keep))
        self.stack.push_async_callback(bus.close)
        pipeline = PipelineSettings(score_timeframes=())
        await self.stack.enter_async_context(serving(self.surroundings, PIPELINE, compose_pipeline, pipeline))

    def workbench(self) -> Any:
        """The workbench for the length of a block."""
        return serving(self.surroundings, WORKBENCH, compose_workbench, WorkbenchSettings())

    def inference(self) -> Any:
        """Inference for the length of a block."""
        return serving(self.surroundings, INFERENCE, compose_inference, self.settings)

    @property
    def stub(self) -> Any:
        return InferenceServiceStub(self.surroundings.channels.to(INFERENCE))

    @property
    def pipeline_stub(self) -> Any:
        return PipelineServiceStub(self.surroundings.channels.to(PIPELINE))

    async def import_bars(self, shared_data: Path, count: int) -> None:
        """The first bars of a real H1 file."""
        with gzip.open(shared_data / FILE, "rb") as file:
            content = b"".join(islice(file, count + 1))

        async def parts() -> AsyncIterator[pipeline_pb2.ImportFileRequest]:
            header = pipeline_pb2.ImportHeader(
                file_name="eurusd_h1.csv",
                symbol="EURUSD",
                timeframe=types_pb2.TIMEFRAME_H1,
                size_bytes=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
            )
            yield pipeline_pb2.ImportFileRequest(header=header)
            for start in range(0, len(content), 60_000):
                yield pipeline_pb2.ImportFileRequest(content=content[start : start + 60_000])

        answer = await self.pipeline_stub.ImportFile(parts())
        request = pipeline_pb2.StreamPipelineExecutionRequest(execution_id=answer.execution.execution_id)
        execution = answer.execution
        async for each in self.pipeline_stub.StreamPipelineExecution(request):
            execution = each.execution
        assert execution.rows_written == count, execution

    async def train(self, request_id: str, seed: int = 1) -> Any:
        """Train a small model and deploy it to the default endpoint; the finished run."""
        stub: Any = WorkbenchServiceStub(self.surroundings.channels.to(WORKBENCH))
        request = workbench_pb2.StartTrainingRequest(
            request_id=request_id, symbol="EURUSD", rounds=15, seed=seed, deploy_to="eurusd-1h"
        )
        run = (await stub.StartTraining(request)).run
        async for each in stub.StreamTrainingRun(workbench_pb2.StreamTrainingRunRequest(run_id=run.run_id)):
            run = each.run
        assert run.model_version, run
        return run


@asynccontextmanager
async def platform(folder: Path, **settings: Any) -> AsyncIterator[Platform]:
    """Everything but workbench and inference runs for the length of the block."""
    async with asyncio.timeout(90), AsyncExitStack() as stack:
        found = Platform(Surroundings(folder), InferenceSettings(**settings), stack)
        await found.begin()
        yield found
