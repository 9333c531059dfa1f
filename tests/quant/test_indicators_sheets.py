"""Indicators against files of QuantConnect Lean (SPY, up to 500 bars) and worked sheets of StockCharts.

`within` is what the printed digits of a file allow. A source that defines an indicator otherwise has a test
of its own, which shows what the difference is.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from services.quant.series import FloatArray, PriceSeries
from tests.quant.reference import largest_difference, series, values, with_bars_in_front

Row = dict[str, str]
RowsOf = Callable[[str], list[Row]]


@dataclass(frozen=True)
class Sheet:
    """`columns` of the file for our outputs in order; `bars` names its open, high, low, close, volume."""

    file: str
    ours: str
    parameters: tuple[float, ...]
    columns: tuple[str, ...]
    within: float
    bars: tuple[str, ...] = ("Open", "High", "Low", "Close")


LEAN_LOWER = ("open", "high", "low", "close")
SHEETS = [
    Sheet("lean/spy_ema.csv", "ema", (14,), ("EMA14",), 1e-12, ("", "", "", "close")),
    Sheet("lean/spy_dema.txt", "dema", (5,), ("DEMA_5",), 1e-12, LEAN_LOWER),
    Sheet("lean/spy_kama.txt", "kama", (5,), ("KAMA_5",), 1e-12),
    Sheet(
        "lean/spy_heikin_ashi.txt", "heikin_ashi", (), ("HA_Open", "HA_High", "HA_Low", "HA_Close"), 5.1e-8,
    ),
    Sheet("lean/spy_with_macd.txt", "macd", (12, 26, 9), ("MACD", "Signal", "Histogram"), 6e-6),
    Sheet(
        "lean/spy_bollinger_bands.txt", "bollinger", (20, 2.0),
        ("Bollinger Bands® 20 2 Top", "Moving Average 20", "Bollinger Bands® 20 2 Bottom"), 6.1e-5,
    ),
    Sheet(
        "lean/spy_mfi.txt", "mfi", (20,), ("Money Flow Index 20",), 7.5e-6,
        ("Open", "High", "Low", "Close", "Volume"),
    ),
    Sheet("lean/spy_with_stoch12k3.txt", "stochastic", (12, 3, 5), ("Stochastics 12 %K 3", "%D 5"), 4e-4),
    Sheet("lean/spy_with_williamsR14.txt", "williams_r", (14,), ("Williams %R 14",), 4e-4),
    # The file says rate of change; its numbers are differences of prices.
    Sheet("lean/spy_with_roc50.txt", "momentum", (50,), ("Rate of Change 50",), 1.6e-5),
    # Prices are printed with two decimals, the values come from longer ones: 2e-5 of the value.
    Sheet("lean/spy_with_cci.txt", "cci", (14,), ("Commodity Channel Index (CCI) 14",), 2.2e-3),
    Sheet(
        "ta_stockcharts/cs-bbands.csv", "bollinger", (20, 2.0), ("HighBand", "MiddleBand", "LowBand"), 5e-7,
        ("", "", "", "Close"),
    ),
    Sheet("ta_stockcharts/cs-kama.csv", "kama", (10,), ("KAMA",), 5e-7, ("", "", "", "Close")),
    Sheet("ta_stockcharts/cs-roc.csv", "roc", (12,), ("ROC",), 5e-9, ("", "", "", "Close")),
    Sheet("ta_stockcharts/cs-mfi.csv", "mfi", (14,), ("MFI",), 5e-6, ("", "High", "Low", "Close", "Volume")),
    Sheet(
        "ta_stockcharts/cs-ultosc.csv", "ultimate", (7, 14, 28), ("Ult_Osc",), 2e-7,
        ("", "High", "Low", "Close"),
    ),
    # Upper, middle, lower; the middle is printed with two decimals, which halves may fall between.
    Sheet(
        "ta_stockcharts/cs-dc.csv", "donchian", (20,), ("upper_band", "middle_band", "lower_band"), 5.001e-3,
        ("", "high", "low", "close"),
    ),
]  # fmt: skip
HLC = ("", "High", "Low", "Close")


@pytest.fixture(scope="module")
def rows_of(shared_data: Path) -> RowsOf:
    def read(file: str) -> list[Row]:
        with (shared_data / "indicators" / file).open(encoding="utf-8-sig", newline="") as lines:
            return list(csv.DictReader(lines))

    return read


def column(rows: list[Row], name: str) -> FloatArray:
    """Numbers of a column, nan where there is none."""

    def number(text: str | None) -> float:
        return float(text) if text is not None and text.strip() else float("nan")

    return np.array([number(row[name]) for row in rows])


def sheet_bars(rows: list[Row], names: tuple[str, ...]) -> PriceSeries:
    ours = ("open", "high", "low", "close", "volume")
    return series(**{mine: column(rows, name) for mine, name in zip(ours, names, strict=False) if name})


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: f"{sheet.file}-{sheet.ours}")
def test_sheet_agrees(rows_of: RowsOf, sheet: Sheet) -> None:
    rows = rows_of(sheet.file)
    mine = values(sheet.ours, sheet.parameters, sheet_bars(rows, sheet.bars))
    for output, name in zip(mine, sheet.columns, strict=True):
        assert largest_difference(output, column(rows, name)) <= sheet.within


def test_lean_obv_agrees_as_far_as_its_volumes_are_printed(rows_of: RowsOf) -> None:
    """Volumes have seven digits (±50 shares each, summed bar by bar), the totals seven or so (±500)."""
    rows = rows_of("lean/spy_with_obv.txt")
    (mine,) = values("obv", (), sheet_bars(rows, ("Open", "High", "Low", "Close", "Volume")))
    difference = np.abs(mine - column(rows, "OBV "))[1:]
    assert (difference <= 50 * np.arange(1, len(rows)) + 500).all()
    assert difference.max() == 1_300


def test_stockcharts_obv_agrees(rows_of: RowsOf) -> None:
    rows = rows_of("ta_stockcharts/cs-obv.csv")[1:]  # the first bar has no volume
    (mine,) = values("obv", (), sheet_bars(rows, ("", "", "", "Close", "Volume")))
    assert np.array_equal(mine, column(rows, "OBV"))


def test_stockcharts_williams_r_agrees(rows_of: RowsOf) -> None:
    """The sheet leaves out closes before the 14th bar, which the formula does not read."""
    rows = rows_of("ta_stockcharts/cs-percentr.csv")
    bars = sheet_bars(rows, HLC)
    (mine,) = values("williams_r", (14,), replace(bars, close=np.nan_to_num(bars.close)))
    assert largest_difference(mine, column(rows, "Williams_%R")) < 5e-7
    assert np.count_nonzero(~np.isnan(mine)) == 17


def test_stockcharts_atr_agrees_from_its_own_start(rows_of: RowsOf) -> None:
    """The sheet counts the first bar's range as a true range; TA-Lib begins with the second bar."""
    rows = rows_of("ta_stockcharts/cs-atr2.csv")
    bars, theirs = sheet_bars(rows, HLC), column(rows, "ATR")
    theirs[theirs == 0] = np.nan
    assert largest_difference(values("atr", (10,), with_bars_in_front(bars, 1))[0], theirs) < 1e-14
    assert largest_difference(values("atr", (10,), bars)[0], theirs) > 0.03


