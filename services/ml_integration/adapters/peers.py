"""The workbench and the pipeline, over their stubs."""

from __future__ import annotations

from fxmesh.pipeline.v1 import service_pb2 as pipeline_pb2
from fxmesh.pipeline.v1.service_pb2_grpc import PipelineServiceStub
from fxmesh.workbench.v1 import service_pb2 as workbench_pb2
from fxmesh.workbench.v1.service_pb2_grpc import WorkbenchServiceStub

from services.ml_integration import wire
from services.ml_integration.domain.models import Endpoint, ModelVersion
from services.ml_integration.domain.performance import Close
from services.ml_integration.ports import FeatureVector
from services.quant.timeframes import Timeframe
from services.runtime.ports import Channels
from services.wire.timeframes import TIMEFRAME
from services.wire.times import moment

BARS = 5000
"""The longest page of bars the pipeline gives."""


class GrpcWorkbench:
    """`ports.Workbench`."""

    def __init__(self, channels: Channels) -> None:
        self._stub = WorkbenchServiceStub(channels.to("fxmesh.workbench.v1.WorkbenchService"))

    async def endpoints(self) -> list[Endpoint]:
        """All."""
        answer = await self._stub.ListEndpoints(workbench_pb2.ListEndpointsRequest())
        return [wire.endpoint(each) for each in answer.endpoints]

    async def endpoint(self, name: str) -> Endpoint:
        """One."""
        return wire.endpoint(
            (await self._stub.GetEndpoint(workbench_pb2.GetEndpointRequest(name=name))).endpoint
        )

    async def version(self, name: str, version: int) -> ModelVersion:
        """What is known of a model version."""
        request = workbench_pb2.GetModelVersionRequest(name=name, version=str(version))
        return wire.model_version((await self._stub.GetModelVersion(request)).version)

    async def download(self, name: str, version: int) -> bytes:
        """Its artifact, put together from chunks."""
        chunks = self._stub.DownloadModel(workbench_pb2.DownloadModelRequest(name=name, version=version))
        return b"".join([chunk.content async for chunk in chunks])


class GrpcPipeline:
    """`ports.Pipeline`."""

    def __init__(self, channels: Channels) -> None:
        self._stub = PipelineServiceStub(channels.to("fxmesh.pipeline.v1.PipelineService"))

    async def features(self, symbol: str, timeframe: Timeframe, time_ns: int | None) -> FeatureVector:
        """Of the last bar closed by a time."""
        request = pipeline_pb2.GetFeaturesRequest(
            symbol=symbol, timeframe=TIMEFRAME[timeframe], time=None if time_ns is None else moment(time_ns)
        )
        return wire.feature_vector(await self._stub.GetFeatures(request))

    async def closes(self, symbol: str, timeframe: Timeframe, from_ns: int) -> list[Close]:
        """The first page of whole bars from a time."""
        request = pipeline_pb2.ListBarsRequest(
            symbol=symbol, timeframe=TIMEFRAME[timeframe], start=moment(from_ns), page_size=BARS
        )
        answer = await self._stub.ListBars(request)
        return [wire.close(each) for each in answer.bars if not each.partial]
