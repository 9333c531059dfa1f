"""The synthetic feed: repeatable, coherent, plausible."""

from itertools import pairwise

import pytest

from services.market.instruments import INSTRUMENTS
from services.market_data.domain.synthetic import SyntheticFeed, SyntheticTick

EVERYTHING = list(INSTRUMENTS.values())
STEP_S = 0.25


def run(seed: int, steps: int, resting: frozenset[str] = frozenset()) -> list[SyntheticTick]:
    feed = SyntheticFeed(seed, EVERYTHING, ticks_per_second=1.0)
    step_ns = int(STEP_S * 1e9)
    return [tick for step in range(steps) for tick in feed.step(step * step_ns, STEP_S, resting)]


def test_the_same_seed_gives_the_same_ticks_and_another_gives_others() -> None:
    assert run(1, 200) == run(1, 200)
    assert run(1, 200) != run(2, 200)


def test_a_resting_pair_is_silent_and_leaves_the_times_of_the_others_alone() -> None:
    with_all = run(5, 400)
    without = run(5, 400, frozenset({"EURUSD"}))
    assert not [tick for tick in without if tick.symbol == "EURUSD"]
    assert any(tick.symbol == "EURUSD" for tick in with_all)


@pytest.mark.parametrize("seed", [1, 7, 20140501])
def test_ticks_are_plausible_uncrossed_and_in_time_order_within_a_pair(seed: int) -> None:
    ticks = run(seed, 2_400)
    for tick in ticks:
        instrument = INSTRUMENTS[tick.symbol]
        assert instrument.plausible(tick.bid)
        assert tick.bid < tick.ask
        assert (tick.bids[0][0], tick.asks[0][0]) == (tick.bid, tick.ask)
        assert all(nearer[0] > farther[0] for nearer, farther in pairwise(tick.bids))
        assert all(nearer[0] < farther[0] for nearer, farther in pairwise(tick.asks))
    for symbol in INSTRUMENTS:
        times = [tick.time_ns for tick in ticks if tick.symbol == symbol]
        assert times == sorted(times)
        assert len(times) > 400, symbol


def test_depth_is_in_lots_so_that_gold_is_not_offered_by_the_tonne() -> None:
    best = {tick.symbol: tick.bids[0][1] for tick in run(3, 40)}
    assert all(7 <= best[symbol] / INSTRUMENTS[symbol].lot_units <= 15 for symbol in INSTRUMENTS)


def test_crosses_agree_with_the_majors() -> None:
    last = {
        tick.symbol: (tick.bid + tick.ask) / 2 / 10 ** INSTRUMENTS[tick.symbol].digits for tick in run(3, 400)
    }
    implied = last["EURUSD"] / last["GBPUSD"]
    assert last["EURGBP"] == pytest.approx(implied, rel=2e-3)


def test_spreads_widen_in_a_storm() -> None:
    feed = SyntheticFeed(11, [INSTRUMENTS["EURUSD"]], ticks_per_second=1.0)
    spreads: dict[str, list[int]] = {}
    for step in range(40_000):
        for tick in feed.step(step * 10**9, 1.0):
            if tick.symbol == "EURUSD":
                spreads.setdefault(feed.regime.name, []).append(tick.ask - tick.bid)
    mean = {name: sum(values) / len(values) for name, values in spreads.items()}
    assert mean["stormy"] > 1.5 * mean["calm"]
