"""Rule strategies: pure functions of a bar window and its indicators.

Each says two things of a bar: the setup (which side of its dividing line the market is on, a state that
lasts) and, where its condition holds, a call to buy or sell. `edges` turns that into signals, at most one a
setup.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from math import isfinite

from services.analysis_engine.domain.signals import Evidence, IndicatorValues, Side
from services.quant.series import PriceSeries


@dataclass(frozen=True, slots=True)
class View:
    """What a strategy sees at a bar's close: the bars up to it, indicators at it and at the bar before."""

    series: PriceSeries
    digits: int
    now: IndicatorValues
    before: IndicatorValues

    @property
    def close(self) -> float:
        """Middle of bid and ask at the close."""
        return float(self.series.close[-1])

    @property
    def close_before(self) -> float:
        """The same of the bar before; nan for the first bar."""
        return float(self.series.close[-2]) if len(self.series) > 1 else float("nan")

    def price(self, value: float) -> str:
        """A price as written in a reason."""
        return f"{value:.{self.digits}f}"


@dataclass(frozen=True, slots=True)
class Call:
    """Buy or sell, and why. `strength` 0 weakest .. 1 strongest."""

    side: Side
    strength: float
    reason: str
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class Stance:
    """What a strategy thinks at a bar. `setup` None: undecided, the setup before goes on."""

    setup: Side | None = None
    call: Call | None = None


@dataclass(frozen=True, slots=True)
class TrendParameters:
    """EMA periods in bars, ADX level from which a market counts as trending, bars to wait for it after a
    cross.
    """

    fast: int = 12
    slow: int = 26
    adx_period: int = 14
    adx_minimum: float = 20.0
    confirm_bars: int = 10


@dataclass(frozen=True, slots=True)
class MeanReversionParameters:
    """RSI period and levels, Bollinger period and width in standard deviations."""

    rsi_period: int = 14
    oversold: float = 30.0
    overbought: float = 70.0
    band_period: int = 20
    band_deviations: float = 2.0


@dataclass(frozen=True, slots=True)
class BreakoutParameters:
    """Donchian period, ATR period, and how many ATRs a close must lie beyond the channel."""

    channel_period: int = 20
    atr_period: int = 14
    atr_margin: float = 0.25


@dataclass(frozen=True, slots=True)
class Strategy:
    """A strategy with its parameters set. `indicators` are what `judge` needs in `now` and `before`;
    `patience` is how many bars after a setup began a call still counts, None for as long as it lasts.
    """

    name: str
    description: str
    parameters: Mapping[str, float]
    indicators: tuple[str, ...]
    judge: Callable[[View], Stance]
    patience: int | None = None


def trend(parameters: TrendParameters) -> Strategy:
    """EMA cross, confirmed by ADX. Raises ValueError when fast is not below slow."""
    if parameters.fast >= parameters.slow:
        raise ValueError(f"fast ({parameters.fast}) must be below slow ({parameters.slow})")
    fast_text, slow_text = f"ema({parameters.fast})", f"ema({parameters.slow})"
    adx_text = f"adx({parameters.adx_period})"
    least = parameters.adx_minimum

    def judge(view: View) -> Stance:
        fast, slow = view.now[fast_text]["ema"], view.now[slow_text]["ema"]
        adx = view.now[adx_text]["adx"]
        if not (isfinite(fast) and isfinite(slow) and isfinite(adx)) or fast == slow:
            return Stance()
        side = Side.BUY if fast > slow else Side.SELL
        if adx < least:
            return Stance(side)
        where = "above" if side is Side.BUY else "below"
        reason = (
            f"{fast_text} {view.price(fast)} is {where} {slow_text} {view.price(slow)} "
            f"with {adx_text} {adx:.1f} at or over {least:g}"
        )
        evidence = (
            Evidence(fast_text, fast),
            Evidence(slow_text, slow),
            Evidence(adx_text, adx),
            Evidence("bar close (mid)", view.close),
        )
        return Stance(side, Call(side, _share(adx - least, 50.0 - least), reason, evidence))

    return Strategy(
        "trend",
        "Buys when the fast EMA has crossed above the slow one and ADX shows a trend; sells below.",
        asdict(parameters),
        (fast_text, slow_text, adx_text),
        judge,
        parameters.confirm_bars,
    )


