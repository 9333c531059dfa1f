"""Imports, executions and datasets."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from fxmesh.pipeline.v1 import pipeline_pb2
from fxmesh.pipeline.v1 import service_pb2 as pb
from fxmesh.types.v1 import market_pb2 as types

from tests.integration.repetitions import models
from tests.integration.repetitions.case import Case, Platform, Twice, key
from tests.kit.bar_files import bar_file
from tests.kit.live import eventually

BARS = 100


async def executions(platform: Platform) -> int:
    asked = pb.ListPipelineExecutionsRequest(page_size=1000)
    return len((await platform.pipeline.ListPipelineExecutions(asked)).executions)


async def ended(platform: Platform) -> None:
    """Once no execution runs."""

    async def none_runs() -> bool:
        asked = pb.ListPipelineExecutionsRequest(page_size=1000)
        found = (await platform.pipeline.ListPipelineExecutions(asked)).executions
        return all(each.state != pipeline_pb2.EXECUTION_STATE_RUNNING for each in found)

    await eventually(none_runs)


async def import_file(platform: Platform, twice: Twice) -> None:
    """Each import is an execution of its own; its rows are stored once."""
    content = bar_file(BARS, seed=int(key()[:8], 16)).encode()
    header = pb.ImportHeader(
        file_name="twice.csv",
        symbol="EURAUD",
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    request = [pb.ImportFileRequest(header=header), pb.ImportFileRequest(content=content)]
    source_id = (await platform.pipeline.ImportFile(iter(request))).source_id

    async def stored() -> int:
        await ended(platform)
        asked = pb.GetStorageReportRequest(source_id=source_id)
        return sum(each.count for each in (await platform.pipeline.GetStorageReport(asked)).counts)

    assert await stored() == BARS
    answer = await twice(request, stored, effects=0)
    assert answer.source_id == source_id


async def start_pipeline_execution(platform: Platform, twice: Twice) -> None:
    request = pb.StartPipelineExecutionRequest(
        request_id=key(),
        kind=pipeline_pb2.PIPELINE_KIND_SCORE,
        symbol="AUDNZD",
        timeframe=types.TIMEFRAME_H1,
    )
    await twice(request, lambda: executions(platform))


async def create_dataset(platform: Platform, twice: Twice) -> None:
    """The same rows make the same dataset anyway; each building is an execution."""
    await models.bars(platform)
    request = pb.CreateDatasetRequest(
        request_id=key(), symbol=models.SYMBOL, timeframe=types.TIMEFRAME_H1, horizon=4
    )
    dataset = (await twice(request, lambda: executions(platform))).dataset
    assert (await platform.pipeline.CreateDataset(request)).dataset == dataset


CASES: Mapping[str, Case] = {
    "ImportFile": import_file,
    "StartPipelineExecution": start_pipeline_execution,
    "CreateDataset": create_dataset,
}
