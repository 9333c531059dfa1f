"""Outcomes of predictions, against a computation by hand."""

import math

import numpy as np
import pytest

from services.errors import FxError
from services.ml_integration.domain.performance import LONGEST_GAP_NS, Close, Performance
from services.ml_integration.ports import PerformanceUpdate
from tests.ml_integration.world import AWAY, HORIZON, World

HOUR = 3600 * 10**9


def closes(*mids: int, start: int = 0) -> list[Close]:
    return [Close((start + i) * HOUR, mid) for i, mid in enumerate(mids)]


def test_figures_are_those_computed_by_hand() -> None:
    performance = Performance(horizon=2)
    for i, probability in enumerate((0.7, 0.6, 0.2, 0.9)):
        performance.add(i * HOUR, probability)
    # Two bars on: 10 < 12 up, 11 > 9 down, 12 = 12 not up, and the last is not known yet.
    assert performance.resolve(closes(10, 11, 12, 9, 12)) == 3
    figures = performance.figures()
    assert (figures.predictions, figures.resolved) == (4, 3)
    assert figures.accuracy == pytest.approx(2 / 3)
    assert figures.log_loss == pytest.approx(-(math.log(0.7) + math.log(0.4) + math.log(0.8)) / 3)
    assert figures.brier_score == pytest.approx((0.3**2 + 0.6**2 + 0.2**2) / 3)
    assert performance.first_pending_ns == 3 * HOUR
    assert performance.resolve(closes(9, 12, 10, start=3)) == 1
    assert performance.figures().accuracy == pytest.approx(3 / 4)
    assert performance.first_pending_ns is None


def test_figures_of_a_real_model_equal_numpy(world: World) -> None:
    market = world.market
    probabilities = world.direct(market.artifacts[0], market.rows)
    performance = Performance(HORIZON)
    for i, probability in enumerate(probabilities):
        performance.add(market.opened(i), float(probability))
    bars = market.bars[market.first :]
    new = performance.resolve([Close(bar.open_ns, bar.bid_close + bar.ask_close) for bar in bars])
    gaps = np.diff([bar.open_ns for bar in bars]) > LONGEST_GAP_NS
    assert not gaps.any()
    p, y = probabilities[market.known], market.labels[market.known]
    assert new == len(p)
    figures = performance.figures()
    assert figures.accuracy == pytest.approx(np.mean((p > 0.5) == (y > 0.5)))
    assert figures.log_loss == pytest.approx(-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)))
    assert figures.brier_score == pytest.approx(np.mean((p - y) ** 2))


def test_across_a_long_gap_nothing_is_known_and_nothing_waits() -> None:
    performance = Performance(horizon=2)
    performance.add(0, 0.6)
    performance.add(HOUR, 0.6)
    far = LONGEST_GAP_NS // HOUR + 5
    assert performance.resolve([*closes(1, 2), *closes(3, start=far)]) == 0
    assert performance.first_pending_ns is None
    assert performance.figures().resolved == 0


def test_a_weekend_is_no_gap() -> None:
    performance = Performance(horizon=1)
    performance.add(0, 0.6)
    assert performance.resolve([*closes(1), *closes(2, start=49)]) == 1


def test_a_bar_that_was_never_stored_is_given_up_once_its_time_has_passed() -> None:
    performance = Performance(horizon=2)
    performance.add(HOUR // 2, 0.6)
    performance.resolve(closes(1, 2, 3))
    assert performance.first_pending_ns == HOUR // 2
    performance.resolve(closes(1, 2, 3, 4))
    assert performance.first_pending_ns is None


def test_a_prediction_without_a_bar_counts_but_never_resolves() -> None:
    performance = Performance(horizon=1)
    performance.add(None, 0.5)
    assert performance.resolve(closes(1, 2, 3)) == 0
    assert performance.figures().predictions == 1


def test_certainty_that_is_wrong_costs_much_but_not_infinity() -> None:
    performance = Performance(horizon=1)
    performance.add(0, 1.0)
    performance.resolve(closes(2, 1))
    assert performance.figures().log_loss == pytest.approx(-math.log(1e-12))


async def test_performance_is_published_with_every_fifty_outcomes(world: World) -> None:
    await world.serve(1)
    market, first = world.market, world.market.first
    for i in range(120):
        await world.predictions.predict(world.question(i))
    for stored, reports in ((49, 0), (50, 1), (99, 1), (101, 2), (120, 2)):
        world.stored.until = first + stored + HORIZON
        await world.outcomes.look_up(world.models.all())
        await world.flushed()
        assert len(world.press.of(PerformanceUpdate)) == reports
    one, two = world.press.of(PerformanceUpdate)
    assert (one.report_number, two.report_number) == (1, 2)
    assert (one.report.figures.resolved, two.report.figures.resolved) == (50, 101)
    p = world.direct(market.artifacts[0], market.rows[:50])
    y = market.labels[:50]
    assert one.report.figures.brier_score == pytest.approx(np.mean((p - y) ** 2))
    assert (one.report.validation_log_loss, one.report.validation_accuracy) == (0.69, 0.52)
    assert (await world.reports.performance("eurusd-1h")).figures.resolved == 120


async def test_without_the_pipeline_outcomes_come_later(world: World) -> None:
    await world.serve(1)
    await world.predictions.predict(world.question(0))
    world.stored.failure = AWAY
    await world.outcomes.at("eurusd-1h", 1.0)
    assert (await world.reports.performance("eurusd-1h")).figures.resolved == 0
    world.stored.failure = None
    await world.outcomes.at("eurusd-1h", 1.0)
    assert (await world.reports.performance("eurusd-1h")).figures.resolved == 1


async def test_sent_features_are_compared_with_those_of_storage(world: World) -> None:
    await world.serve(1)
    i = 300
    await world.predictions.predict(world.question(i))
    world.stored.until = world.market.first + i
    await world.outcomes.at("eurusd-1h", 1.0)  # its bar is not stored yet
    world.stored.until += 1
    await world.outcomes.at("eurusd-1h", 1.0)
    assert (await world.reports.performance("eurusd-1h")).feature_skew == 0.0
    asked = world.stored.asked
    await world.outcomes.at("eurusd-1h", 1.0)
    assert world.stored.asked == asked + 1  # for the outcome; the features were compared
    world.stored.skew = 0.5
    await world.predictions.predict(world.question(i - 1))
    await world.outcomes.at("eurusd-1h", 1.0)
    assert (await world.reports.performance("eurusd-1h")).feature_skew == pytest.approx(0.5)


async def test_reports_of_an_unknown_endpoint_are_not_found(world: World) -> None:
    for report in (world.reports.drift, world.reports.performance):
        with pytest.raises(FxError, match="UNKNOWN_ENDPOINT"):
            await report("nowhere")
    with pytest.raises(FxError, match="UNKNOWN_ENDPOINT"):
        await world.outcomes.at("nowhere", 1.0)
