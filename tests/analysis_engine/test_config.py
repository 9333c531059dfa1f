"""Settings and what is planned from them."""

from __future__ import annotations

import pytest

from services.analysis_engine.compose import plan_of
from services.analysis_engine.config import Settings
from services.quant.feature_formulas import FEATURE_WINDOW
from services.quant.indicators import DEFAULT_SERIES
from services.quant.timeframes import Timeframe
from services.runtime import settings
from services.runtime.fatal import FatalError

PREFIX = "FXMESH_ANALYSIS_ENGINE_"


def test_defaults_publish_from_a_minute_and_judge_minutes_quarters_and_hours() -> None:
    plan = plan_of(Settings())
    assert (plan.reported_from, plan.patterns_from) == (Timeframe.M1, Timeframe.M15)
    assert plan.signals == {Timeframe.M1, Timeframe.M15, Timeframe.H1}
    assert plan.shown.specs == DEFAULT_SERIES.specs
    assert plan.computed.specs == plan.shown.specs  # strategies look at what is computed anyway
    assert plan.computed_on > max(plan.computed.window, FEATURE_WINDOW, plan.kept)


def test_what_a_strategy_needs_is_computed_and_not_shown() -> None:
    plan = plan_of(Settings(indicators="sma(5); rsi(7)", trend_fast=9, trend_slow=21))
    assert [spec.text for spec in plan.shown.specs] == ["sma(5)", "rsi(7)"]
    needed = {text for strategy in plan.strategies for text in strategy.indicators}
    assert {"ema(9)", "ema(21)"} < needed
    assert {spec.text for spec in plan.computed.specs} == {"sma(5)", "rsi(7)", *needed}


def test_parameters_reach_their_strategy() -> None:
    plan = plan_of(Settings(breakout_atr_margin=0.5, reversion_band_deviations=2.5, trend_confirm_bars=3))
    by_name = {each.name: each for each in plan.strategies}
    assert by_name["breakout"].parameters["atr_margin"] == 0.5
    assert by_name["trend"].patience == 3
    assert "bollinger(20,2.5)" in {spec.text for spec in plan.computed.specs}


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"SIGNALS_ON": "1m,7m"}, "'7m' is none of 1s, 5s"),
        ({"INDICATORS": "sma(5);smma(3)"}, "there is no 'smma'"),
        ({"INDICATORS": ";"}, "at least one indicator"),
        ({"TREND_FAST": "26"}, r"TREND_FAST \(26\) must be below TREND_SLOW \(26\)"),
        ({"REPORT_FROM": "5m"}, "patterns and signals on 1m need REPORT_FROM at 1m or below"),
        ({"TREND_ADX_MINIMUM": "high"}, "TREND_ADX_MINIMUM is 'high'"),
        ({"TREND_FATS": "3"}, "did you mean FXMESH_ANALYSIS_ENGINE_TREND_FAST"),
    ],
    ids=lambda each: "" if isinstance(each, str) else next(iter(each)),
)
def test_a_wrong_setting_is_named(
    variables: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(FatalError, match=sentence):
        settings.load(Settings)
