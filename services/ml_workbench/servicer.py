"""WorkbenchService: decode, call the handler, encode."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from fxmesh.workbench.v1 import service_pb2 as pb
from fxmesh.workbench.v1 import service_pb2_grpc
from typing_extensions import override

from services.ml_workbench import wire
from services.ml_workbench.handlers import Registry, Serving, Training

Context = grpc.aio.ServicerContext[Any, Any]


class WorkbenchServicer(service_pb2_grpc.WorkbenchServiceServicer):
    """The gRPC face of the handlers."""

    def __init__(self, training: Training, registry: Registry, serving: Serving) -> None:
        self._training = training
        self._registry = registry
        self._serving = serving

    @override
    async def StartTraining(
        self, request: pb.StartTrainingRequest, context: Context
    ) -> pb.StartTrainingResponse:
        run = await self._training.start(request.request_id, wire.training_spec(request))
        return pb.StartTrainingResponse(run=wire.run(run))

    @override
    async def GetTrainingRun(
        self, request: pb.GetTrainingRunRequest, context: Context
    ) -> pb.GetTrainingRunResponse:
        return pb.GetTrainingRunResponse(run=wire.run(await self._training.get(request.run_id)))

    @override
    async def ListTrainingRuns(
        self, request: pb.ListTrainingRunsRequest, context: Context
    ) -> pb.ListTrainingRunsResponse:
        runs, more = await self._training.list(request.model_name, request.page_size, request.page_token)
        return pb.ListTrainingRunsResponse(runs=[wire.run(each) for each in runs], next_page_token=more)

    @override
    async def StreamTrainingRun(
        self, request: pb.StreamTrainingRunRequest, context: Context
    ) -> AsyncIterator[pb.StreamTrainingRunResponse]:
        async for run in self._training.stream(request.run_id):
            yield pb.StreamTrainingRunResponse(run=wire.run(run))

    @override
    async def CancelTraining(
        self, request: pb.CancelTrainingRequest, context: Context
    ) -> pb.CancelTrainingResponse:
        run = await self._training.cancel(request.request_id, request.run_id)
        return pb.CancelTrainingResponse(run=wire.run(run))

    @override
    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        return pb.ListModelsResponse(models=[wire.model(each) for each in await self._registry.models()])

    @override
    async def ListModelVersions(
        self, request: pb.ListModelVersionsRequest, context: Context
    ) -> pb.ListModelVersionsResponse:
        versions = await self._registry.versions(request.name)
        return pb.ListModelVersionsResponse(versions=[wire.version(each) for each in versions])

    @override
    async def GetModelVersion(
        self, request: pb.GetModelVersionRequest, context: Context
    ) -> pb.GetModelVersionResponse:
        version = await self._registry.version(request.name, request.version)
        return pb.GetModelVersionResponse(version=wire.version(version))

    @override
    async def SetModelAlias(
        self, request: pb.SetModelAliasRequest, context: Context
    ) -> pb.SetModelAliasResponse:
        model = await self._registry.set_alias(
            request.request_id, request.name, request.alias, request.version
        )
        return pb.SetModelAliasResponse(model=wire.model(model))

    @override
    async def DeleteModelAlias(
        self, request: pb.DeleteModelAliasRequest, context: Context
    ) -> pb.DeleteModelAliasResponse:
        model = await self._registry.delete_alias(request.request_id, request.name, request.alias)
        return pb.DeleteModelAliasResponse(model=wire.model(model))

    @override
    async def DownloadModel(
        self, request: pb.DownloadModelRequest, context: Context
    ) -> AsyncIterator[pb.DownloadModelResponse]:
        async for chunk in self._registry.download(request.name, request.version):
            yield pb.DownloadModelResponse(content=chunk)

    @override
    async def DeployModel(self, request: pb.DeployModelRequest, context: Context) -> pb.DeployModelResponse:
        endpoint, deployment = await self._serving.deploy(
            request.request_id, request.endpoint, request.model_name, request.version
        )
        return pb.DeployModelResponse(
            endpoint=wire.endpoint(endpoint), deployment=wire.deployment(deployment)
        )

    @override
    async def ListDeployments(
        self, request: pb.ListDeploymentsRequest, context: Context
    ) -> pb.ListDeploymentsResponse:
        found, more = await self._serving.deployments(request.endpoint, request.page_size, request.page_token)
        return pb.ListDeploymentsResponse(
            deployments=[wire.deployment(each) for each in found], next_page_token=more
        )

    @override
    async def ListEndpoints(
        self, request: pb.ListEndpointsRequest, context: Context
    ) -> pb.ListEndpointsResponse:
        endpoints = await self._serving.endpoints()
        return pb.ListEndpointsResponse(endpoints=[wire.endpoint(each) for each in endpoints])

    @override
    async def GetEndpoint(self, request: pb.GetEndpointRequest, context: Context) -> pb.GetEndpointResponse:
        return pb.GetEndpointResponse(endpoint=wire.endpoint(await self._serving.endpoint(request.name)))
