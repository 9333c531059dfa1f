"""Runs from request to served endpoint, and every way to fail."""

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.errors import FxError, Kind
from services.ml_workbench.domain import scoring
from services.ml_workbench.domain.runs import TrainingState
from tests.ml_workbench.conftest import SPEC, Bench, learnable, opened


async def test_a_run_becomes_a_version_behind_an_endpoint(bench: Bench) -> None:
    run = await bench.finished(await bench.training.start("r1", replace(SPEC, deploy_to="eurusd-1h")))
    assert (run.state, run.failure, run.model_version) == (TrainingState.COMPLETED, "", 1)
    assert run.metrics is not None
    assert run.metrics.log_loss < run.metrics.baseline_log_loss
    assert run.metrics.auc > 0.7
    assert (run.metrics.training_rows, run.metrics.validation_rows) == (1500 - 4, 500)
    named = await bench.registry.version("eurusd-1h", "latest")
    artifact = b"".join([chunk async for chunk in bench.registry.download("eurusd-1h", 1)])
    assert artifact.startswith(b"tree\n")
    assert len(artifact) == named.version.artifact_bytes
    endpoint = await bench.serving.endpoint("eurusd-1h")
    assert (endpoint.model_name, endpoint.model_version, endpoint.revision) == ("eurusd-1h", 1, 1)
    assert len(bench.events) == 3  # started, deployed, completed


async def test_the_same_data_gives_the_same_artifact_and_the_same_request_the_same_run(bench: Bench) -> None:
    first = await bench.finished(await bench.training.start("r1", SPEC))
    second = await bench.finished(await bench.training.start("r2", SPEC))
    assert (await bench.training.start("r1", SPEC)).run_id == first.run_id
    one, two = [await bench.registry.version("eurusd-1h", number) for number in ("1", "2")]
    assert one.version.artifact_hash == two.version.artifact_hash
    assert second.model_version == 2
    with pytest.raises(FxError) as reused:
        await bench.training.start("r1", replace(SPEC, seed=8))
    assert reused.value.reason == "REQUEST_ID_REUSED"


async def test_a_run_that_was_stored_when_the_service_died_is_found_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(*_: str) -> None:
        raise RuntimeError("killed here")

    with monkeypatch.context() as killed:
        killed.setattr(bench.store, "remember", die)
        with pytest.raises(RuntimeError, match="killed here"):
            await bench.training.start("r1", SPEC)
    run = await bench.training.start("r1", SPEC)
    assert [each.run_id for each in (await bench.training.list("", 0, ""))[0]] == [run.run_id]
    assert (await bench.finished(run)).state is TrainingState.COMPLETED


async def test_a_dataset_that_cannot_be_had_fails_the_run_with_its_reason(bench: Bench) -> None:
    bench.datasets.failure = FxError(Kind.FAILED_PRECONDITION, "NO_DATA", "no bars")
    run = await bench.finished(await bench.training.start("r1", SPEC))
    assert (run.state, run.failure_reason) == (TrainingState.FAILED, "NO_DATA")
    bench.datasets.failure, bench.datasets.data = None, learnable(100)
    small = await bench.finished(await bench.training.start("r2", SPEC))
    assert small.failure_reason == "TRAINING_DATA_TOO_SMALL"
    with pytest.raises(FxError) as none:
        await bench.registry.version("eurusd-1h", "latest")
    assert none.value.reason == "UNKNOWN_MODEL"


@pytest.mark.parametrize(
    "parameters",
    [{"objective": "multiclass"}, {"num_leaves": "1"}, {"num_leaves": "x"}, {"learning_rate": "nan"}],
)
async def test_parameters_that_may_not_be_set_are_refused(bench: Bench, parameters: dict[str, str]) -> None:
    with pytest.raises(FxError) as caught:
        await bench.training.start("r1", replace(SPEC, parameters=parameters))
    assert caught.value.reason == "BAD_PARAMETER"
    assert caught.value.violations


async def test_a_waiting_run_can_be_cancelled_and_a_finished_one_cannot(bench: Bench) -> None:
    first = await bench.training.start("r1", SPEC)
    second = await bench.training.start("r2", SPEC)
    await bench.training.cancel("c1", second.run_id)
    assert (await bench.finished(second)).state is TrainingState.CANCELLED
    await bench.finished(first)
    with pytest.raises(FxError) as over:
        await bench.training.cancel("c2", first.run_id)
    assert over.value.reason == "RUN_FINISHED"


async def test_after_a_restart_waiting_runs_go_on_and_the_one_cut_off_has_failed(tmp_path: Path) -> None:
    bench = opened(tmp_path)
    cut, waiting = await bench.training.start("r1", SPEC), await bench.training.start("r2", SPEC)
    cut.state = TrainingState.RUNNING
    await bench.store.save_run(cut)
    await bench.database.close()
    bench = opened(tmp_path)
    await bench.training.recover()
    worker = asyncio.create_task(bench.training.run())
    assert (await bench.training.get(cut.run_id)).state is TrainingState.FAILED
    assert (await bench.finished(waiting)).state is TrainingState.COMPLETED
    worker.cancel()
    await bench.database.close()


async def test_a_damaged_artifact_is_not_handed_out(bench: Bench, tmp_path: Path) -> None:
    await bench.finished(await bench.training.start("r1", SPEC))
    named = await bench.registry.version("eurusd-1h", "1")
    path = tmp_path / "artifacts" / named.version.artifact_hash
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(FxError) as corrupt:
        await anext(bench.registry.download("eurusd-1h", 1))
    assert corrupt.value.reason == "ARTIFACT_CORRUPT"


async def test_aliases_deployments_and_their_errors(bench: Bench) -> None:
    for request in ("r1", "r2"):
        await bench.finished(await bench.training.start(request, SPEC))
    await bench.registry.set_alias("a1", "eurusd-1h", "champion", 1)
    assert (await bench.registry.version("eurusd-1h", "champion")).version.version == 1
    endpoint, first = await bench.serving.deploy("d1", "", "eurusd-1h", "champion")
    assert (endpoint.name, first.previous_version) == ("eurusd-1h", 0)
    _, second = await bench.serving.deploy("d2", "eurusd-1h", "eurusd-1h", "latest")
    assert (second.model_version, second.previous_version, second.revision) == (2, 1, 2)
    assert (await bench.serving.deploy("d1", "", "eurusd-1h", "champion"))[1] == first
    listed, _ = await bench.serving.deployments("eurusd-1h", 0, "")
    assert [each.revision for each in listed] == [2, 1]
    await bench.registry.delete_alias("a2", "eurusd-1h", "champion")
    for call, reason in (
        (bench.registry.version("eurusd-1h", "champion"), "UNKNOWN_VERSION"),
        (bench.registry.set_alias("a3", "eurusd-1h", "x", 9), "UNKNOWN_VERSION"),
        (bench.registry.delete_alias("a4", "eurusd-1h", "gone"), "UNKNOWN_ALIAS"),
        (bench.serving.endpoint("none"), "UNKNOWN_ENDPOINT"),
    ):
        with pytest.raises(FxError) as caught:
            await call
        assert caught.value.reason == reason


def test_figures_of_a_known_case() -> None:
    labels, probabilities = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.4, 0.35, 0.8])
    assert scoring.auc(labels, probabilities) == pytest.approx(0.75)
    assert scoring.accuracy(labels, probabilities) == pytest.approx(0.75)
    assert scoring.log_loss(labels, np.full(4, 0.5)) == pytest.approx(np.log(2))
    assert scoring.split_in_time(100, 0.2, 4) == (slice(0, 76), slice(80, 100))