def test_stockcharts_ppo_agrees_from_its_own_start(rows_of: RowsOf) -> None:
    """The sheet starts its averages at the first price, TA-Lib at the mean of the first period."""
    rows = rows_of("ta_stockcharts/cs-ppo.csv")
    bars = sheet_bars(rows, ("", "", "", "Close"))
    mine = values("ppo", (12, 26, 9), with_bars_in_front(bars, 200))
    for output, name in zip(mine, ("PPO", "PPO_Signal_Line", "PPO_Histogram"), strict=True):
        assert largest_difference(output, column(rows, name)) < 1e-9
    assert largest_difference(values("ppo", (12, 26, 9), bars)[0], column(rows, "PPO")) > 0.5


def test_stockcharts_psar_agrees_from_its_first_reversal(rows_of: RowsOf) -> None:
    """TA-Lib's first value is at the second bar, the sheet's at the third: the first trend differs."""
    rows = rows_of("ta_stockcharts/cs-psar.csv")
    up, down = column(rows, "psar_up"), column(rows, "psar_down")
    theirs = np.where(np.isnan(up), down, up)
    (mine,) = values("psar", (0.02, 0.2), sheet_bars(rows, ("Open", "High", "Low", "Close")))
    reversal = int(np.flatnonzero(~np.isnan(up))[0])
    assert reversal == 8
    assert np.abs(mine - theirs)[reversal:].max() < 5e-9
    assert np.nanmin(np.abs(mine - theirs)[:reversal]) > 0.001


