"""The indicators one can ask for.

Formulas are TA-Lib's; tests/quant/test_indicators_{tulip,sheets}.py show which other sources agree, and
which do not and why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import talib

from services.quant.indicators.definition import (
    Formula,
    Indicator,
    Parameter,
    Talib,
    Unit,
    Values,
    exponential_memory,
)
from services.quant.series import FloatArray, PriceSeries

LONGEST_PERIOD: Final = 500
_CLOSE: Final = ("close",)
_HL: Final = ("high", "low")
_HLC: Final = ("high", "low", "close")
_OHLC: Final = ("open", "high", "low", "close")
_EMA_TYPE: Final = 1  # TA-Lib's number for an exponential average
_ADAPTIVE_MEMORY: Final = 400  # KAMA's slowest weight would need 2,200 bars; a market is never that still
_REVERSAL_MEMORY: Final = 250  # Parabolic SAR forgets its start within a few reversals


def _period(default: int, minimum: int = 2, name: str = "period") -> Parameter:
    return Parameter(name, default, minimum, LONGEST_PERIOD)


def _deviations(default: float) -> Parameter:
    return Parameter("deviations", default, 0.1, 10.0)


def _ema(stages: int = 1, of: int = 0) -> Callable[[Values], int]:
    """Memory of EMAs whose period is parameter `of`."""
    return lambda values: exponential_memory(2 / (values[of] + 1), stages)


def _wilder(stages: int = 1) -> Callable[[Values], int]:
    return lambda values: exponential_memory(1 / values[0], stages)


def _slow_and_signal(values: Values) -> int:
    return exponential_memory(2 / (values[1] + 1)) + exponential_memory(2 / (values[2] + 1))


def _fast_below_slow(values: Values) -> str | None:
    # TA-Lib swaps them silently.
    return None if values[0] < values[1] else f"fast ({values[0]}) must be below slow ({values[1]})"


_PPO_LINE: Final = Talib("PPO", _CLOSE, ("fastperiod", "slowperiod"), (("matype", _EMA_TYPE),))


@dataclass(frozen=True, slots=True)
class _PpoWithSignal:
    """TA-Lib's PPO with the signal line and histogram that charts show beside it."""

    inputs: tuple[str, ...] = _CLOSE

    def lookback(self, values: Values) -> int:
        return _PPO_LINE.lookback(values[:2]) + int(values[2]) - 1

    def bind(self, values: Values) -> Formula:
        line, period, first = _PPO_LINE.bind(values[:2]), int(values[2]), self.lookback(values)

        def formula(series: PriceSeries, count: int) -> tuple[FloatArray, ...]:
            (ppo,) = line(series, count)
            signal = talib.EMA(ppo, period)
            ppo[:first] = np.nan  # all three begin together, as those of the MACD do
            return ppo, signal, ppo - signal

        return formula


def _moving_averages() -> list[Indicator]:
    def average(
        name: str, description: str, function: str, memory: Callable[[Values], int] = lambda _values: 0
    ) -> Indicator:
        method = Talib(function, _CLOSE, ("timeperiod",))
        return Indicator(name, description, Unit.PRICE, method, (_period(20),), (name,), memory)

    return [
        average("sma", "Simple moving average", "SMA"),
        average("ema", "Exponential moving average", "EMA", _ema()),
        average("wma", "Linearly weighted moving average", "WMA"),
        average("dema", "Double exponential moving average", "DEMA", _ema(2)),
        average("tema", "Triple exponential moving average", "TEMA", _ema(3)),
        average("trima", "Triangular moving average", "TRIMA"),
        average("hma", "Hull moving average", "HMA"),
        average("kama", "Kaufman adaptive moving average", "KAMA", lambda _values: _ADAPTIVE_MEMORY),
        average("linear_regression", "End of the least-squares line through the last closes", "LINEARREG"),
        average("linear_regression_slope", "Slope of that line, price per bar", "LINEARREG_SLOPE"),
        average("standard_deviation", "Standard deviation of closes (of the population)", "STDDEV"),
    ]


def _bands() -> list[Indicator]:
    bands = ("upper", "middle", "lower")
    keltner = (_period(20), _period(10, name="atr_period"), _deviations(2.0))
    return [
        Indicator(
            "bollinger", "Bollinger bands around the simple average", Unit.PRICE,
            Talib("BBANDS", _CLOSE, ("timeperiod", "nbdevup"), (("matype", 0),), (("nbdevdn", 1),)),
            (_period(20), _deviations(2.0)), bands,
        ),
        Indicator(
            "keltner", "Keltner channel: EMA of the typical price ± ATR", Unit.PRICE,
            Talib("KC", _HLC, ("timeperiod", "atrperiod", "nbdev")), keltner, bands,
            lambda values: max(exponential_memory(2 / (values[0] + 1)), exponential_memory(1 / values[1])),
        ),
        Indicator(
            "donchian", "Donchian channel: highest high and lowest low", Unit.PRICE,
            Talib("DONCHIAN", _HL, ("timeperiod",)), (_period(20),), bands,
        ),
        Indicator(
            "psar", "Parabolic stop and reverse", Unit.PRICE, Talib("SAR", _HL, ("acceleration", "maximum")),
            (Parameter("acceleration", 0.02, 0.001, 1.0), Parameter("maximum", 0.2, 0.01, 1.0)), ("psar",),
            lambda _values: _REVERSAL_MEMORY,
        ),
        Indicator(
            "heikin_ashi", "Heikin-Ashi candle", Unit.PRICE, Talib("HA", _OHLC), (), _OHLC,
            lambda _values: exponential_memory(0.5),
        ),
    ]  # fmt: skip


