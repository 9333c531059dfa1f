"""Values of indicators at the last bar of a series, and over a whole series."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np

from services.quant.indicators.spec import IndicatorSpec, parse_spec
from services.quant.series import FloatArray, PriceSeries

_DEFAULT_TEXTS: Final = (
    "sma(20)", "sma(50)", "sma(200)", "ema(12)", "ema(20)", "ema(26)", "ema(50)", "ema(200)", "kama(10)",
    "bollinger(20,2)", "keltner(20,10,2)", "donchian(20)", "psar(0.02,0.2)",
    "rsi(14)", "macd(12,26,9)", "stochastic(14,3,3)", "stochrsi(14,14,3)", "cci(20)", "williams_r(14)",
    "roc(10)", "momentum(10)", "ultimate(7,14,28)", "mfi(14)",
    "adx(14)", "plus_di(14)", "minus_di(14)", "aroon(25)", "atr(14)", "natr(14)",
)  # fmt: skip


def compute(spec: IndicatorSpec, series: PriceSeries) -> dict[str, float]:
    """Values at the last bar by output name; nan while warming up, and where tick volume is unknown.

    Looks at the last `spec.window` bars only: given as many, earlier ones do not change even the last bit.
    """
    count = len(series) if spec.window is None else min(len(series), spec.window)
    if count <= spec.lookback or _lacks_volume(spec, series, count):
        return dict.fromkeys(spec.outputs, float("nan"))
    arrays = spec.formula(series, count)
    return {name: array.item(-1) for name, array in zip(spec.outputs, arrays, strict=True)}


def compute_series(spec: IndicatorSpec, series: PriceSeries) -> dict[str, FloatArray]:
    """Values at every bar by output name, shape (n,), in one pass from the first bar; nan as in `compute`."""
    count = len(series)
    if count == 0 or _lacks_volume(spec, series, count):
        return {name: np.full(count, np.nan) for name in spec.outputs}
    return dict(zip(spec.outputs, spec.formula(series, count), strict=True))


class IndicatorSet:
    """Several indicators that are computed together at each bar's close."""

    def __init__(self, specs: Iterable[IndicatorSpec]) -> None:
        """Doubles are dropped; the order stays. Raises ValueError for none."""
        self.specs = tuple({spec.text: spec for spec in specs}.values())
        if not self.specs:
            raise ValueError("a set holds at least one indicator")
        self.window = max(spec.lookback + 1 if spec.window is None else spec.window for spec in self.specs)
        """Bars to keep, so that every value rests on all the bars it looks at."""

    @classmethod
    def parse(cls, texts: Iterable[str]) -> IndicatorSet:
        """From text forms. Raises FxError INVALID_ARGUMENT `UNKNOWN_INDICATOR`, `BAD_PARAMETER`."""
        return cls(parse_spec(text) for text in texts)

    def compute(self, series: PriceSeries) -> Mapping[str, dict[str, float]]:
        """Values at the last bar by the indicator's text, then by output name; see `compute`."""
        return {spec.text: compute(spec, series) for spec in self.specs}


def _lacks_volume(spec: IndicatorSpec, series: PriceSeries, count: int) -> bool:
    """An indicator of volume over bars without any: 0 would read as a value."""
    return "volume" in spec.indicator.method.inputs and not series.volume[-count:].any()


DEFAULT_SERIES: Final = IndicatorSet.parse(_DEFAULT_TEXTS)
"""What is computed for every symbol at each bar's close unless somebody asks for other series."""
