"""Indicators against the vectors of Tulip Indicators: 15 bars each, three decimals printed.

Where Tulip defines an indicator otherwise, either its start is imitated by bars in front (`SEEDED`), or it
stands in `DIFFERS` with the reason and the difference measured; a test holds that list to the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from services.quant.series import FloatArray, PriceSeries
from tests.quant.reference import largest_difference, series, values, with_bars_in_front


@dataclass(frozen=True)
class Tulip:
    """`inputs` in the file's order (letters of ohlcv); `order` picks ours for each of the file's outputs."""

    name: str
    ours: str
    inputs: str
    parameters: tuple[float, ...]
    order: tuple[int, ...] = (0,)
    scale: float = 1.0


TULIP = [
    Tulip("sma", "sma", "c", (5,)),
    Tulip("wma", "wma", "c", (5,)),
    Tulip("hma", "hma", "c", (5,)),
    Tulip("trima", "trima", "c", (5,)),
    Tulip("kama", "kama", "c", (5,)),
    Tulip("linreg", "linear_regression", "c", (5,)),
    Tulip("linregslope", "linear_regression_slope", "c", (5,)),
    Tulip("stddev", "standard_deviation", "c", (5,)),
    Tulip("bbands", "bollinger", "c", (5, 2.0), (2, 1, 0)),
    Tulip("psar", "psar", "hl", (0.2, 2.0)),
    Tulip("rsi", "rsi", "c", (5,)),
    Tulip("stoch", "stochastic", "hlc", (5, 3, 3), (0, 1)),
    Tulip("stochrsi", "stochrsi", "c", (5, 5, 1), scale=0.01),  # a fraction there
    Tulip("cci", "cci", "hlc", (5,)),
    Tulip("willr", "williams_r", "hlc", (5,)),
    Tulip("roc", "roc", "c", (5,), scale=0.01),  # a fraction there
    Tulip("mom", "momentum", "c", (5,)),
    Tulip("ultosc", "ultimate", "hlc", (2, 3, 5)),
    Tulip("aroon", "aroon", "hl", (5,), (1, 0)),
    Tulip("mfi", "mfi", "hlcv", (5,)),
]
DI = (("plus_di", 3), ("minus_di", 4))

SEEDED = [
    # Exponential averages start at the first price there, at the mean of the first period in TA-Lib.
    Tulip("ema", "ema", "c", (5,)),
    Tulip("ppo", "ppo", "c", (2, 5, 9)),
    Tulip("macd", "macd", "c", (2, 5, 9)),  # its line only, see DIFFERS
    # The first bar's range is a true range there; TA-Lib begins with the second bar.
    Tulip("atr", "atr", "hlc", (5,)),
    Tulip("natr", "natr", "hlc", (5,)),
]

DIFFERS = {
    # name: (case, smallest of the largest differences over its outputs, why)
    "dema": (Tulip("dema", "dema", "c", (5,)), 0.1, "the inner average starts at bar 4 there; Lean agrees"),
    "tema": (Tulip("tema", "tema", "c", (5,)), 0.07, "inner averages start at bars 4 and 8 there"),
    "trix": (Tulip("trix", "trix", "c", (5,)), 0.05, "inner averages start at bars 4 and 8 there"),
    "macd": (
        Tulip("macd", "macd", "c", (2, 5, 9), (1, 2)), 0.3,
        "the signal line starts at bar 4 there; Lean agrees with all three lines",
    ),
    "cmo": (Tulip("cmo", "cmo", "c", (5,)), 20.0, "plain sums there, Wilder's smoothing in TA-Lib"),
    "adx": (Tulip("adx", "adx", "hl", (5,)), 1.7, "the first directional index is one bar earlier there"),
    "obv": (Tulip("obv", "obv", "cv", ()), 5_653_099.0, "starts at 0 there, at the first volume in TA-Lib"),
}  # fmt: skip

LETTERS = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"}


@pytest.fixture(scope="module")
def tulip(shared_data: Path) -> dict[str, list[FloatArray]]:
    """Arrays by indicator: inputs, then expected outputs."""
    found: dict[str, list[FloatArray]] = {}
    name = ""
    for line in (shared_data / "indicators/tulip/untest.txt").read_text().splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("{"):
            found[name].append(
                np.array([float(part) for part in text.strip("{}").split(",") if part.strip()])
            )
        elif text:
            name = text.split()[0]
            found[name] = []
    return found


def tulip_bars(case: Tulip, arrays: list[FloatArray]) -> PriceSeries:
    columns = {LETTERS[letter]: array for letter, array in zip(case.inputs, arrays, strict=False)}
    if case.name == "adx":  # the file gives no close: it cancels out of the directional index
        columns["close"] = (columns["high"] + columns["low"]) / 2
    return series(**columns)


@pytest.mark.parametrize("case", TULIP, ids=lambda case: case.name)
def test_tulip_agrees(tulip: dict[str, list[FloatArray]], case: Tulip) -> None:
    arrays = tulip[case.name]
    mine, expected = values(case.ours, case.parameters, tulip_bars(case, arrays)), arrays[len(case.inputs) :]
    for output, theirs in zip(case.order, expected, strict=True):
        assert largest_difference(mine[output] * case.scale, theirs) < 5.001e-4


@pytest.mark.parametrize(("name", "place"), DI)
def test_tulip_directional_indicators_agree(
    tulip: dict[str, list[FloatArray]], name: str, place: int
) -> None:
    high, low, close = tulip["di"][:3]
    (mine,) = values(name, (5,), series(high=high, low=low, close=close))
    assert largest_difference(mine, tulip["di"][place]) < 5.001e-4


@pytest.mark.parametrize("case", SEEDED, ids=lambda case: case.name)
def test_tulip_agrees_from_its_own_start(tulip: dict[str, list[FloatArray]], case: Tulip) -> None:
    arrays = tulip[case.name]
    bars, theirs = tulip_bars(case, arrays), arrays[len(case.inputs)]
    front = 1 if "h" in case.inputs else 200
    assert (
        largest_difference(values(case.ours, case.parameters, with_bars_in_front(bars, front))[0], theirs)
        < 5e-4
    )
    assert largest_difference(values(case.ours, case.parameters, bars)[0], theirs) > 5e-3


@pytest.mark.parametrize("name", DIFFERS)
def test_tulip_differs_where_we_say_so(tulip: dict[str, list[FloatArray]], name: str) -> None:
    case, least, _why = DIFFERS[name]
    bars, expected = tulip_bars(case, tulip[name]), tulip[name][len(case.inputs) :]
    if name in {"dema", "tema", "trix", "macd"}:
        bars = with_bars_in_front(bars, 200)  # so that only the stated reason is left
    outputs = values(case.ours, case.parameters, bars)
    differences = [
        largest_difference(outputs[index], expected[index if name == "macd" else place])
        for place, index in enumerate(case.order)
    ]
    assert min(differences) > least


def test_tulip_obv_is_ours_less_the_first_volume(tulip: dict[str, list[FloatArray]]) -> None:
    close, volume, theirs = tulip["obv"]
    (mine,) = values("obv", (), series(close=close, volume=volume))
    assert np.array_equal(mine - volume[0], theirs)


def test_tulip_cmo_is_ours_with_plain_sums(tulip: dict[str, list[FloatArray]]) -> None:
    close, theirs = tulip["cmo"]
    changes = np.lib.stride_tricks.sliding_window_view(np.diff(close), 5)
    plain = 100 * changes.sum(axis=1) / np.abs(changes).sum(axis=1)
    assert largest_difference(plain, theirs) < 5e-4
