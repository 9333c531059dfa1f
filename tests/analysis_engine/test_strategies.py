"""Strategies on bars made for them and on eight years of hourly bars."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from services.analysis_engine.domain.edges import Held, step
from services.analysis_engine.domain.signals import IndicatorValues, Side
from services.analysis_engine.domain.strategies import (
    BreakoutParameters,
    Call,
    MeanReversionParameters,
    Stance,
    Strategy,
    TrendParameters,
    View,
    breakout,
    mean_reversion,
    trend,
)
from services.quant.bars import Bar
from services.quant.indicators import IndicatorSet
from services.quant.series import PriceSeries, series_of
from services.quant.timeframes import Timeframe
from tests.analysis_engine.world import DIGITS, file_bars

TREND, REVERSION, BREAKOUT = (
    trend(TrendParameters()),
    mean_reversion(MeanReversionParameters()),
    breakout(BreakoutParameters()),
)


def _bars(closes: Sequence[int], wiggle: int = 4) -> PriceSeries:
    """Hourly bars that open where the last one closed, `wiggle` points of range beyond the body, a spread of
    2.
    """
    bars, last = [], closes[0]
    for index, close in enumerate(closes):
        high, low = max(last, close) + wiggle, min(last, close) - wiggle
        bars.append(
            Bar(
                "EURUSD", Timeframe.H1, index * Timeframe.H1.ns, DIGITS,
                last - 1, high - 1, low - 1, close - 1, last + 1, high + 1, low + 1, close + 1, 10,
            )
        )  # fmt: skip
        last = close
    return series_of(bars)


def _judge(strategy: Strategy, series: PriceSeries) -> Stance:
    wanted = IndicatorSet.parse(strategy.indicators)
    before = wanted.compute(series[: len(series) - 1]) if len(series) > 1 else {}
    return strategy.judge(View(series, DIGITS, wanted.compute(series), before))


def _calls(strategy: Strategy, series: PriceSeries) -> list[tuple[int, Call]]:
    """Signals over a whole series with the bar at which each is given."""
    held: Held | None = None
    calls = []
    for end in range(2, len(series) + 1):
        held, call = step(held, _judge(strategy, series[:end]), strategy.patience)
        if call is not None:
            calls.append((end - 1, call))
    return calls


V_SHAPE = [140_000 - 30 * i for i in range(80)] + [137_630 + 40 * i for i in range(60)]


def test_trend_buys_once_when_a_fall_turns_into_a_rise() -> None:
    ((bar, call),) = _calls(TREND, _bars(V_SHAPE))
    assert call.side is Side.BUY
    assert 80 < bar < 110
    assert 0 < call.strength <= 1
    names = [each.name for each in call.evidence]
    assert names == ["ema(12)", "ema(26)", "adx(14)", "bar close (mid)"]
    values = {each.name: each.value for each in call.evidence}
    assert values["ema(12)"] > values["ema(26)"]
    assert values["adx(14)"] >= 20
    assert call.reason == (
        f"ema(12) {values['ema(12)']:.5f} is above ema(26) {values['ema(26)']:.5f}"
        f" with adx(14) {values['adx(14)']:.1f} at or over 20"
    )


def test_trend_sells_the_mirror_image() -> None:
    buys, sells = (_calls(TREND, _bars(each)) for each in (V_SHAPE, [280_000 - each for each in V_SHAPE]))
    assert [(bar, call.side) for bar, call in sells] == [(bar, call.side.opposite) for bar, call in buys]
    assert [call.strength for _, call in sells] == pytest.approx([call.strength for _, call in buys])


def test_the_stronger_a_trend_must_be_the_fewer_crosses_count() -> None:
    noise = random.Random(5)
    series = _bars([140_000 + round(noise.gauss(0, 20)) for _ in range(300)])
    calls = [_calls(trend(TrendParameters(adx_minimum=least)), series) for least in (0.0, 20.0, 45.0)]
    assert len(calls[0]) > len(calls[1]) > len(calls[2])
    for _, call in calls[1]:
        assert {each.name: each.value for each in call.evidence}["adx(14)"] >= 20


def test_mean_reversion_buys_once_when_a_plunge_is_bought_back() -> None:
    quiet = [140_000 + (5 if i % 2 else -5) for i in range(60)]
    plunge = [139_960, 139_900, 139_820, 139_700, 139_560]
    ((bar, call),) = _calls(REVERSION, _bars([*quiet, *plunge, 139_700, 139_705, 139_710, 139_715]))
    assert (bar, call.side) == (65, Side.BUY)
    assert "back inside the lower band" in call.reason
    values = {each.name: each.value for each in call.evidence}
    assert values["rsi(14) before"] <= 30
    assert values["bar close before (mid)"] < values["bar close (mid)"] == 1.397


def test_mean_reversion_sells_the_mirror_image() -> None:
    quiet = [140_000 + (5 if i % 2 else -5) for i in range(60)]
    surge = [140_040, 140_100, 140_180, 140_300, 140_440, 140_300, 140_295]
    ((bar, call),) = _calls(REVERSION, _bars([*quiet, *surge]))
    assert (bar, call.side) == (65, Side.SELL)


def test_breakout_buys_the_first_close_beyond_the_channel_and_not_the_next() -> None:
    quiet = [140_000 + (5 if i % 2 else -5) for i in range(60)]
    ((bar, call),) = _calls(BREAKOUT, _bars([*quiet, 140_060, 140_120, 140_180]))
    assert (bar, call.side) == (60, Side.BUY)
    assert call.strength == 1.0
    values = {each.name: each.value for each in call.evidence}
    assert values["donchian(20) upper"] == 1.40009


def test_a_close_just_beyond_the_channel_is_no_breakout() -> None:
    quiet = [140_000 + (5 if i % 2 else -5) for i in range(60)]
    assert _calls(BREAKOUT, _bars([*quiet, 140_012])) == []


@pytest.mark.parametrize("strategy", [TREND, REVERSION, BREAKOUT], ids=lambda each: each.name)
def test_too_few_bars_give_no_opinion(strategy: Strategy) -> None:
    series = _bars(V_SHAPE)
    for end in range(1, 20):
        assert _judge(strategy, series[:end]).call is None


@pytest.mark.parametrize("strategy", [TREND, REVERSION, BREAKOUT], ids=lambda each: each.name)
def test_a_market_that_stands_still_gives_no_call(strategy: Strategy) -> None:
    assert _calls(strategy, _bars([140_000] * 120, wiggle=0)) == []


@pytest.mark.parametrize("strategy", [TREND, REVERSION, BREAKOUT], ids=lambda each: each.name)
def test_real_hours_give_calls_both_ways_with_numbers_in_range(strategy: Strategy, shared_data: Path) -> None:
    path = shared_data / "bars_h1" / "oanda_eurusd_h1_bidask_2007-2014.csv.gz"
    bars = [bar for bar, _ in zip(file_bars(path, Timeframe.H1), range(1_500), strict=False)]
    series = series_of(bars)
    held: Held | None = None
    wanted, calls = IndicatorSet.parse(strategy.indicators), []
    before: IndicatorValues = {}
    for end in range(1, len(series) + 1):
        now = wanted.compute(series[max(end - 400, 0) : end])
        stance = strategy.judge(View(series[max(end - 400, 0) : end], DIGITS, now, before))
        held, call = step(held, stance, strategy.patience)
        before = now
        if call is not None:
            calls.append(call)
    assert {call.side for call in calls} == {Side.BUY, Side.SELL}
    assert 10 < len(calls) < 200
    assert all(0 <= call.strength <= 1 for call in calls)
    assert len({call.strength for call in calls}) > 5


def test_wrong_trend_periods_are_refused() -> None:
    with pytest.raises(ValueError, match=r"fast \(26\) must be below slow \(12\)"):
        trend(TrendParameters(fast=26, slow=12))


CALL = Call(Side.BUY, 1.0, "because", ())


def test_a_setup_gives_one_signal() -> None:
    held, call = step(None, Stance(Side.SELL), None)
    assert call is None
    held, call = step(held, Stance(Side.BUY, CALL), None)
    assert call is CALL
    for stance in (Stance(Side.BUY, CALL), Stance(), Stance(Side.BUY), Stance(Side.BUY, CALL)):
        held, call = step(held, stance, None)
        assert call is None
    held, call = step(held, Stance(Side.SELL), None)
    held, call = step(held, Stance(Side.BUY, CALL), None)
    assert call is CALL


def test_what_held_before_anybody_watched_gives_none() -> None:
    held, call = step(None, Stance(Side.BUY, CALL), None)
    assert call is None
    assert step(held, Stance(Side.BUY, CALL), None)[1] is None


def test_a_confirmation_that_comes_too_late_gives_none() -> None:
    held, _ = step(None, Stance(Side.SELL), 2)
    for age in range(4):
        held, call = step(held, Stance(Side.BUY, CALL if age == 3 else None), 2)
        assert call is None
    held, _ = step(held, Stance(Side.SELL), 2)
    held, _ = step(held, Stance(Side.BUY), 2)
    held, _ = step(held, Stance(Side.BUY), 2)
    assert step(held, Stance(Side.BUY, CALL), 2)[1] is CALL
