"""Training runs, aliases and deployments."""

from __future__ import annotations

from collections.abc import Mapping

from fxmesh.workbench.v1 import service_pb2 as pb
from fxmesh.workbench.v1 import workbench_pb2

from tests.integration.repetitions import models
from tests.integration.repetitions.case import Case, Platform, Twice, key
from tests.kit.live import eventually


async def start_training(platform: Platform, twice: Twice) -> None:
    async def runs() -> int:
        asked = pb.ListTrainingRunsRequest(page_size=1000)
        return len((await platform.workbench.ListTrainingRuns(asked)).runs)

    await twice(models.training(symbol="AUDNZD"), runs)  # there is nothing to train on


async def cancel_training(platform: Platform, twice: Twice) -> None:
    """One that waits behind others, so that it cannot be over before it is cancelled."""
    await models.bars(platform)
    for _ in range(3):
        await platform.workbench.StartTraining(models.training(model_name="ahead"))
    run_id = (await platform.workbench.StartTraining(models.training(model_name="cancelled"))).run.run_id

    async def state() -> int:
        return int(
            (await platform.workbench.GetTrainingRun(pb.GetTrainingRunRequest(run_id=run_id))).run.state
        )

    async def cancelled() -> bool:
        return await state() == workbench_pb2.TRAINING_STATE_CANCELLED

    async def end() -> None:
        await eventually(cancelled)

    await twice.late(pb.CancelTrainingRequest(request_id=key(), run_id=run_id), end, state)


def set_to(alias: str, version: int) -> pb.SetModelAliasRequest:
    return pb.SetModelAliasRequest(request_id=key(), name=models.MODEL, alias=alias, version=version)


def without(alias: str) -> pb.DeleteModelAliasRequest:
    return pb.DeleteModelAliasRequest(request_id=key(), name=models.MODEL, alias=alias)


async def aliases(platform: Platform) -> dict[str, int]:
    found = (await platform.workbench.ListModels(pb.ListModelsRequest())).models
    return next(dict(each.aliases) for each in found if each.name == models.MODEL)


async def set_model_alias(platform: Platform, twice: Twice) -> None:
    first, second = await models.versions(platform)

    async def point_elsewhere() -> None:
        await platform.workbench.SetModelAlias(set_to("champion", second))

    await twice.late(set_to("champion", first), point_elsewhere, lambda: aliases(platform))
    assert (await aliases(platform))["champion"] == second


async def delete_model_alias(platform: Platform, twice: Twice) -> None:
    first, _ = await models.versions(platform)
    await platform.workbench.SetModelAlias(set_to("gone", first))

    async def count() -> int:
        return len(await aliases(platform))

    request = without("gone")
    await twice(request, count, effects=-1)
    await platform.workbench.SetModelAlias(set_to("gone", first))
    await platform.workbench.DeleteModelAlias(request)  # late: it is somebody's again
    assert (await aliases(platform))["gone"] == first


async def deploy_model(platform: Platform, twice: Twice) -> None:
    first, second = await models.versions(platform)
    endpoint = f"twice-{key()[:8]}"

    def deploy(version: int) -> pb.DeployModelRequest:
        return pb.DeployModelRequest(
            request_id=key(), endpoint=endpoint, model_name=models.MODEL, version=str(version)
        )

    async def deployments() -> int:
        asked = pb.ListDeploymentsRequest(endpoint=endpoint)
        return len((await platform.workbench.ListDeployments(asked)).deployments)

    request = deploy(first)
    answer = await twice(request, deployments)
    await platform.workbench.DeployModel(deploy(second))
    again = await platform.workbench.DeployModel(request)  # late: another version serves
    assert again.deployment == answer.deployment
    assert (again.endpoint.model_version, again.endpoint.revision) == (second, 2)


CASES: Mapping[str, Case] = {
    "StartTraining": start_training,
    "CancelTraining": cancel_training,
    "SetModelAlias": set_model_alias,
    "DeleteModelAlias": delete_model_alias,
    "DeployModel": deploy_model,
}
