"""PipelineService: decode, call the handler, encode."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from fxmesh.pipeline.v1 import service_pb2 as pb
from fxmesh.pipeline.v1 import service_pb2_grpc
from typing_extensions import override

from services.data_pipeline import wire
from services.data_pipeline.handlers import Datasets, Executions, Imports, Queries, Scoring
from services.paging import decode_token, encode_token, page_size
from services.quant.timeframes import Timeframe
from services.wire.bars import bar
from services.wire.timeframes import timeframe_of
from services.wire.times import time_ns

Context = grpc.aio.ServicerContext[Any, Any]


class PipelineServicer(service_pb2_grpc.PipelineServiceServicer):
    """The gRPC face of the handlers."""

    def __init__(
        self, queries: Queries, imports: Imports, executions: Executions, datasets: Datasets, scoring: Scoring
    ) -> None:
        self._queries = queries
        self._imports = imports
        self._executions = executions
        self._datasets = datasets
        self._scoring = scoring

    @override
    async def ListBars(self, request: pb.ListBarsRequest, context: Context) -> pb.ListBarsResponse:
        bars, more = await self._queries.bars(wire.bar_query(request), request.page_size, request.page_token)
        return pb.ListBarsResponse(bars=[bar(each) for each in bars], next_page_token=more)

    @override
    async def ReadBars(
        self, request: pb.ReadBarsRequest, context: Context
    ) -> AsyncIterator[pb.ReadBarsResponse]:
        async for bars in self._queries.read_bars(wire.bar_query(request)):
            yield pb.ReadBarsResponse(bars=wire.bar_columns(bars))

    @override
    async def ReadTicks(
        self, request: pb.ReadTicksRequest, context: Context
    ) -> AsyncIterator[pb.ReadTicksResponse]:
        ticks = self._queries.read_ticks(request.symbol, request.source_id, request.after_sequence)
        async for batch in ticks:
            yield wire.read_ticks(batch)

    @override
    async def ListEvents(self, request: pb.ListEventsRequest, context: Context) -> pb.ListEventsResponse:
        events, more = await self._queries.events(
            list(request.type), request.key, request.page_size, request.page_token
        )
        return pb.ListEventsResponse(
            events=[wire.stored_event(each) for each in events], next_page_token=more
        )

    @override
    async def GetStorageReport(
        self, request: pb.GetStorageReportRequest, context: Context
    ) -> pb.GetStorageReportResponse:
        counts, size = await self._queries.report(request.source_id)
        return pb.GetStorageReportResponse(counts=[wire.stored_count(each) for each in counts], bytes=size)

    @override
    async def ImportFile(
        self, requests: AsyncIterator[pb.ImportFileRequest], context: Context
    ) -> pb.ImportFileResponse:
        parts = (wire.import_part(each) async for each in requests)
        execution, source_id = await self._imports.receive(parts)
        return pb.ImportFileResponse(execution=wire.execution(execution), source_id=source_id)

    @override
    async def StartPipelineExecution(
        self, request: pb.StartPipelineExecutionRequest, context: Context
    ) -> pb.StartPipelineExecutionResponse:
        kind, frame = wire.KIND_OF[request.kind], timeframe_of(request.timeframe, Timeframe.H1)
        execution = await self._scoring.start(
            request.request_id, kind, request.symbol, frame, wire.span(request)
        )
        return pb.StartPipelineExecutionResponse(execution=wire.execution(execution))

    @override
    async def GetPipelineExecution(
        self, request: pb.GetPipelineExecutionRequest, context: Context
    ) -> pb.GetPipelineExecutionResponse:
        execution = await self._executions.get(request.execution_id)
        return pb.GetPipelineExecutionResponse(execution=wire.execution(execution))

    @override
    async def ListPipelineExecutions(
        self, request: pb.ListPipelineExecutionsRequest, context: Context
    ) -> pb.ListPipelineExecutionsResponse:
        kinds, size = tuple(wire.KIND_OF[kind] for kind in request.kind), page_size(request.page_size)
        position = decode_token(request.page_token, kinds)
        found = await self._executions.list(kinds, str(position[0]) if position else "", size + 1)
        more = encode_token([found[size - 1].execution_id], kinds) if len(found) > size else ""
        return pb.ListPipelineExecutionsResponse(
            executions=[wire.execution(each) for each in found[:size]], next_page_token=more
        )

    @override
    async def StreamPipelineExecution(
        self, request: pb.StreamPipelineExecutionRequest, context: Context
    ) -> AsyncIterator[pb.StreamPipelineExecutionResponse]:
        async for execution in self._executions.stream(request.execution_id):
            yield pb.StreamPipelineExecutionResponse(execution=wire.execution(execution))

    @override
    async def CreateDataset(
        self, request: pb.CreateDatasetRequest, context: Context
    ) -> pb.CreateDatasetResponse:
        dataset = await self._datasets.create(request.request_id, wire.dataset_spec(request))
        return pb.CreateDatasetResponse(dataset=wire.dataset(dataset))

    @override
    async def GetDataset(self, request: pb.GetDatasetRequest, context: Context) -> pb.GetDatasetResponse:
        return pb.GetDatasetResponse(dataset=wire.dataset(await self._datasets.get(request.dataset_id)))

    @override
    async def ListDatasets(
        self, request: pb.ListDatasetsRequest, context: Context
    ) -> pb.ListDatasetsResponse:
        datasets = await self._datasets.list(request.symbol)
        return pb.ListDatasetsResponse(datasets=[wire.dataset(each) for each in datasets])

    @override
    async def GetDatasetFeatures(
        self, request: pb.GetDatasetFeaturesRequest, context: Context
    ) -> AsyncIterator[pb.GetDatasetFeaturesResponse]:
        async for dataset, rows in self._datasets.chunks(request.dataset_id):
            yield wire.dataset_rows(dataset, rows)

    @override
    async def GetFeatures(self, request: pb.GetFeaturesRequest, context: Context) -> pb.GetFeaturesResponse:
        frame = timeframe_of(request.timeframe, Timeframe.H1)
        vector = await self._datasets.features(request.symbol, frame, time_ns(request, "time"))
        return wire.feature_vector(vector)
