"""Bars to train on and a model trained on them, made once for a platform."""

from __future__ import annotations

import tempfile
from pathlib import Path

from fxmesh.inference.v1 import service_pb2 as inference
from fxmesh.pipeline.v1 import pipeline_pb2
from fxmesh.workbench.v1 import service_pb2 as pb
from fxmesh.workbench.v1 import workbench_pb2

from tests.integration.repetitions.case import Platform, key
from tests.kit.bar_files import bar_file
from tests.kit.live import eventually

SYMBOL = "EURCAD"
MODEL = ENDPOINT = "eurcad-1h"
BARS = 600


def training(**given: object) -> pb.StartTrainingRequest:
    """Of a model of few rounds."""
    plain = {"request_id": key(), "symbol": SYMBOL, "rounds": 5}
    return pb.StartTrainingRequest(**{**plain, **given})  # type: ignore[arg-type]


async def bars(platform: Platform) -> None:
    """Stored, whoever asks first."""
    with tempfile.TemporaryDirectory() as folder:
        (path := Path(folder, "twice.csv")).write_text(bar_file(BARS))
        imported = await platform.live.import_file(path, symbol=SYMBOL)
    assert (imported.state, imported.rows_read) == (pipeline_pb2.EXECUTION_STATE_COMPLETED, BARS)


async def versions(platform: Platform) -> tuple[int, int]:
    """Two versions of one model."""
    found = [each for each in (await _models(platform)) if each.name == MODEL]
    trained = found[0].latest_version if found else 0
    if not trained:
        await bars(platform)
    for _ in range(trained, 2):
        run = (await platform.workbench.StartTraining(training())).run
        async for answer in platform.workbench.StreamTrainingRun(
            pb.StreamTrainingRunRequest(run_id=run.run_id)
        ):
            run = answer.run
        assert run.state == workbench_pb2.TRAINING_STATE_COMPLETED, run.failure
    return 1, 2


async def served(platform: Platform) -> None:
    """A version answers predictions."""
    _, version = await versions(platform)
    await platform.workbench.DeployModel(
        pb.DeployModelRequest(request_id=key(), model_name=MODEL, version=str(version))
    )

    async def loaded() -> bool:
        models = (await platform.inference.ListServedModels(inference.ListServedModelsRequest())).models
        return any((each.endpoint, each.model_version) == (ENDPOINT, version) for each in models)

    await eventually(loaded)


async def _models(platform: Platform) -> list[workbench_pb2.Model]:
    return list((await platform.workbench.ListModels(pb.ListModelsRequest())).models)
