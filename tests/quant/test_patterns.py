"""Candlestick patterns against Lean's file of TA-Lib values on 2,534 daily EURUSD bars."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import talib

from services.quant.bars import Bar
from services.quant.patterns import (
    NEUTRAL_PATTERNS,
    PATTERN_WINDOW,
    PATTERNS,
    Direction,
    Pattern,
    find_patterns,
)
from services.quant.series import PriceSeries, series_of
from services.quant.timeframes import Timeframe
from tests.quant.reference import series

# Those of whose sign TA-Lib's sources say that it means neither bullish nor bearish.
WITHOUT_DIRECTION = {
    "doji", "dragonfly_doji", "gravestone_doji", "long_legged_doji", "rickshaw_man", "takuri",
    "high_wave", "spinning_top", "short_line",
}  # fmt: skip
BarsOf = Callable[..., list[Bar]]
Published = tuple[PriceSeries, dict[str, list[int | None]]]


@pytest.fixture(scope="module")
def published(shared_data: Path) -> Published:
    """Bars, and the value of each pattern at each bar (None while its averages warm up)."""
    path = shared_data / "indicators/lean/eurusd_candle_patterns.txt"
    with path.open(encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.DictReader(lines))
    columns = {
        name.lower(): np.array([float(row[name]) for row in rows])
        for name in ("Open", "High", "Low", "Close")
    }
    theirs = [name for name in rows[0] if name.startswith("CDL")]
    assert [getattr(talib, name) for name in theirs] == list(PATTERNS.values())
    known = {
        ours: [int(row[name]) if row[name].strip() else None for row in rows]
        for name, ours in zip(theirs, PATTERNS, strict=True)
    }
    return series(**columns), known


def test_all_61_patterns_have_a_name_of_their_own() -> None:
    assert len(PATTERNS) == len(set(PATTERNS)) == 61
    assert set(PATTERNS) > NEUTRAL_PATTERNS


def test_every_bar_has_the_published_patterns(
    published: Published,
) -> None:
    """The file is of an older TA-Lib, which knew no weaker form: where bodies touch at one end, engulfing,
    harami and harami cross are 0 there and 80 here. All other 153,888 values are equal."""
    bars, known = published
    compared, weaker = 0, Counter[str]()
    for end in range(1, len(bars) + 1):
        found = {pattern.name: pattern for pattern in find_patterns(bars[:end])}
        for name, values in known.items():
            expected, pattern = values[end - 1], found.get(name)
            if expected is None:
                continue
            compared += 1
            if expected == 0 and pattern is not None:
                assert pattern.strength == 80
                weaker[name] += 1
            else:
                assert (pattern.strength if pattern else 0) == abs(expected)
                if pattern:
                    assert pattern.direction == (0 if name in WITHOUT_DIRECTION else np.sign(expected))
    assert compared == 153_938
    assert weaker == {"engulfing": 32, "harami": 15, "harami_cross": 3}


def test_the_window_finds_what_the_whole_history_does(bars_of: BarsOf) -> None:
    bars = series_of(bars_of("oanda", Timeframe.H1)[-3_000:])
    whole = {
        name: function(bars.open, bars.high, bars.low, bars.close) for name, function in PATTERNS.items()
    }
    for end in range(100, len(bars), 7):
        found = {pattern.name: pattern.strength for pattern in find_patterns(bars[:end])}
        assert found == {name: abs(values[end - 1]) for name, values in whole.items() if values[end - 1]}
        assert find_patterns(bars[:end]) == find_patterns(bars[end - PATTERN_WINDOW : end])


def test_a_doji_has_no_direction_and_an_engulfing_bar_has() -> None:
    still = np.full(20, 1.30)
    opens, closes = still.copy(), still + 0.0010
    opens[-2], closes[-2] = 1.3020, 1.3000
    opens[-1], closes[-1] = 1.2990, 1.3030
    bars = series(
        open=opens, high=np.maximum(opens, closes) + 1e-4, low=np.minimum(opens, closes) - 1e-4, close=closes
    )
    assert Pattern("engulfing", Direction.BULLISH, 100) in find_patterns(bars)
    closes[-1] = opens[-1]
    flat = series(open=opens, high=bars.high, low=bars.low, close=closes)
    assert Pattern("doji", Direction.NEUTRAL, 100) in find_patterns(flat)


def test_too_few_bars_have_no_pattern(bars_of: BarsOf) -> None:
    bars = series_of(bars_of("oanda", Timeframe.H1)[:20])
    assert find_patterns(bars[:0]) == ()
    assert find_patterns(bars[:1]) == ()
