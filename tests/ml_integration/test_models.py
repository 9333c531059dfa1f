"""What serves: loading, hot reload, damage, restarts."""

import asyncio
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from services.errors import FxError
from services.ml_integration.handlers import TrainingNews
from services.quant.timeframes import Timeframe
from tests.ml_integration.world import AWAY, World, running, until


async def test_a_deployed_model_answers_what_lightgbm_itself_answers(world: World) -> None:
    await world.serve(1)
    answers = [await world.predictions.predict(world.question(i)) for i in range(50)]
    expected = world.direct(world.market.artifacts[0], world.market.rows[:50])
    assert [each.probability_up for each in answers] == expected.tolist()
    assert {(each.endpoint, each.model_name, each.model_version) for each in answers} == {
        ("eurusd-1h", "eurusd-1h", 1)
    }


async def test_hot_reloads_under_load_fail_no_prediction_and_mix_no_models(world: World) -> None:
    await world.serve(1)
    rows = world.market.rows
    expected = {n: world.direct(world.market.artifacts[n - 1], rows) for n in (1, 2, 3)}
    versions: Counter[int] = Counter()
    reloading = True

    async def ask(number: int) -> None:
        i = number
        while reloading:
            answer = await world.predictions.predict(
                world.question(i % len(rows), prediction_id=f"{number}/{i}")
            )
            assert answer.probability_up == expected[answer.model_version][i % len(rows)]
            versions[answer.model_version] += 1
            i += 1
            await asyncio.sleep(0)

    async with running(world.outgoing.run()):
        askers = [asyncio.create_task(ask(number)) for number in range(8)]
        for number in (2, 3, 1, 2, 3):
            await world.serve(number)
            answered = versions[number]
            while versions[number] < answered + 20:
                await asyncio.sleep(0)
                assert not any(asker.done() for asker in askers)
        reloading = False
        await asyncio.gather(*askers)
    assert set(versions) == {1, 2, 3}


async def test_while_a_model_is_loaded_the_old_one_answers(world: World) -> None:
    await world.serve(1)
    world.loader.let.clear()
    world.loader.held.clear()
    loading = asyncio.create_task(world.serve(2))
    await world.loader.held.wait()
    async with asyncio.timeout(5):
        assert (await world.predictions.predict(world.question(0))).model_version == 1
    world.loader.let.set()
    await loading
    assert (await world.predictions.predict(world.question(0))).model_version == 2


async def test_a_damaged_artifact_is_refused_and_the_old_model_stays(world: World) -> None:
    await world.serve(1)
    good = world.market.artifacts[1]
    world.bureau.deploy(2)
    world.bureau.artifacts[2] = good[:-100] + b"x" * 100
    await world.models.deployed("eurusd-1h")
    assert (await world.predictions.predict(world.question(0))).model_version == 1
    assert world.models.failed_loads == 1
    world.bureau.artifacts[2] = good
    await world.models.reconcile()
    assert (await world.predictions.predict(world.question(0))).model_version == 2


