"""Answers, their identity, and what becomes of them."""

import asyncio
from datetime import UTC, datetime

import lightgbm
import numpy as np
import pytest

from services.errors import FxError
from services.ml_integration.domain.predictions import Prediction
from services.ml_integration.handlers import BatchQuestion, Question, SentFeatures
from services.quant.features import FEATURE_NAMES, FEATURE_SET_VERSION
from tests.ml_integration.world import AWAY, World, running, until


async def test_contributions_sum_to_the_raw_log_odds(world: World) -> None:
    await world.serve(1)
    booster = lightgbm.Booster(model_str=world.market.artifacts[0].decode())
    raw = booster.predict(world.market.rows[:20], raw_score=True)
    (served,) = world.models.all()
    for i in range(20):
        parts = served.model.contributions(world.market.rows[i])
        assert parts.sum() == pytest.approx(raw[i], abs=1e-12)
        answer = await world.predictions.predict(world.question(i, contributions=True))
        assert 1 / (1 + np.exp(-parts.sum())) == pytest.approx(answer.probability_up, abs=1e-12)
        strongest = sorted(np.abs(parts[:-1]), reverse=True)[:5]
        assert [abs(each.contribution) for each in answer.contributions] == strongest
        for each in answer.contributions:
            place = FEATURE_NAMES.index(each.feature)
            assert each.contribution == parts[place]
            assert each.value == world.market.rows[i][place]


async def test_contributions_come_only_when_asked_for(world: World) -> None:
    await world.serve(1)
    assert (await world.predictions.predict(world.question(0))).contributions == ()


@pytest.mark.parametrize(
    ("values", "version", "field"),
    [
        (np.zeros(len(FEATURE_NAMES) - 1), FEATURE_SET_VERSION, "features.values"),
        (np.zeros(len(FEATURE_NAMES) + 1), FEATURE_SET_VERSION, "features.values"),
        (np.zeros(0), FEATURE_SET_VERSION, "features.values"),
        (np.full(len(FEATURE_NAMES), np.nan), FEATURE_SET_VERSION, "features.values"),
        (np.zeros(len(FEATURE_NAMES)), FEATURE_SET_VERSION + 1, "features.feature_set_version"),
        (np.zeros(len(FEATURE_NAMES)), 0, "features.feature_set_version"),
    ],
)
async def test_features_that_are_not_the_models_are_refused(
    world: World, values: np.ndarray, version: int, field: str
) -> None:
    await world.serve(1)
    with pytest.raises(FxError, match="FEATURES_MISMATCH") as caught:
        await world.predictions.predict(Question("EURUSD", features=SentFeatures(values, version)))
    assert [each.field for each in caught.value.violations] == [field]
    assert await world.flushed() == []


async def test_features_nobody_sent_are_fetched_for_the_time_the_bar_or_the_last_bar(world: World) -> None:
    await world.serve(1)
    market = world.market
    i = 500
    by_bar = await world.predictions.predict(Question("EURUSD", open_ns=market.opened(i)))
    closed_ns = market.opened(i) + 3600 * 10**9
    by_time = await world.predictions.predict(Question("EURUSD", time_ns=closed_ns + 5))
    last = await world.predictions.predict(Question("EURUSD"))
    sent = await world.predictions.predict(world.question(i))
    assert by_bar.features_fetched
    assert (by_bar.open_ns, by_bar.probability_up) == (market.opened(i), sent.probability_up)
    assert by_time == by_bar
    assert last.open_ns == market.bars[-1].open_ns


async def test_a_pipeline_without_features_says_so_and_an_absent_one_too(world: World) -> None:
    await world.serve(1)
    with pytest.raises(FxError, match="NO_FEATURES"):
        await world.predictions.predict(Question("EURUSD", time_ns=1))
    world.stored.failure = AWAY
    with pytest.raises(FxError, match="PEER_UNAVAILABLE"):
        await world.predictions.predict(Question("EURUSD"))


async def test_a_repeated_prediction_is_answered_again_but_published_and_counted_once(world: World) -> None:
    await world.serve(1)
    first = await world.predictions.predict(world.question(7))
    again = await world.predictions.predict(world.question(7))
    assert again == first
    opened = datetime.fromtimestamp(world.market.opened(7) / 1e9, UTC)
    assert first.prediction_id == f"eurusd-1h/EURUSD/1h/{opened:%Y%m%dT%H0000Z}"
    assert await world.flushed() == [first]
    assert await world.predictions.list([], "", 0) == [first]
    assert (await world.reports.performance("eurusd-1h")).figures.predictions == 1
    await world.serve(2)
    other = await world.predictions.predict(world.question(7))
    assert (other.prediction_id, other.model_version) == (first.prediction_id, 2)
    assert await world.flushed() == [first, other]


