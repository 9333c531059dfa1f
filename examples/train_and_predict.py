"""Imports a file of bars, trains a model on them, serves it, and asks it about the last bar.

python examples/train_and_predict.py FILE [--symbol EURUSD] [--pipeline HOST:PORT] ...
"""

import argparse
import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
from fxmesh.inference.v1 import service_pb2 as inference
from fxmesh.inference.v1.service_pb2_grpc import InferenceServiceStub
from fxmesh.pipeline.v1 import pipeline_pb2
from fxmesh.pipeline.v1 import service_pb2 as pipeline
from fxmesh.pipeline.v1.service_pb2_grpc import PipelineServiceStub
from fxmesh.workbench.v1 import service_pb2 as workbench
from fxmesh.workbench.v1 import workbench_pb2
from fxmesh.workbench.v1.service_pb2_grpc import WorkbenchServiceStub

from services.cli.credentials import channel_credentials

PIECE = 128 * 1024

parser = argparse.ArgumentParser(description="From a file of one-hour bars to a prediction.")
parser.add_argument("file", type=Path, help="bid and ask bars, CSV, gzip or not")
parser.add_argument("--symbol", default="EURUSD")
parser.add_argument("--pipeline", default="localhost:50054", help="address of data_pipeline")
parser.add_argument("--inference", default="localhost:50055", help="address of ml_integration")
parser.add_argument("--workbench", default="localhost:50056", help="address of ml_workbench")
options = parser.parse_args()


endpoint = f"{options.symbol.lower()}-1h"


async def imported() -> None:
    """The header, then the file in pieces; then wait for the end of the import."""

    async def parts() -> AsyncIterator[pipeline.ImportFileRequest]:
        content = options.file.read_bytes()
        header = pipeline.ImportHeader(
            file_name=options.file.name,
            symbol=options.symbol,
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )
        yield pipeline.ImportFileRequest(header=header)
        for start in range(0, len(content), PIECE):
            yield pipeline.ImportFileRequest(content=content[start : start + PIECE])

    async with grpc.aio.secure_channel(options.pipeline, channel_credentials()) as channel:
        storage = PipelineServiceStub(channel)
        execution = (await storage.ImportFile(parts(), timeout=300)).execution
        watch = pipeline.StreamPipelineExecutionRequest(execution_id=execution.execution_id)
        async for answer in storage.StreamPipelineExecution(watch, timeout=300):
            execution = answer.execution
    if execution.state != pipeline_pb2.EXECUTION_STATE_COMPLETED:
        raise SystemExit(f"import: {execution.failure}")
    print(f"read {execution.rows_read} bars, {execution.rows_written} of them new")


async def trained() -> int:
    """The version that was trained and deployed."""
    async with grpc.aio.secure_channel(options.workbench, channel_credentials()) as channel:
        models = WorkbenchServiceStub(channel)
        order = workbench.StartTrainingRequest(
            request_id=uuid.uuid4().hex, symbol=options.symbol, deploy_to=endpoint, seed=1
        )
        run = (await models.StartTraining(order, timeout=10)).run
        watch = workbench.StreamTrainingRunRequest(run_id=run.run_id)
        async for answer in models.StreamTrainingRun(watch, timeout=300):
            run = answer.run
    if run.state != workbench_pb2.TRAINING_STATE_COMPLETED:
        raise SystemExit(f"training: {run.failure}")
    figures = run.metrics
    print(f"{run.model_name} {run.model_version}: log loss {figures.log_loss:.5f}, ", end="")
    print(f"guessing {figures.baseline_log_loss:.5f}, on {figures.validation_rows} bars it has not seen")
    return run.model_version


async def predicted(version: int) -> None:
    """Asks until the version serves: it is loaded a moment after it is deployed."""
    question = inference.PredictRequest(symbol=options.symbol, contributions=True)
    async with grpc.aio.secure_channel(options.inference, channel_credentials()) as channel:
        for _ in range(300):
            try:
                prediction = (await InferenceServiceStub(channel).Predict(question, timeout=10)).prediction
            except grpc.aio.AioRpcError as refused:
                if refused.code() is not grpc.StatusCode.FAILED_PRECONDITION:  # NO_MODEL
                    raise
            else:
                if prediction.model_version >= version:
                    break
            await asyncio.sleep(0.1)
        else:
            raise SystemExit(f"{endpoint} does not serve version {version}: see `fxmesh logs ml_integration`")
    print(f"up {prediction.probability_up:.4f} after {prediction.bar_open_time.ToJsonString()}")
    for each in prediction.contributions:
        print(f"  {each.feature} {each.contribution:+.4f}")


async def main() -> None:
    await imported()
    await predicted(await trained())


asyncio.run(main())
