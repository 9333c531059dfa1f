"""A signal's probability and importance: asked for, gone without, and waited for only where that may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from services.analysis_engine.domain.signals import Finding, PredictionStatus, Side, Signal
from services.errors import FxError, Kind
from services.tracing import Story
from tests.analysis_engine.world import (
    AWAY,
    NO_MODEL,
    Replay,
    World,
    file_batch,
    through,
)


async def test_the_probability_is_that_of_the_signals_own_direction(shared_data: Path) -> None:
    world = World()
    await through(world, file_batch(shared_data, "oanda_eurusd")[:20_000])
    up = {each.signal_id: 0.5 + max(-0.4, min(0.4, each.features[0] / 10)) for each in world.model.requests}
    predicted = [each for each in world.bus.signals() if each.signal_id in up]
    assert {each.side for each in predicted} == {Side.BUY, Side.SELL}
    for each in predicted:
        expected = up[each.signal_id] if each.side is Side.BUY else 1 - up[each.signal_id]
        assert each.prediction.probability(each.side) == expected
        assert each.prediction.probability(each.side) + each.prediction.probability(
            each.side.opposite
        ) == pytest.approx(1)


async def test_importance_is_asked_once_a_version_and_again_after_a_failure(shared_data: Path) -> None:
    world = World()
    world.model.importance_failure = AWAY
    part = file_batch(shared_data, "oanda_eurusd")[:20_000]
    await through(world, part[:8_000])
    without = world.bus.signals()
    predicted = [each for each in without if each.prediction.status is PredictionStatus.PREDICTED]
    assert world.model.importance_calls == len(predicted) > 2
    assert not any("gain share" in every.name for each in without for every in each.evidence)
    world.model.importance_failure = None
    await through(world, part[8_000:14_000])
    assert world.model.importance_calls == len(predicted) + 1
    last = world.bus.signals()[-1]
    assert ("model gain share of return_1", 0.25) in [(each.name, each.value) for each in last.evidence]
    world.model.version = 2
    await through(world, part[14_000:])
    assert world.model.importance_calls == len(predicted) + 2


async def test_inference_that_is_down_is_left_alone_for_a_while(shared_data: Path) -> None:
    world = World()
    world.model.failure = AWAY
    await through(world, file_batch(shared_data, "oanda_eurusd")[:20_000])
    asked = len(world.model.requests)
    assert asked == world.settings.inference_failures  # no wall time went by
    assert len(world.bus.signals()) > asked + 5
    await world.clock.sleep(world.settings.inference_pause_seconds)
    world.model.failure = None
    await through(world, file_batch(shared_data, "oanda_eurusd")[20_000:30_000])
    later = [each.prediction.status for each in world.bus.signals() if each.tick_sequence > 20_000]
    assert PredictionStatus.PREDICTED in later
    assert PredictionStatus.UNAVAILABLE not in later


async def test_without_a_model_every_signal_asks(shared_data: Path) -> None:
    world = World()
    world.model.failure = NO_MODEL
    await through(world, file_batch(shared_data, "oanda_eurusd")[:20_000])
    enough = [
        each for each in world.bus.signals() if each.prediction.status is not PredictionStatus.NOT_ENOUGH_BARS
    ]
    assert len(world.model.requests) == len(enough) > 10


async def test_a_model_that_cannot_take_our_features_leaves_the_signal_without(shared_data: Path) -> None:
    world = World()
    world.model.failure = FxError(Kind.INVALID_ARGUMENT, "FEATURES_MISMATCH", "other names")
    await through(world, file_batch(shared_data, "oanda_eurusd")[:12_000])
    statuses = {each.prediction.status for each in world.bus.signals()}
    assert statuses == {PredictionStatus.UNAVAILABLE, PredictionStatus.NOT_ENOUGH_BARS}
    assert len(world.model.requests) > world.settings.inference_failures


async def test_only_a_lockstep_replay_waits_long_for_inference(shared_data: Path) -> None:
    part = file_batch(shared_data, "oanda_eurusd")[:10_000]
    for lockstep, speed, limit_s in ((True, 0.0, 5.0), (False, 0.0, 0.25), (True, 1.0, 0.25)):
        world = World(replay=Replay(lockstep=lockstep))
        await through(world, part, size=500, speed=speed)
        assert set(world.model.limits_s) == {limit_s}


async def test_a_signal_can_be_asked_for_before_the_bus_has_confirmed_it(shared_data: Path) -> None:
    world = World()
    heard_of: list[bool] = []
    publish = world.bus.publish

    async def published(findings: Sequence[Finding], stories: Mapping[str, Story]) -> None:
        await publish(findings, stories)
        signals = [each for each in findings if isinstance(each, Signal)]
        # A consumer is quicker than the acknowledgement.
        heard_of.extend([await world.queries.signal(each.signal_id) is each for each in signals])

    world.bus.publish = published  # type: ignore[method-assign]
    await through(world, file_batch(shared_data, "oanda_eurusd")[:8_000])
    assert heard_of
    assert all(heard_of)