def _oscillators() -> list[Indicator]:
    fast_slow_signal = (_period(12, name="fast"), _period(26, name="slow"), _period(9, 1, "signal"))
    lines = ("macd", "signal", "histogram")
    stochastic = ("fastk_period", "slowk_period", "slowd_period")
    return [
        Indicator(
            "rsi", "Relative strength index, Wilder's smoothing", Unit.INDEX,
            Talib("RSI", _CLOSE, ("timeperiod",)), (_period(14),), ("rsi",), _wilder(),
        ),
        Indicator(
            "macd", "Moving average convergence divergence", Unit.PRICE,
            Talib("MACD", _CLOSE, ("fastperiod", "slowperiod", "signalperiod")), fast_slow_signal, lines,
            _slow_and_signal, _fast_below_slow,
        ),
        Indicator(
            "ppo", "Percentage price oscillator: MACD in percent of the slow average", Unit.PERCENT,
            _PpoWithSignal(), fast_slow_signal, ("ppo", *lines[1:]), _slow_and_signal, _fast_below_slow,
        ),
        Indicator(
            "stochastic", "Slow stochastic, simple averages", Unit.INDEX,
            Talib("STOCH", _HLC, stochastic, (("slowk_matype", 0), ("slowd_matype", 0))),
            (_period(14, 1), _period(3, 1, "smooth"), _period(3, 1, "signal")), ("k", "d"),
        ),
        Indicator(
            "stochrsi", "Stochastic of the RSI; d is the simple average of k", Unit.INDEX,
            Talib("STOCHRSI", _CLOSE, ("timeperiod", "fastk_period", "fastd_period"), (("fastd_matype", 0),)),
            (_period(14), _period(14, 1, "range"), _period(3, 1, "signal")), ("k", "d"), _wilder(),
        ),
        Indicator(
            "cci", "Commodity channel index", Unit.NUMBER, Talib("CCI", _HLC, ("timeperiod",)),
            (_period(20),), ("cci",),
        ),
        Indicator(
            "williams_r", "Williams' %R", Unit.INDEX, Talib("WILLR", _HLC, ("timeperiod",)),
            (_period(14),), ("williams_r",),
        ),
        Indicator(
            "roc", "Rate of change", Unit.PERCENT, Talib("ROC", _CLOSE, ("timeperiod",)),
            (_period(10, 1),), ("roc",),
        ),
        Indicator(
            "momentum", "Close less an earlier close", Unit.PRICE, Talib("MOM", _CLOSE, ("timeperiod",)),
            (_period(10, 1),), ("momentum",),
        ),
        Indicator(
            "cmo", "Chande momentum oscillator, Wilder's smoothing (-100 to 100)", Unit.INDEX,
            Talib("CMO", _CLOSE, ("timeperiod",)), (_period(14),), ("cmo",), _wilder(),
        ),
        Indicator(
            "trix", "Rate of change of a triple EMA", Unit.PERCENT, Talib("TRIX", _CLOSE, ("timeperiod",)),
            (_period(15, 1),), ("trix",), _ema(3),
        ),
        Indicator(
            "ultimate", "Ultimate oscillator", Unit.INDEX,
            Talib("ULTOSC", _HLC, ("timeperiod1", "timeperiod2", "timeperiod3")),
            (_period(7, 1, "short"), _period(14, 1, "medium"), _period(28, 1, "long")), ("ultimate",),
        ),
    ]  # fmt: skip


def _trend_and_range() -> list[Indicator]:
    def directional(name: str, description: str, function: str, stages: int) -> Indicator:
        method = Talib(function, _HLC, ("timeperiod",))
        return Indicator(name, description, Unit.INDEX, method, (_period(14),), (name,), _wilder(stages))

    return [
        directional("adx", "Average directional index: strength of a trend", "ADX", 2),
        directional("plus_di", "Directional indicator, upwards", "PLUS_DI", 1),
        directional("minus_di", "Directional indicator, downwards", "MINUS_DI", 1),
        Indicator(
            "aroon", "Aroon: how recent the highest high and lowest low are", Unit.INDEX,
            Talib("AROON", _HL, ("timeperiod",), order=(1, 0)), (_period(25),), ("up", "down"),
        ),
        Indicator(
            "atr", "Average true range, Wilder's smoothing", Unit.PRICE,
            Talib("ATR", _HLC, ("timeperiod",)), (_period(14),), ("atr",), _wilder(),
        ),
        Indicator(
            "natr", "ATR in percent of the close", Unit.PERCENT,
            Talib("NATR", _HLC, ("timeperiod",)), (_period(14),), ("natr",), _wilder(),
        ),
    ]  # fmt: skip


def _volume() -> list[Indicator]:
    return [
        Indicator(
            "mfi", "Money flow index on tick volume", Unit.INDEX,
            Talib("MFI", (*_HLC, "volume"), ("timeperiod",)), (_period(14),), ("mfi",),
        ),
        Indicator(
            "obv", "On-balance tick volume, counted from the first bar given", Unit.TICKS,
            Talib("OBV", ("close", "volume")), (), ("obv",), lambda _values: None,
        ),
    ]  # fmt: skip


CATALOGUE: Final[Mapping[str, Indicator]] = MappingProxyType(
    {
        each.name: each
        for each in (*_moving_averages(), *_bands(), *_oscillators(), *_trend_and_range(), *_volume())
    }
)
"""Every indicator by name."""