def test_lean_atr_is_a_simple_average_of_true_ranges(rows_of: RowsOf) -> None:
    """Ours is Wilder's: the file's is not. Both begin with the same value."""
    rows = rows_of("lean/spy_atr.txt")
    bars, theirs = sheet_bars(rows, ("Open", "High", "Low", "Close")), column(rows, "Average True Range 14")
    (mine,) = values("atr", (14,), bars)
    before = bars.close[:-1]
    ranges = np.maximum(bars.high[1:], before) - np.minimum(bars.low[1:], before)
    simple = np.lib.stride_tricks.sliding_window_view(ranges, 14).mean(axis=1)
    assert largest_difference(simple, theirs) < 5e-6
    assert mine[14] == pytest.approx(theirs[14], abs=5e-6)
    assert largest_difference(mine, theirs) > 0.7


def test_lean_keltner_takes_simple_averages(rows_of: RowsOf) -> None:
    """Ours takes an exponential average of the typical price and Wilder's ATR; the file's are simple ones."""
    rows = rows_of("lean/spy_with_keltner.csv")
    bars, middle = sheet_bars(rows, ("Open", "High", "Low", "Close")), column(rows, "Middle Band")
    typical = (bars.high + bars.low + bars.close) / 3
    simple = np.lib.stride_tricks.sliding_window_view(typical, 20).mean(axis=1)
    assert largest_difference(simple, middle) < 5.6e-5
    assert largest_difference(values("keltner", (20, 20, 1.5), bars)[1], middle) > 2.7


def test_stockcharts_shifted_donchian_is_ours_one_bar_earlier(rows_of: RowsOf) -> None:
    rows = rows_of("ta_stockcharts/cs-dc2.csv")
    upper, _, lower = values("donchian", (20,), sheet_bars(rows, ("", "high", "low", "close")))
    assert largest_difference(upper[:-1], column(rows, "upper_band")[1:]) == 0
    assert largest_difference(lower[:-1], column(rows, "lower_band")[1:]) == 0


def test_stockcharts_stochrsi_rests_on_an_rsi_that_is_not_wilders(
    rows_of: RowsOf,
) -> None:
    """Its RSI starts at 71.86 where the first 14 changes of the same closes give 70.53, so only the
    stochastic can be compared: of the sheet's own RSI it is the same."""
    rows = rows_of("ta_stockcharts/cs-stochrsi.csv")
    theirs, stochastic = column(rows, "RSI"), column(rows, "StochRSI(14)")
    (mine,) = values("rsi", (14,), sheet_bars(rows, ("", "", "", "Close")))
    assert (mine[14], theirs[14]) == pytest.approx((70.5328, 71.8621), abs=5e-5)
    assert largest_difference(mine, theirs) > 3.7
    known = theirs[14:]
    k, _ = values("stochastic", (14, 1, 1), series(high=known, low=known, close=known))
    assert largest_difference(k / 100, stochastic) < 5e-8
