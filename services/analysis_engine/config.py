"""Settings of analysis: FXMESH_ANALYSIS_ENGINE_<FIELD>."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import BaseSettings

from services.errors import FxError
from services.quant.indicators import DEFAULT_SERIES, IndicatorSet
from services.quant.timeframes import Timeframe
from services.runtime.settings import CommaSeparated, service_config


def _timeframe(text: str) -> str:
    try:
        return Timeframe.parse(text).text
    except FxError as error:
        raise ValueError(error.detail) from None


def _timeframes(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(_timeframe, texts)))


def _indicators(text: str) -> str:
    try:
        IndicatorSet.parse(each for each in text.split(";") if each.strip())
    except (FxError, ValueError) as error:
        raise ValueError(str(error)) from None
    return text


TimeframeText = Annotated[str, AfterValidator(_timeframe)]
TimeframeTexts = Annotated[CommaSeparated, AfterValidator(_timeframes)]


class Settings(BaseSettings):
    """What one can set, with unit and consequence."""

    model_config = service_config("analysis_engine")

    history_bars: int = Field(default=600, ge=1, le=10_000)
    """Bars of each timeframe that can be asked for; about 90 bytes each, times 12 timeframes and every
    symbol.
    """
    report_from: TimeframeText = "1m"
    """Shortest timeframe whose bars and indicators are published. Below 1m every consumer works many times
    harder.
    """
    patterns_from: TimeframeText = "15m"
    """Shortest timeframe whose candlestick patterns are published; minute bars form them by chance all the
    time.
    """
    signals_on: TimeframeTexts = ("1m", "15m", "1h")
    """Timeframes on which the strategies run."""
    indicators: Annotated[str, AfterValidator(_indicators)] = ";".join(
        spec.text for spec in DEFAULT_SERIES.specs
    )
    """Indicators published with each bar, text forms separated by semicolons."""
    warm_up_seconds: float = Field(default=2.0, gt=0, le=60)
    """How long the first tick of a symbol may wait for stored bars; without them indicators begin from
    nothing.
    """
    predict_seconds: float = Field(default=0.25, gt=0, le=5)
    """Deadline of one prediction: a signal waits no longer for its probability."""
    lockstep_predict_seconds: float = Field(default=5.0, gt=0, le=30)
    """The same in a lockstep replay, which waits for us: there a busy machine must not change what a signal
    says.
    """
    inference_failures: int = Field(default=3, ge=1)
    """Predictions that fail in a row before inference is left alone for a while."""
    inference_pause_seconds: float = Field(default=2.0, ge=0)
    """How long it is left alone: signals in between are marked UNAVAILABLE without waiting."""
    quiet_grace_seconds: float = Field(default=2.0, ge=0)
    """Market seconds after a bar's end at which a live feed's clock closes it without a tick. Ticks that come
    later than that are in no bar."""

    trend_fast: int = Field(default=12, ge=2, le=500)
    """Period of the fast EMA, bars."""
    trend_slow: int = Field(default=26, ge=2, le=500)
    """Period of the slow EMA, bars; above the fast one."""
    trend_adx_period: int = Field(default=14, ge=2, le=500)
    """Period of ADX, bars."""
    trend_adx_minimum: float = Field(default=20.0, ge=0, lt=50)
    """ADX from which a market counts as trending; higher, fewer signals."""
    trend_confirm_bars: int = Field(default=10, ge=0)
    """Bars after a cross within which ADX may still confirm it."""
    reversion_rsi_period: int = Field(default=14, ge=2, le=500)
    """Period of RSI, bars."""
    reversion_oversold: float = Field(default=30.0, gt=0, lt=50)
    """RSI at or below which a fall counts as overdone."""
    reversion_overbought: float = Field(default=70.0, gt=50, lt=100)
    """RSI at or above which a rise counts as overdone."""
    reversion_band_period: int = Field(default=20, ge=2, le=500)
    """Period of the Bollinger bands, bars."""
    reversion_band_deviations: float = Field(default=2.0, ge=0.1, le=10)
    """Their width in standard deviations; wider, fewer signals."""
    breakout_channel_period: int = Field(default=20, ge=2, le=500)
    """Period of the Donchian channel, bars."""
    breakout_atr_period: int = Field(default=14, ge=2, le=500)
    """Period of ATR, bars."""
    breakout_atr_margin: float = Field(default=0.25, ge=0, le=10)
    """How many ATRs a close must lie beyond the channel; more, fewer signals."""

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.trend_fast >= self.trend_slow:
            raise ValueError(f"TREND_FAST ({self.trend_fast}) must be below TREND_SLOW ({self.trend_slow})")
        shortest = Timeframe.parse(self.report_from).ns
        for text in (self.patterns_from, *self.signals_on):
            if Timeframe.parse(text).ns < shortest:
                raise ValueError(f"patterns and signals on {text} need REPORT_FROM at {text} or below")
        return self
