"""Features: one row is a row of the matrix to the bit, knows no future, and is what its description says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from services.errors import FxError, Kind
from services.quant.bars import Bar, BarBuilder
from services.quant.features import (
    FEATURE_DESCRIPTIONS,
    FEATURE_NAMES,
    FEATURE_SET_VERSION,
    FEATURE_WINDOW,
    feature_matrix,
    feature_row,
)
from services.quant.series import FloatArray, PriceSide, PriceWindow, series_of
from services.quant.timeframes import Timeframe

TicksOf = Callable[[str], tuple[list[int], list[int], list[int]]]
BarsOf = Callable[..., list[Bar]]
HOUR = Timeframe.H1.ns
SATURDAY_ROLL = 1_399_150_800 * 10**9  # 2014-05-03 21:00 UTC, 17:00 New York


@pytest.fixture
def hours(bars_of: BarsOf) -> list[Bar]:
    return bars_of("oanda", Timeframe.H1)


def column(name: str, values: FloatArray) -> FloatArray:
    picked: FloatArray = values[..., FEATURE_NAMES.index(name)]
    return picked


def test_a_live_row_is_the_row_of_training_to_the_bit(ticks_of: TicksOf) -> None:
    """Live: bars come one by one into a window. Training: all bars at once, in blocks."""
    bars = BarBuilder("EURUSD", Timeframe.M1, 5).add_many(*ticks_of("oanda"))[:3_000]
    matrix = feature_matrix(bars)
    window = PriceWindow(Timeframe.M1, 150)
    for index, bar in enumerate(bars):
        window.append(bar)
        if index >= FEATURE_WINDOW - 1:
            assert feature_row(window.series()).tobytes() == matrix.values[index].tobytes()
    assert matrix.valid.tolist() == [index >= FEATURE_WINDOW - 1 for index in range(3_000)]
    assert matrix.open_ns.tolist() == [bar.open_ns for bar in bars]


@pytest.mark.parametrize("start", [0, 1, 37, 300])
def test_where_a_block_begins_changes_no_bit(hours: list[Bar], start: int) -> None:
    part = hours[1_000:2_200]
    whole, later = feature_matrix(part), feature_matrix(part[start:])
    first = start + FEATURE_WINDOW - 1
    assert later.values[FEATURE_WINDOW - 1 :].tobytes() == whole.values[first:].tobytes()


QUOTES = st.lists(
    st.tuples(
        st.integers(1, 3), st.integers(-40, 40), st.integers(0, 30), st.integers(0, 30), st.integers(-2, 9)
    ),
    min_size=FEATURE_WINDOW,
    max_size=FEATURE_WINDOW + 20,
)


def bars_from(quotes: list[tuple[int, int, int, int, int]], timeframe: Timeframe = Timeframe.H1) -> list[Bar]:
    """Bars that move by the second number, reach further by the next two, and have the last as spread."""
    bars, open_ns, close = [], SATURDAY_ROLL, 130_000
    for gap, move, up, down, spread in quotes:
        open_ns += gap * timeframe.ns
        opened, close = close, close + move
        high, low = max(opened, close) + up, min(opened, close) - down
        bars.append(
            Bar(
                "EURUSD", timeframe, open_ns, 5, opened, high, low, close,
                opened + spread, high + spread, low + spread, close + spread, tick_count=1,
            )
        )  # fmt: skip
    return bars


@settings(deadline=None, max_examples=40)
@given(quotes=QUOTES)
def test_any_market_gives_finite_rows_equal_alone_and_together(
    quotes: list[tuple[int, int, int, int, int]],
) -> None:
    bars = bars_from(quotes)
    matrix = feature_matrix(bars)
    assert np.isfinite(matrix.values[matrix.valid]).all()
    for end in range(FEATURE_WINDOW, len(bars) + 1):
        assert feature_row(bars[:end]).tobytes() == matrix.values[end - 1].tobytes()


def test_a_row_knows_no_future_and_nothing_before_its_window(hours: list[Bar]) -> None:
    part, at = hours[5_000:5_600], 300
    matrix = feature_matrix(part)
    shifted = [
        replace(
            bar,
            bid_high=bar.bid_high + 999,
            bid_low=1,
            bid_close=bar.bid_close + 55,
            ask_close=bar.ask_close + 70,
        )
        for bar in part
    ]
    future = feature_matrix([*part[: at + 1], *shifted[at + 1 :]])
    assert future.values[: at + 1].tobytes() == matrix.values[: at + 1].tobytes()
    assert (future.values[at + 1] != matrix.values[at + 1]).any()
    past = feature_matrix([*shifted[: at - FEATURE_WINDOW + 1], *part[at - FEATURE_WINDOW + 1 :]])
    assert past.values[at].tobytes() == matrix.values[at].tobytes()
    assert (past.values[at - 1] != matrix.values[at - 1]).any()


def test_the_definition_is_the_one_of_this_version(hours: list[Bar]) -> None:
    """Changes with any bit of any row: then raise FEATURE_SET_VERSION and write the new digest here."""
    rows = feature_matrix(hours).values[FEATURE_WINDOW - 1 :]
    assert rows.shape == (49_711, 30)
    digest = hashlib.sha256(rows.tobytes() + ",".join(FEATURE_NAMES).encode()).hexdigest()
    assert (FEATURE_SET_VERSION, digest[:16]) == (1, "ddcf0e6de4267cfd")


def test_names_are_unique_and_described() -> None:
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES) == 30
    assert list(FEATURE_DESCRIPTIONS) == list(FEATURE_NAMES)
    assert all(FEATURE_DESCRIPTIONS.values())


def test_features_are_what_the_indicators_say(hours: list[Bar]) -> None:
    """Against TA-Lib over the whole history; the cut-off weights differ by at most what is given here."""
    part = hours[20_000:26_000]
    bars, rows = series_of(part), feature_matrix(part).values
    tail = slice(1_000, None)
    atr = talib.ATR(bars.high, bars.low, bars.close, 14)

    def agrees(name: str, expected: FloatArray, within: float) -> None:
        np.testing.assert_allclose(column(name, rows)[tail], expected[tail], atol=within, rtol=0)

    agrees("rsi_14", talib.RSI(bars.close, 14) / 50 - 1, 2e-3)
    agrees("rsi_5", talib.RSI(bars.close, 5) / 50 - 1, 1e-8)
    for period, within in ((10, 0.01), (20, 0.03), (50, 0.4)):
        agrees(f"ema_distance_{period}", (bars.close - talib.EMA(bars.close, period)) / atr, within)
    line, _, histogram = talib.MACD(bars.close, 12, 26, 9)
    agrees("macd", line / atr, 0.03)
    agrees("macd_histogram", histogram / atr, 0.03)
    upper, middle, lower = talib.BBANDS(bars.close, 20, 2, 2)
    agrees("bollinger_position", (bars.close - middle) / (upper - middle), 1e-6)
    agrees("bollinger_width", (upper - lower) / atr, 0.05)
    plus, minus = (
        function(bars.high, bars.low, bars.close, 14) for function in (talib.PLUS_DI, talib.MINUS_DI)
    )
    agrees("directional_balance", (plus - minus) / (plus + minus), 3e-3)
    donchian = talib.DONCHIAN(bars.high, bars.low, 24)
    agrees("range_position_24", (bars.close - donchian[2]) / (donchian[0] - donchian[2]), 1e-9)
    agrees("return_6", talib.MOM(bars.close, 6) / (atr * np.sqrt(6)), 0.01)
    ways = talib.SUM(np.abs(np.diff(bars.close, prepend=bars.close[0])), 20)
    agrees("trend_efficiency", talib.MOM(bars.close, 20) / ways, 1e-9)
    agrees("spread", (bars.ask_close - bars.bid_close) / atr, 0.01)


def test_a_market_that_stands_still_gives_exact_neutral_values() -> None:
    row = feature_row(bars_from([(1, 0, 0, 0, 0)] * FEATURE_WINDOW))
    neutral = {
        "range_position_24": 0.5,
        "range_position_96": 0.5,
        "volatility_ratio": 1.0,
        "spread_ratio": 1.0,
    }
    for name, value in zip(FEATURE_NAMES, row, strict=True):
        if not name.startswith(("time_", "continuity")):
            assert value == neutral.get(name, 0.0), name


def test_a_spread_over_almost_no_range_is_cut_off() -> None:
    still = [(1, 0, 0, 0, 20_000)] * (FEATURE_WINDOW - 2)
    row = feature_row(bars_from([(1, 0, 1, 0, 20_000), (1, 0, 1, 0, 20_000), *still]))
    assert column("spread", row) == 100.0


def test_time_turns_once_a_trading_day_and_once_a_week() -> None:
    bars = bars_from([(1, 1, 0, 0, 0)] * (FEATURE_WINDOW + 7 * 24))
    rows = feature_matrix(bars).values
    # Bar i begins at hour i + 1 of the week and closes an hour later.
    for index in range(FEATURE_WINDOW, len(bars)):
        day, week = 2 * np.pi * (index + 2) / 24, 2 * np.pi * (index + 2) / 168
        assert column("time_of_day_sin", rows)[index] == pytest.approx(np.sin(day), abs=1e-11)
        assert column("time_of_day_cos", rows)[index] == pytest.approx(np.cos(day), abs=1e-11)
        # Trading days are named after the day they end on: the week turns at the end of Sunday's.
        turned = week - 2 * np.pi / 7
        assert column("time_of_week_sin", rows)[index] == pytest.approx(np.sin(turned), abs=1e-11)
        assert column("time_of_week_cos", rows)[index] == pytest.approx(np.cos(turned), abs=1e-11)


def test_continuity_tells_of_missing_bars() -> None:
    bars = bars_from([(1, 1, 0, 0, 0)] * FEATURE_WINDOW + [(4, 1, 0, 0, 0), (1, 1, 0, 0, 0)])
    assert column("continuity", feature_matrix(bars).values)[-3:].tolist() == [1.0, 0.25, 1.0]


@pytest.mark.parametrize("timeframe", [Timeframe.M1, Timeframe.H4, Timeframe.D1])
def test_every_timeframe_has_features(timeframe: Timeframe) -> None:
    bars = bars_from([(1, move, 3, 2, 1) for move in (3, -2, 5, -4) * 30], timeframe)
    matrix = feature_matrix(bars)
    assert matrix.values[-1].tobytes() == feature_row(bars).tobytes()
    assert np.isfinite(matrix.values[matrix.valid]).all()


def test_too_few_bars_say_how_many_are_needed(hours: list[Bar]) -> None:
    with pytest.raises(FxError, match="features need 96 bars, there are 95") as caught:
        feature_row(hours[: FEATURE_WINDOW - 1])
    assert (caught.value.kind, caught.value.reason) == (Kind.FAILED_PRECONDITION, "NOT_ENOUGH_BARS")
    short = feature_matrix(hours[: FEATURE_WINDOW - 1])
    assert not short.valid.any()
    assert np.isnan(short.values).all()
    assert feature_matrix([]).values.shape == (0, 30)


def test_features_want_mid_prices(hours: list[Bar]) -> None:
    with pytest.raises(ValueError, match="mid prices"):
        feature_row(series_of(hours[:FEATURE_WINDOW], PriceSide.ASK))
