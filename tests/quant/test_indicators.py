"""Indicators: their text form, warm-up, and that a value rests on its own window and on nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import talib

from services.errors import FxError, Kind
from services.quant.bars import Bar, BarBuilder
from services.quant.indicators import (
    CATALOGUE,
    DEFAULT_SERIES,
    IndicatorSet,
    compute,
    compute_series,
    indicator_spec,
    parse_spec,
)
from services.quant.series import FloatArray, PriceSeries, PriceWindow, series_of
from services.quant.timeframes import Timeframe

TicksOf = Callable[[str], tuple[list[int], list[int], list[int]]]
BarsOf = Callable[..., list[Bar]]


@pytest.fixture(scope="module")
def minutes(ticks_of: TicksOf) -> PriceSeries:
    """9,551 M1 bars of real ticks, tick counts known."""
    return series_of(BarBuilder("EURUSD", Timeframe.M1, 5).add_many(*ticks_of("oanda")))


def refused(text: str) -> FxError:
    with pytest.raises(FxError) as caught:
        parse_spec(text)
    assert caught.value.kind is Kind.INVALID_ARGUMENT
    assert caught.value.violations[0].field == "indicator"
    return caught.value


@pytest.mark.parametrize(
    ("typed", "canonical"),
    [
        ("ema(20)", "ema(20)"),
        ("ema", "ema(20)"),
        (" macd( 12, 26 ,9 ) ", "macd(12,26,9)"),
        ("bollinger(20,2.0)", "bollinger(20,2)"),
        ("bollinger(20,2.50)", "bollinger(20,2.5)"),
        ("psar", "psar(0.02,0.2)"),
        ("obv", "obv"),
    ],
)
def test_one_series_has_one_text(typed: str, canonical: str) -> None:
    spec = parse_spec(typed)
    assert spec.text == str(spec) == canonical
    assert parse_spec(canonical) == spec


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_indicator_parses_back_from_its_default_text(name: str) -> None:
    indicator = CATALOGUE[name]
    spec = indicator_spec(name)
    assert parse_spec(spec.text) == spec
    assert indicator.name == name
    assert len(spec.text) <= 64
    assert all(each.minimum <= each.default <= each.maximum for each in indicator.parameters)
    assert indicator.outputs
    assert indicator.description


@pytest.mark.parametrize(
    ("text", "reason", "message"),
    [
        ("emma(20)", "UNKNOWN_INDICATOR", "did you mean ema"),
        ("zzz", "UNKNOWN_INDICATOR", "known are sma, ema"),
        ("EMA(20)", "BAD_PARAMETER", "not of the form"),
        ("ema(20", "BAD_PARAMETER", "not of the form"),
        ("ema()", "BAD_PARAMETER", "empty brackets"),
        ("ema(1)", "BAD_PARAMETER", "period lies between 2 and 500, not 1"),
        ("ema(501)", "BAD_PARAMETER", "period lies between 2 and 500"),
        ("ema(20.5)", "BAD_PARAMETER", "whole number, not 20.5"),
        ("ema(20,3)", "BAD_PARAMETER", "ema(period) takes 1 parameters or none, not 2"),
        ("obv(3)", "BAD_PARAMETER", "takes 0 parameters"),
        ("ema(-5)", "BAD_PARAMETER", "not a plain number"),
        ("ema(1e2)", "BAD_PARAMETER", "not a plain number"),
        ("ema(nan)", "BAD_PARAMETER", "not a plain number"),
        ("ema(１０)", "BAD_PARAMETER", "not a plain number"),
        ("ema(9999999)", "BAD_PARAMETER", "not a plain number"),
        ("macd(26,12,9)", "BAD_PARAMETER", "fast (26) must be below slow (12)"),
        ("bollinger(20,0)", "BAD_PARAMETER", "deviations lies between 0.1 and 10.0"),
        ("", "BAD_PARAMETER", "not of the form"),
    ],
)
def test_a_wrong_text_says_what_is_wrong(text: str, reason: str, message: str) -> None:
    error = refused(text)
    assert error.reason == reason
    assert message in error.detail


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_first_value_comes_after_the_lookback(minutes: PriceSeries, name: str) -> None:
    spec = indicator_spec(name)
    part = minutes[:400]
    for values in compute_series(spec, part).values():
        assert np.flatnonzero(~np.isnan(values))[0] == spec.lookback
        assert np.isnan(values[spec.lookback :]).sum() == 0
    assert not np.isnan(list(compute(spec, part[: spec.lookback + 1]).values())).any()
    assert np.isnan(list(compute(spec, part[: spec.lookback]).values())).all()
    assert set(compute(spec, part[:0])) == set(spec.outputs)
    assert all(len(values) == 0 for values in compute_series(spec, part[:0]).values())


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_value_agrees_with_the_whole_history_to_half_a_percent_of_a_step(
    minutes: PriceSeries, name: str
) -> None:
    """Measured worst: 0.23 % (ATR). A step is the standard deviation of the change from bar to bar."""
    spec = indicator_spec(name)
    for output, values in compute_series(spec, minutes).items():
        step = np.nanstd(np.diff(values))
        for end in range(1_500, len(minutes) + 1, 211):
            assert compute(spec, minutes[:end])[output] == pytest.approx(
                values[end - 1], abs=0.005 * float(step)
            )


@pytest.mark.parametrize("name", [name for name in CATALOGUE if indicator_spec(name).window is not None])
def test_bars_before_the_window_change_nothing_not_even_a_last_bit(minutes: PriceSeries, name: str) -> None:
    spec = indicator_spec(name)
    assert spec.window is not None
    for end in (3_000, 7_777):
        whole = compute(spec, minutes[:end])
        assert whole == compute(spec, minutes[:end].last(spec.window))
        assert whole == compute(spec, minutes[end - 2_000 : end])
        assert whole == compute(
            spec, replace(minutes, high=minutes.high * 1)[:end]
        )  # other memory, same numbers


def test_deviations_set_both_bands(minutes: PriceSeries) -> None:
    for text in ("bollinger(20,1)", "bollinger(20,3.5)", "keltner(20,10,1)"):
        bands = compute(parse_spec(text), minutes)
        assert bands["upper"] - bands["middle"] == pytest.approx(bands["middle"] - bands["lower"])
    narrow, wide = (compute(parse_spec(f"bollinger(20,{width})"), minutes) for width in (1, 3))
    assert wide["upper"] - wide["middle"] == pytest.approx(3 * (narrow["upper"] - narrow["middle"]))


@pytest.mark.parametrize("name", ["mfi", "obv"])
def test_unknown_tick_volume_gives_no_value(bars_of: BarsOf, name: str) -> None:
    spec, hours = indicator_spec(name), series_of(bars_of("oanda", Timeframe.H1)[:100])
    assert np.isnan(list(compute(spec, hours).values())).all()
    assert all(np.isnan(values).all() for values in compute_series(spec, hours).values())


def test_the_default_series_over_a_rolling_window(minutes: PriceSeries, ticks_of: TicksOf) -> None:
    bars = BarBuilder("EURUSD", Timeframe.M1, 5).add_many(*ticks_of("oanda"))[:1_300]
    window = PriceWindow(Timeframe.M1, DEFAULT_SERIES.window)
    window.extend(bars)
    values = DEFAULT_SERIES.compute(window.series())
    assert list(values) == [spec.text for spec in DEFAULT_SERIES.specs]
    assert values == DEFAULT_SERIES.compute(minutes[:1_300])
    assert values["ema(20)"] == compute(parse_spec("ema(20)"), minutes[:1_300])
    assert not any(np.isnan(value) for outputs in values.values() for value in outputs.values())


def test_a_set_drops_doubles_and_knows_how_many_bars_it_needs() -> None:
    chosen = IndicatorSet.parse(["ema", "ema(20)", "rsi(14)"])
    assert [spec.text for spec in chosen.specs] == ["ema(20)", "rsi(14)"]
    assert chosen.window == max(spec.window or 0 for spec in chosen.specs)
    with pytest.raises(ValueError, match="at least one"):
        IndicatorSet([])


def column(minutes: PriceSeries, text: str) -> FloatArray:
    (values,) = compute_series(parse_spec(text), minutes).values()
    return values


def test_composed_indicators_are_what_they_are_composed_of(minutes: PriceSeries) -> None:
    """Those that no reference file covers, from those that one does."""
    once = talib.EMA(minutes.close, 20)
    twice = talib.EMA(once, 20)
    thrice = talib.EMA(twice, 20)
    tail = slice(600, None)
    np.testing.assert_allclose(
        column(minutes, "tema(20)")[tail], (3 * once - 3 * twice + thrice)[tail], rtol=1e-12
    )
    change = 100 * (thrice[1:] / thrice[:-1] - 1)
    np.testing.assert_allclose(column(minutes, "trix(20)")[tail], change[599:], atol=1e-11)
    typical = talib.EMA((minutes.high + minutes.low + minutes.close) / 3, 20)
    bands, width = compute_series(parse_spec("keltner(20,10,2)"), minutes), 2 * column(minutes, "atr(10)")
    np.testing.assert_allclose(bands["upper"][tail], (typical + width)[tail], rtol=1e-12)
    np.testing.assert_allclose(bands["lower"][tail], (typical - width)[tail], rtol=1e-12)
    fast, slow = talib.EMA(minutes.close, 12), talib.EMA(minutes.close, 26)
    ppo = compute_series(parse_spec("ppo(12,26,9)"), minutes)
    np.testing.assert_allclose(ppo["ppo"][tail], (100 * (fast / slow - 1))[tail], atol=1e-9)
    plus, minus = column(minutes, "plus_di(14)"), column(minutes, "minus_di(14)")
    direction = talib.RMA(100 * np.abs(plus - minus) / (plus + minus), 14)
    np.testing.assert_allclose(column(minutes, "adx(14)")[tail], direction[tail], rtol=1e-9)
    np.testing.assert_allclose(ppo["histogram"], ppo["ppo"] - ppo["signal"], atol=1e-15)


def test_the_slope_of_a_straight_line_is_its_rise_per_bar(minutes: PriceSeries) -> None:
    line = replace(minutes[:50], close=np.linspace(3.0, 27.5, 50))
    assert compute(parse_spec("linear_regression_slope(20)"), line) == pytest.approx(
        {"linear_regression_slope": 0.5}
    )
    assert all(
        later - earlier == 0.5
        for earlier, later in pairwise(column(line, "linear_regression(20)")[19:].round(9))
    )