@pytest.mark.parametrize("damage", ["truncated", "no text", "empty", "other features"])
async def test_an_artifact_that_fits_its_hash_but_is_no_model_is_refused(world: World, damage: str) -> None:
    await world.serve(1)
    good = world.market.artifacts[1]
    artifact = {
        "truncated": good[: len(good) // 2],
        "no text": b"\xff\xfe" + good,
        "empty": b"",
        "other features": good.replace(b"macd", b"adcm"),
    }[damage]
    await world.serve(2, artifact)
    assert (await world.predictions.predict(world.question(0))).model_version == 1
    assert world.models.failed_loads == 1


async def test_a_restart_without_the_workbench_serves_what_was_served_last(world: World) -> None:
    await world.serve(2)
    before = await world.predictions.predict(world.question(3))
    world.bureau.failure = AWAY
    world.restart()
    await world.models.recall()
    # Who asks before the model is loaded waits for it.
    asking = asyncio.create_task(world.predictions.predict(world.question(3)))
    async with running(world.models.run(15.0)):
        assert await asking == before
    assert world.models.loads == 1


async def test_a_damaged_file_on_disk_is_downloaded_again(world: World) -> None:
    await world.serve(1)
    (artifact,) = (world.folder / "artifacts").iterdir()
    artifact.write_bytes(b"rot")
    world.restart()
    await world.models.recall()
    async with running(world.models.run(15.0)):
        assert (await world.predictions.predict(world.question(0))).model_version == 1
    assert world.bureau.downloads == 2


@pytest.mark.parametrize("content", ["", "[{]", '[{"endpoint": {}}]', "{}", "[1]"])
async def test_a_damaged_table_on_disk_is_as_none(world: World, content: str) -> None:
    world.bureau.deploy(1)
    (world.folder / "endpoints.json").write_text(content)
    await world.models.recall()
    async with running(world.models.run(15.0)):
        await until(lambda: (world.folder / "endpoints.json").read_text() != content)
    assert json.loads((world.folder / "endpoints.json").read_text())[0]["version"]["version"] == 1


async def test_the_disk_holds_only_artifacts_that_serve(world: World, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        await world.serve(number)
    kept = [path.name for path in (tmp_path / "artifacts").iterdir()]
    assert kept == [world.bureau.versions[3].artifact_hash]


async def test_what_the_workbench_no_longer_lists_is_withdrawn(world: World) -> None:
    await world.serve(1)
    world.bureau.table.clear()
    await world.models.reconcile()
    with pytest.raises(FxError, match="NO_MODEL"):
        await world.predictions.predict(world.question(0))
    assert await world.store.pinned() == []


async def test_a_missed_deployment_is_found_by_looking(world: World) -> None:
    world.bureau.deploy(1)
    async with running(world.models.run(0.001)):
        await until(lambda: bool(world.models.all()))
        world.bureau.deploy(2)
        await until(lambda: world.models.all()[0].version.version == 2)
    assert world.bureau.downloads == 2


async def test_an_absent_workbench_is_asked_again_soon_and_a_present_one_seldom(world: World) -> None:
    world.bureau.deploy(1)
    world.bureau.failure = AWAY
    async with running(world.models.run(15.0)):
        await until(lambda: len(world.clock.asked) > 2)
        assert set(world.clock.asked) == {2.0}
        world.bureau.failure = None
        await until(lambda: bool(world.models.all()))
        await until(lambda: world.clock.asked[-1] == 15.0)


async def test_a_deployment_heard_while_the_workbench_is_away_waits(world: World) -> None:
    await world.serve(1)
    world.bureau.deploy(2)
    world.bureau.failure = AWAY
    await world.news.deployed("eurusd-1h")
    assert world.models.all()[0].version.version == 1
    world.bureau.failure = None
    await world.news.training(TrainingNews("completed", "run-1", "eurusd-1h", 2))
    assert world.models.all()[0].version.version == 2
    assert world.news.trainings == {"completed": 1}


async def test_the_same_model_deployed_again_keeps_its_watch(world: World) -> None:
    await world.serve(1)
    await world.predictions.predict(world.question(0))
    await world.serve(1)
    assert world.models.all()[0].endpoint.revision == 2
    assert (await world.reports.performance("eurusd-1h")).figures.predictions == 1
    assert world.models.loads == 1


async def test_a_model_of_the_same_number_with_other_content_is_another(world: World) -> None:
    await world.serve(1)
    world.bureau.artifacts.clear()
    world.bureau.versions.clear()
    await world.serve(1, world.market.artifacts[2])
    answer = await world.predictions.predict(world.question(0))
    assert answer.probability_up == world.direct(world.market.artifacts[2], world.market.rows[:1])[0]


async def test_the_endpoint_of_the_default_name_serves_when_there_are_several(world: World) -> None:
    world.bureau.deploy(2, name="canary")
    await world.models.reconcile()
    assert (await world.models.serving("EURUSD", None, "")).endpoint.name == "canary"
    world.bureau.deploy(1)
    await world.models.reconcile()
    assert (await world.models.serving("EURUSD", None, "")).endpoint.name == "eurusd-1h"
    assert (await world.models.serving("EURUSD", None, "canary")).version.version == 2


@pytest.mark.parametrize(
    ("symbol", "timeframe", "endpoint", "reason"),
    [
        ("GBPUSD", None, "", "NO_MODEL"),
        ("EURUSD", Timeframe.M1, "", "NO_MODEL"),
        ("EURUSD", None, "nowhere", "NO_MODEL"),
        ("GBPUSD", None, "eurusd-1h", "NO_MODEL"),
        ("EURUSD", Timeframe.M1, "eurusd-1h", "NO_MODEL"),
        ("ABCDEF", None, "eurusd-1h", "UNKNOWN_SYMBOL"),
        ("", None, "", "VALIDATION_FAILED"),
    ],
)
async def test_what_no_endpoint_serves_has_no_model(
    world: World, symbol: str, timeframe: Timeframe | None, endpoint: str, reason: str
) -> None:
    await world.serve(1)
    with pytest.raises(FxError, match=reason):
        await world.models.serving(symbol, timeframe, endpoint)


async def test_gain_shares_sum_to_one_and_come_strongest_first(world: World) -> None:
    await world.serve(1)
    importance = await world.reports.importance("EURUSD", None, "")
    shares = np.array([gain for _, gain, _ in importance.features])
    assert shares.sum() == pytest.approx(1.0)
    assert (np.diff(shares) <= 0).all()
    splits = sum(splits for _, _, splits in importance.features)
    assert splits == world.market.artifacts[0].count(b"\nTree=") * 6  # 7 leaves are 6 splits
