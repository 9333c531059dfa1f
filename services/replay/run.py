"""One tick file through the whole platform, in lockstep."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fxmesh.marketdata.v1 import market_pb2
from fxmesh.marketdata.v1 import service_pb2 as marketdata
from fxmesh.marketdata.v1.service_pb2_grpc import MarketDataServiceStub
from fxmesh.pipeline.v1 import pipeline_pb2
from fxmesh.pipeline.v1 import service_pb2 as pipeline
from fxmesh.pipeline.v1.service_pb2_grpc import PipelineServiceStub
from fxmesh.workbench.v1 import service_pb2 as workbench
from fxmesh.workbench.v1 import workbench_pb2
from fxmesh.workbench.v1.service_pb2_grpc import WorkbenchServiceStub
from structlog.typing import FilteringBoundLogger

from services.errors import FxError, Kind
from services.market.formats import as_one_file, fingerprint
from services.replay.outputs import write_outputs
from services.replay.platform import Platform
from services.uploads import Announced

CHUNK = 128 * 1024
SETTLE_S = 0.3
Progress = Callable[[int, int], None]
"""Called with bytes read and bytes in all."""


@dataclass(frozen=True, slots=True)
class ReplayJob:
    """What to run. `bars` files are imported first, for warm-up and training; `train` uses their H1 bars."""

    ticks: Path
    out: Path
    data: Path
    symbol: str = ""
    format: str = ""
    batch_size: int = 0
    strict: bool = False
    bars: Sequence[Path] = ()
    train: bool = False


async def run(job: ReplayJob, log: FilteringBoundLogger, progress: Progress) -> dict[str, int]:
    """Replay the file and write what came of it to `job.out`; returns rows by output.

    Raises FxError with the file's fault, or with what stopped the replay.
    """
    with as_one_file(job.ticks) as ticks:
        return await _run(replace(job, ticks=ticks), job.ticks.resolve().name, log, progress)


async def _run(job: ReplayJob, name: str, log: FilteringBoundLogger, progress: Progress) -> dict[str, int]:
    session_id = f"file-{fingerprint(job.ticks)[:16]}"
    async with Platform(job.data, log) as platform:
        for path in job.bars:
            await _import(platform, path, job.symbol)
        if job.train:
            await _train(platform, job.symbol)
        replay = await _replay(platform, job, name, session_id, progress)
        await _settled(platform)
        return await write_outputs(platform, replay, job.out)


async def _settled(platform: Platform) -> None:
    """Return once nothing moves any more: some services publish from a queue of their own."""
    stub = PipelineServiceStub(platform.channel("fxmesh.pipeline.v1.PipelineService"))
    before = b""
    while True:
        await platform.broker.drain()
        platform.check()
        report = await stub.GetStorageReport(pipeline.GetStorageReportRequest())
        counts = b"".join(each.SerializeToString() for each in report.counts)
        if counts == before:
            return
        before = counts
        await asyncio.sleep(SETTLE_S)


async def _replay(
    platform: Platform, job: ReplayJob, name: str, session_id: str, progress: Progress
) -> market_pb2.Replay:
    stub = MarketDataServiceStub(platform.channel("fxmesh.marketdata.v1.MarketDataService"))

    async def parts() -> AsyncIterator[marketdata.UploadTickFileRequest]:
        announced = Announced.of(job.ticks)
        yield marketdata.UploadTickFileRequest(
            header=marketdata.UploadHeader(file_name=name, size_bytes=announced.size, sha256=announced.sha256)
        )
        for content in _chunks(job.ticks):
            yield marketdata.UploadTickFileRequest(content=content)

    uploaded = await stub.UploadTickFile(parts())
    started = await stub.StartReplay(
        marketdata.StartReplayRequest(
            request_id=session_id,
            file_id=uploaded.file_id,
            file_name=name,
            symbol=job.symbol,
            format=job.format,
            pace=market_pb2.REPLAY_PACE_LOCKSTEP,
            strict=job.strict,
            batch_size=job.batch_size,
            session_id=session_id,
        )
    )
    replay = started.replay
    async for answer in stub.StreamReplay(marketdata.StreamReplayRequest(replay_id=replay.replay_id)):
        replay = answer.replay
        progress(replay.bytes_read, replay.bytes_total)
        platform.check()
    if replay.state != market_pb2.REPLAY_STATE_COMPLETED:
        raise FxError(Kind.FAILED_PRECONDITION, replay.failure_reason or "REPLAY_ENDED", replay.failure)
    return replay


async def _import(platform: Platform, path: Path, symbol: str) -> None:
    stub = PipelineServiceStub(platform.channel("fxmesh.pipeline.v1.PipelineService"))

    async def parts() -> AsyncIterator[pipeline.ImportFileRequest]:
        announced = Announced.of(path)
        header = pipeline.ImportHeader(
            file_name=path.name, symbol=symbol, size_bytes=announced.size, sha256=announced.sha256
        )
        yield pipeline.ImportFileRequest(header=header)
        for content in _chunks(path):
            yield pipeline.ImportFileRequest(content=content)

    execution = (await stub.ImportFile(parts())).execution
    request = pipeline.StreamPipelineExecutionRequest(execution_id=execution.execution_id)
    async for answer in stub.StreamPipelineExecution(request):
        execution = answer.execution
    if execution.state != pipeline_pb2.EXECUTION_STATE_COMPLETED:
        raise FxError(Kind.INVALID_ARGUMENT, execution.failure_reason, execution.failure)


async def _train(platform: Platform, symbol: str) -> None:
    stub = WorkbenchServiceStub(platform.channel("fxmesh.workbench.v1.WorkbenchService"))
    request = workbench.StartTrainingRequest(
        request_id="train", symbol=symbol, deploy_to=f"{symbol.lower()}-1h", seed=1
    )
    run = (await stub.StartTraining(request)).run
    async for answer in stub.StreamTrainingRun(workbench.StreamTrainingRunRequest(run_id=run.run_id)):
        run = answer.run
    if run.state != workbench_pb2.TRAINING_STATE_COMPLETED:
        raise FxError(Kind.FAILED_PRECONDITION, run.failure_reason, run.failure)
    await _served(platform, symbol)


async def _served(platform: Platform, symbol: str) -> None:
    """Wait until inference serves what was trained: the replay must not begin without it."""
    from fxmesh.inference.v1 import service_pb2 as inference
    from fxmesh.inference.v1.service_pb2_grpc import InferenceServiceStub

    stub = InferenceServiceStub(platform.channel("fxmesh.inference.v1.InferenceService"))
    async with asyncio.timeout(30):
        while True:
            served = await stub.ListServedModels(inference.ListServedModelsRequest())
            if any(model.symbol == symbol for model in served.models):
                return
            await asyncio.sleep(0.05)


def _chunks(path: Path) -> list[bytes]:
    content = path.read_bytes()
    return [content[start : start + CHUNK] for start in range(0, len(content), CHUNK)]