def mean_reversion(parameters: MeanReversionParameters) -> Strategy:
    """Close back inside a Bollinger band that was left while RSI was extreme."""
    rsi_text = f"rsi({parameters.rsi_period})"
    bands_text = f"bollinger({parameters.band_period},{parameters.band_deviations:g})"
    low, high = parameters.oversold, parameters.overbought

    def judge(view: View) -> Stance:
        bands, bands_before = view.now[bands_text], view.before.get(bands_text, {})
        rsi_before = view.before.get(rsi_text, {}).get("rsi", float("nan"))
        close, close_before, middle = view.close, view.close_before, bands["middle"]
        lower_before = bands_before.get("lower", float("nan"))
        upper_before = bands_before.get("upper", float("nan"))
        if not all(map(isfinite, (middle, rsi_before, close_before, lower_before, upper_before))):
            return Stance()
        if close == middle:
            return Stance()
        side = Side.BUY if close < middle else Side.SELL
        if side is Side.BUY:
            outside, band, inside = lower_before - close_before, "lower", close >= bands["lower"]
            extreme, level = low - rsi_before, f"at or under {low:g}"
            depth = low
        else:
            outside, band, inside = close_before - upper_before, "upper", close <= bands["upper"]
            extreme, level = rsi_before - high, f"at or over {high:g}"
            depth = 100.0 - high
        if outside <= 0 or extreme < 0 or not inside:
            return Stance(side)
        width = upper_before - lower_before
        strength = (_share(extreme, depth) + _share(outside, 0.25 * width)) / 2
        reason = (
            f"close {view.price(close)} is back inside the {band} band {view.price(bands[band])} "
            f"of {bands_text} with {rsi_text} {rsi_before:.1f} before, {level}"
        )
        evidence = (
            Evidence(f"{bands_text} {band}", bands[band]),
            Evidence(f"{bands_text} middle", middle),
            Evidence(f"{rsi_text} before", rsi_before),
            Evidence(f"{rsi_text}", view.now[rsi_text]["rsi"]),
            Evidence("bar close (mid)", close),
            Evidence("bar close before (mid)", close_before),
        )
        return Stance(side, Call(side, strength, reason, evidence))

    return Strategy(
        "mean_reversion",
        "Buys when the price is back inside the lower Bollinger band after an oversold RSI; sells likewise.",
        asdict(parameters),
        (rsi_text, bands_text),
        judge,
    )


def breakout(parameters: BreakoutParameters) -> Strategy:
    """Close beyond the Donchian channel of the bars before, by a share of the ATR."""
    channel_text, atr_text = f"donchian({parameters.channel_period})", f"atr({parameters.atr_period})"
    margin = parameters.atr_margin

    def judge(view: View) -> Stance:
        channel = view.before.get(channel_text, {})
        upper, lower = channel.get("upper", float("nan")), channel.get("lower", float("nan"))
        atr, close = view.now[atr_text]["atr"], view.close
        middle = (upper + lower) / 2
        if not (isfinite(middle) and isfinite(atr)) or atr <= 0 or close == middle:
            return Stance()
        side = Side.BUY if close > middle else Side.SELL
        edge, name = (upper, "upper") if side is Side.BUY else (lower, "lower")
        beyond = (close - edge if side is Side.BUY else edge - close) / atr
        if beyond < margin:
            return Stance(side)
        where = "above" if side is Side.BUY else "below"
        reason = (
            f"close {view.price(close)} is {beyond:.2f} {atr_text} {where} the {name} end "
            f"{view.price(edge)} of {channel_text}, at least {margin:g} asked"
        )
        evidence = (
            Evidence(f"{channel_text} {name}", edge),
            Evidence(atr_text, atr),
            Evidence("bar close (mid)", close),
        )
        return Stance(side, Call(side, _share(beyond, 1.0 + margin), reason, evidence))

    return Strategy(
        "breakout",
        "Buys a close above the Donchian channel by a share of the ATR; sells a close below it.",
        asdict(parameters),
        (channel_text, atr_text),
        judge,
    )


def _share(part: float, whole: float) -> float:
    """`part` of `whole`, held between 0 and 1."""
    return min(1.0, max(0.0, part / whole)) if whole > 0 else 1.0