async def test_without_a_bar_the_features_are_the_identity(world: World) -> None:
    await world.serve(1)
    one = await world.predictions.predict(world.question(1, open_ns=None))
    same = await world.predictions.predict(world.question(1, open_ns=None))
    other = await world.predictions.predict(world.question(2, open_ns=None))
    assert one.prediction_id == same.prediction_id != other.prediction_id
    assert await world.flushed() == [one, other]


async def test_the_callers_identity_and_signal_stay_with_the_prediction(world: World) -> None:
    await world.serve(1)
    name = "s:EURUSD:1h:trend:20140501T1300Z"
    answer = await world.predictions.predict(world.question(1, prediction_id=name, signal_id=name))
    assert (answer.prediction_id, answer.signal_id) == (name, name)


async def test_the_last_predictions_are_listed_newest_first_by_symbol_and_endpoint(world: World) -> None:
    world.bureau.deploy(1)
    world.bureau.deploy(2, name="canary")
    await world.models.reconcile()
    made = [
        await world.predictions.predict(world.question(i, endpoint="canary" if i % 3 == 0 else ""))
        for i in range(130)
    ]
    made.reverse()
    assert await world.predictions.list([], "", 0) == made[:100]
    assert await world.predictions.list(["EURUSD"], "canary", 5) == made[0::3][:5]
    assert await world.predictions.list(["GBPUSD"], "", 0) == []


async def test_only_so_many_predictions_are_kept(world: World) -> None:
    world.settings = world.settings.model_copy(update={"kept_predictions": 10})
    world.restart()
    await world.serve(1)
    made = [await world.predictions.predict(world.question(i)) for i in range(25)]
    assert await world.predictions.list([], "", 1000) == made[:-11:-1]


async def test_a_stream_gets_each_prediction_of_its_symbols_as_it_is_made(world: World) -> None:
    await world.serve(1)
    mine, others = world.predictions.stream(["EURUSD"]), world.predictions.stream(["GBPUSD"])
    made = [await world.predictions.predict(world.question(i)) for i in range(5)]
    assert [await anext(mine) for _ in range(5)] == made
    assert await anext(others) is None
    world.predictions.close()
    assert [each async for each in mine] == []


async def test_a_batch_equals_row_by_row_and_is_no_event(world: World) -> None:
    await world.serve(1)
    for count in (1, 64, 65, len(world.market.rows)):
        rows = world.market.rows[:count]
        question = BatchQuestion("EURUSD", None, "", list(rows.T), count, FEATURE_SET_VERSION)
        scores = await world.predictions.batch(question)
        assert scores.probability_up.tolist() == world.direct(world.market.artifacts[0], rows).tolist()
        assert scores.served.version.version == 1
    assert await world.flushed() == []
    assert world.tally.rows == 1 + 64 + 65 + len(world.market.rows)


@pytest.mark.parametrize("damage", ["column missing", "ragged", "nan", "version"])
async def test_a_batch_of_other_features_is_refused(world: World, damage: str) -> None:
    await world.serve(1)
    columns = [column.copy() for column in world.market.rows[:10].T]
    version = FEATURE_SET_VERSION
    if damage == "column missing":
        columns.pop()
    elif damage == "ragged":
        columns[3] = columns[3][:9]
    elif damage == "nan":
        columns[3][4] = np.inf
    else:
        version += 1
    with pytest.raises(FxError, match="FEATURES_MISMATCH"):
        await world.predictions.batch(BatchQuestion("EURUSD", None, "", columns, 10, version))


async def test_an_answer_waits_for_no_bus_until_the_queue_is_full_and_none_is_lost(world: World) -> None:
    world.settings = world.settings.model_copy(update={"publish_room": 5})
    world.restart()
    await world.serve(1)
    world.press.closed = True
    made: list[Prediction] = []

    async def ask() -> None:
        for i in range(12):
            answer = await world.predictions.predict(world.question(i))
            made.append(answer)

    async with running(world.outgoing.run()):
        asking = asyncio.create_task(ask())
        await until(lambda: len(world.outgoing) == 5)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(made) == 5
        assert not asking.done()
        world.press.closed = False
        await asking
    # Whatever the loop had in hand when it ended is published at the end, in order.
    assert await world.flushed() == made
