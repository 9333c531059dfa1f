"""Drift against the training deciles."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ml_integration.domain.drift import DriftRules, DriftWindow, independent_rows, stability_index
from services.ml_integration.ports import DriftUpdate
from services.quant.features import FEATURE_NAMES
from tests.ml_integration.world import Floats, Market, World

RULES = DriftRules(window=2000, minimum=200, threshold=0.25)


@dataclass
class Source:
    """Training rows, and windows on their deciles."""

    market: Market

    def window(self, rules: DriftRules = RULES) -> DriftWindow:
        return DriftWindow(FEATURE_NAMES, self.market.deciles, rules)

    def drawn(self, count: int, seed: int = 3) -> Floats:
        half = self.market.rows[: len(self.market.rows) // 2]
        drawn: Floats = half[np.random.default_rng(seed).integers(0, len(half), count)]
        return drawn


@pytest.fixture
def source(market: Market) -> Source:
    return Source(market)


@pytest.mark.parametrize("seed", range(5))
def test_rows_of_the_training_distribution_do_not_drift(source: Source, seed: int) -> None:
    window = source.window()
    assert not any(window.add(row) for row in source.drawn(3000, seed))
    figures = window.figures()
    assert not figures.drifted
    assert figures.worst < 0.1
    assert figures.observations == 2000


def test_a_shift_of_one_feature_is_found_told_once_and_again_after_it_was_over(source: Source) -> None:
    window, shifted = source.window(DriftRules(400, 200, 0.25)), source.drawn(600)
    place = FEATURE_NAMES.index("rsi_14")
    shifted[:, place] += 1.5 * shifted[:, place].std()
    assert sum(window.add(row) for row in source.drawn(400)) == 0
    assert sum(window.add(row) for row in shifted) == 1
    figures = window.figures()
    assert figures.drifted
    assert figures.features[0][0] == "rsi_14"
    assert figures.features[1][1] < 0.1
    assert sum(window.add(row) for row in source.drawn(400)) == 0
    assert not window.figures().drifted
    assert sum(window.add(row) for row in shifted) == 1


def test_below_the_minimum_nothing_has_drifted(source: Source) -> None:
    window = source.window()
    assert not any(window.add(row + 5) for row in source.drawn(199))
    assert window.figures().worst > 1
    assert not window.figures().drifted
    assert window.add(source.drawn(1)[0] + 5)


def test_consecutive_bars_of_the_training_rows_are_no_drift_by_their_correlation(source: Source) -> None:
    rows = source.market.rows[: len(source.market.rows) // 2]
    # Spreads did change within the year; without cut points they are not looked at.
    deciles = [
        () if name.startswith("spread") else cuts
        for name, cuts in zip(FEATURE_NAMES, source.market.deciles, strict=True)
    ]
    told = 0
    for start in range(0, len(rows) - 200, 100):
        window = DriftWindow(FEATURE_NAMES, deciles, RULES)
        told += any(window.add(row) for row in rows[start : start + 200])
        assert window.figures().worst > 0.25  # what a plain threshold would have told
    assert told <= 2


def test_a_feature_that_stands_still_is_drift(source: Source) -> None:
    window, rows = source.window(), source.drawn(300)
    rows[:, 0] = 0.123
    assert any(window.add(row) for row in rows)
    assert window.figures().features[0][0] == FEATURE_NAMES[0]


def test_the_index_of_ten_shares_is_that_of_the_formula() -> None:
    shares = np.array([0.05, 0.15, 0.1, 0.1, 0.2, 0.05, 0.05, 0.1, 0.1, 0.1])
    cuts = np.cumsum(shares)[:-1] * 1000
    counts = np.rint(cuts).astype(np.int64)[np.newaxis, :]
    by_hand = sum((share - 0.1) * np.log(share / 0.1) for share in shares)
    assert stability_index(counts, counts, 1000)[0] == pytest.approx(by_hand)


def test_a_value_that_most_training_rows_share_does_not_drift_against_itself() -> None:
    random = np.random.default_rng(1)
    training = np.where(random.random(5000) < 0.95, 1.0, random.random(5000))
    deciles = [tuple(np.quantile(training, np.linspace(0.1, 0.9, 9)))]
    window = DriftWindow(["continuity"], deciles, RULES)
    for value in random.permutation(training)[:1000]:
        window.add(np.array([value]))
    assert window.figures().worst < 0.02
    for value in random.random(1000):
        window.add(np.array([value]))
    assert window.figures().drifted


@given(st.lists(st.sampled_from([0.0, 0.3, 0.5, 1.0, 2.0]), min_size=1, max_size=60), st.integers(10, 25))
def test_the_counts_of_a_sliding_window_are_those_of_its_last_rows(values: list[float], size: int) -> None:
    cuts = (0.1, 0.2, 0.3, 0.3, 0.5, 0.5, 0.5, 1.0, 1.5)
    rules = DriftRules(size, size, 0.25)
    window = DriftWindow(["f"], [cuts], rules)
    for value in values:
        window.add(np.array([value]))
    fresh = DriftWindow(["f"], [cuts], rules)
    for value in values[-size:]:
        fresh.add(np.array([value]))
    assert window.figures().features == fresh.figures().features


def test_independent_rows_shrink_with_memory() -> None:
    random = np.random.default_rng(2)
    noise = random.normal(size=(5000, 1))
    walk = np.zeros((5000, 1))
    for i in range(1, 5000):
        walk[i] = 0.9 * walk[i - 1] + noise[i]
    assert independent_rows(noise)[0] == pytest.approx(5000, rel=0.1)
    assert independent_rows(walk)[0] == pytest.approx(5000 * 0.1 / 1.9, rel=0.2)


def test_a_version_without_deciles_never_drifts() -> None:
    window = DriftWindow(["a"], [()], RULES)
    assert not any(window.add(np.array([float(i)])) for i in range(500))
    assert window.figures().features == ()


async def test_drift_is_published_when_it_begins(world: World, source: Source) -> None:
    await world.serve(1)
    rows = source.drawn(300)
    for i, row in enumerate(rows):
        features = world.question(0).features
        assert features is not None
        shifted = type(features)(row + 3, features.feature_set_version)
        await world.predictions.predict(world.question(0, features=shifted, prediction_id=f"p{i}"))
    await world.flushed()
    (update,) = world.press.of(DriftUpdate)
    assert (update.report_number, update.instance_id) == (1, "instance-1")
    assert (update.report.endpoint, update.report.model_version) == ("eurusd-1h", 1)
    assert update.report.figures.drifted
    assert update.report.figures.observations == 200
    assert (await world.reports.drift("eurusd-1h")).figures.drifted
    await world.serve(2)
    assert (await world.reports.drift("eurusd-1h")).figures.observations == 0
