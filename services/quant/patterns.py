"""Candlestick patterns: TA-Lib's 61, found at a bar's close on the prices of a series (mid by default)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Final

import numpy.typing as npt
import talib

from services.quant.series import PriceSeries

PATTERN_WINDOW: Final = 32
"""Bars that are looked at. The longest pattern with its averages reaches 15 bars back, Hikkake's confirmation
3 more; on 2,534 daily bars a window of 16 already finds what the whole history does."""


class Direction(IntEnum):
    """What a pattern speaks for."""

    BULLISH = 1
    NEUTRAL = 0
    """Indecision, or a shape whose meaning depends on the trend before it."""
    BEARISH = -1


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern that the last bar completes.

    `strength` is TA-Lib's: 100 plain, 80 a weaker form (bodies that touch at one end), 200 confirmed by
    this bar after it had been found before (Hikkake).
    """

    name: str
    direction: Direction
    strength: int


_NAMES: Final = {
    "CDL2CROWS": "two_crows",
    "CDL3BLACKCROWS": "three_black_crows",
    "CDL3INSIDE": "three_inside",
    "CDL3LINESTRIKE": "three_line_strike",
    "CDL3OUTSIDE": "three_outside",
    "CDL3STARSINSOUTH": "three_stars_in_the_south",
    "CDL3WHITESOLDIERS": "three_white_soldiers",
    "CDLABANDONEDBABY": "abandoned_baby",
    "CDLADVANCEBLOCK": "advance_block",
    "CDLBELTHOLD": "belt_hold",
    "CDLBREAKAWAY": "breakaway",
    "CDLCLOSINGMARUBOZU": "closing_marubozu",
    "CDLCONCEALBABYSWALL": "concealing_baby_swallow",
    "CDLCOUNTERATTACK": "counterattack",
    "CDLDARKCLOUDCOVER": "dark_cloud_cover",
    "CDLDOJI": "doji",
    "CDLDOJISTAR": "doji_star",
    "CDLDRAGONFLYDOJI": "dragonfly_doji",
    "CDLENGULFING": "engulfing",
    "CDLEVENINGDOJISTAR": "evening_doji_star",
    "CDLEVENINGSTAR": "evening_star",
    "CDLGAPSIDESIDEWHITE": "gap_side_by_side_white",
    "CDLGRAVESTONEDOJI": "gravestone_doji",
    "CDLHAMMER": "hammer",
    "CDLHANGINGMAN": "hanging_man",
    "CDLHARAMI": "harami",
    "CDLHARAMICROSS": "harami_cross",
    "CDLHIGHWAVE": "high_wave",
    "CDLHIKKAKE": "hikkake",
    "CDLHIKKAKEMOD": "modified_hikkake",
    "CDLHOMINGPIGEON": "homing_pigeon",
    "CDLIDENTICAL3CROWS": "identical_three_crows",
    "CDLINNECK": "in_neck",
    "CDLINVERTEDHAMMER": "inverted_hammer",
    "CDLKICKING": "kicking",
    "CDLKICKINGBYLENGTH": "kicking_by_length",
    "CDLLADDERBOTTOM": "ladder_bottom",
    "CDLLONGLEGGEDDOJI": "long_legged_doji",
    "CDLLONGLINE": "long_line",
    "CDLMARUBOZU": "marubozu",
    "CDLMATCHINGLOW": "matching_low",
    "CDLMATHOLD": "mat_hold",
    "CDLMORNINGDOJISTAR": "morning_doji_star",
    "CDLMORNINGSTAR": "morning_star",
    "CDLONNECK": "on_neck",
    "CDLPIERCING": "piercing",
    "CDLRICKSHAWMAN": "rickshaw_man",
    "CDLRISEFALL3METHODS": "rising_falling_three_methods",
    "CDLSEPARATINGLINES": "separating_lines",
    "CDLSHOOTINGSTAR": "shooting_star",
    "CDLSHORTLINE": "short_line",
    "CDLSPINNINGTOP": "spinning_top",
    "CDLSTALLEDPATTERN": "stalled_pattern",
    "CDLSTICKSANDWICH": "stick_sandwich",
    "CDLTAKURI": "takuri",
    "CDLTASUKIGAP": "tasuki_gap",
    "CDLTHRUSTING": "thrusting",
    "CDLTRISTAR": "tristar",
    "CDLUNIQUE3RIVER": "unique_three_river",
    "CDLUPSIDEGAP2CROWS": "upside_gap_two_crows",
    "CDLXSIDEGAP3METHODS": "gap_three_methods",
}

NEUTRAL_PATTERNS: Final = frozenset(
    {
        "doji", "dragonfly_doji", "gravestone_doji", "long_legged_doji", "rickshaw_man", "takuri",
        "high_wave", "spinning_top", "short_line",
    }
)  # fmt: skip
"""TA-Lib signs these too (colour of the body, or always plus) and says that it means no direction."""

_Function = Callable[..., npt.NDArray[Any]]
PATTERNS: Final[Mapping[str, _Function]] = MappingProxyType(
    {name: getattr(talib, function) for function, name in _NAMES.items()}
)
"""TA-Lib's functions by our names: (open, high, low, close) to an int array, 0 where there is no pattern."""


def find_patterns(series: PriceSeries) -> tuple[Pattern, ...]:
    """Patterns that the last bar completes, in the order of `PATTERNS`; none while there are too few bars.

    Looks at the last `PATTERN_WINDOW` bars only: given as many, earlier ones change nothing.
    """
    seen = series.last(PATTERN_WINDOW)
    if not len(seen):
        return ()
    found = []
    prices = (seen.open, seen.high, seen.low, seen.close)
    for name, function in PATTERNS.items():
        value = function(*prices).item(-1)
        if value:
            found.append(_pattern(name, value))
    return tuple(found)


def _pattern(name: str, value: int) -> Pattern:
    if name in NEUTRAL_PATTERNS:
        return Pattern(name, Direction.NEUTRAL, abs(value))
    return Pattern(name, Direction.BULLISH if value > 0 else Direction.BEARISH, abs(value))
