"""Labels look exactly as far ahead as they say, and splits keep what they saw apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from services.errors import FxError, Kind
from services.quant.bars import Bar
from services.quant.labels import LabelKind, Labels, label_bars
from services.quant.series import PriceSide, series_of
from services.quant.splits import purged_split
from services.quant.timeframes import Timeframe

BarsOf = Callable[..., list[Bar]]
HOUR = Timeframe.H1.ns


def bar(number: int, bid: int, ask: int) -> Bar:
    return Bar("EURUSD", Timeframe.H1, number * HOUR, 5, bid, bid, bid, bid, ask, ask, ask, ask, tick_count=1)


def bars_at(*quotes: tuple[int, int]) -> list[Bar]:
    return [bar(number, bid, ask) for number, (bid, ask) in enumerate(quotes)]


def test_direction_is_up_only_when_the_mid_rises() -> None:
    labels = label_bars(bars_at((100, 102), (101, 103), (100, 104), (90, 91)), horizon=1)
    assert labels.values.tolist() == [1, 0, 0, 0]  # up, equal mid, down, unknown
    assert labels.known.tolist() == [True, True, True, False]
    assert labels.time_ns.tolist() == [HOUR, 2 * HOUR, 3 * HOUR, 4 * HOUR]
    assert labels.end_ns[:3].tolist() == [2 * HOUR, 3 * HOUR, 4 * HOUR]


def test_net_direction_has_to_pay_for_the_spread() -> None:
    quotes = (100, 102), (103, 105), (102, 104), (99, 101), (99, 101)
    labels = label_bars(bars_at(*quotes), 1, LabelKind.NET_DIRECTION)
    assert labels.values[labels.known].tolist() == [1, 0, -1, 0]


@pytest.mark.parametrize("kind", LabelKind)
def test_labels_of_real_hours_equal_those_of_the_integers(bars_of: BarsOf, kind: LabelKind) -> None:
    bars = bars_of("oanda", Timeframe.H1)[-5_000:]
    labels = label_bars(bars, 7, kind)
    assert labels.known.sum() == len(bars) - 7
    for index, (now, later) in enumerate(zip(bars, bars[7:], strict=False)):
        if kind is LabelKind.DIRECTION:
            expected = int(later.bid_close + later.ask_close > now.bid_close + now.ask_close)
        else:
            expected = int(later.bid_close > now.ask_close) - int(later.ask_close < now.bid_close)
        assert labels.values[index] == expected
        assert labels.end_ns[index] == later.end_ns
        assert labels.time_ns[index] == now.end_ns


def test_a_daily_label_ends_where_the_trading_day_does(bars_of: BarsOf) -> None:
    days = [replace(each, timeframe=Timeframe.D1) for each in bars_of("oanda", Timeframe.H1)[::24][:30]]
    labels = label_bars(days, 1)
    assert labels.end_ns[labels.known].tolist() == [day.end_ns for day in days[1:]]


def test_what_lies_beyond_the_horizon_changes_no_label(bars_of: BarsOf) -> None:
    bars = bars_of("oanda", Timeframe.H1)[:300]
    labels = label_bars(bars, 5)
    changed = [*bars[:201], *(replace(each, bid_close=1, ask_close=2) for each in bars[201:])]
    assert np.array_equal(label_bars(changed, 5).values[:196], labels.values[:196])


@pytest.mark.parametrize("horizon", [3, 4])
def test_fewer_bars_than_the_horizon_have_no_label(horizon: int) -> None:
    labels = label_bars(bars_at((1, 2), (3, 4), (5, 6)), horizon)
    assert not labels.known.any()
    assert not label_bars([], horizon).known.any()


@pytest.mark.parametrize("horizon", [0, -1, 1_001])
def test_a_horizon_out_of_range_is_refused(horizon: int) -> None:
    with pytest.raises(FxError) as caught:
        label_bars(bars_at((1, 2)), horizon)
    assert (caught.value.kind, caught.value.reason) == (Kind.INVALID_ARGUMENT, "BAD_PARAMETER")


def test_labels_want_mid_prices() -> None:
    with pytest.raises(ValueError, match="mid prices"):
        label_bars(series_of(bars_at((1, 2)), PriceSide.BID), 1)


def labelled(labels: Labels) -> tuple[np.ndarray, np.ndarray]:
    return labels.time_ns[labels.known], labels.end_ns[labels.known]


def test_no_training_label_has_seen_validation(bars_of: BarsOf) -> None:
    time_ns, end_ns = labelled(label_bars(bars_of("oanda", Timeframe.H1), 12))
    split = purged_split(time_ns, end_ns, 0.25, embargo_ns=24 * HOUR)
    assert len(split.valid) == pytest.approx(0.25 * len(time_ns), abs=1)
    assert end_ns[split.train].max() <= split.cut_ns - 24 * HOUR
    assert time_ns[split.valid].min() == split.cut_ns
    without = purged_split(time_ns, end_ns, 0.25)
    between = np.setdiff1d(np.arange(len(time_ns)), np.concatenate([without.train, without.valid]))
    assert len(between) == 11  # labels of 12 bars; the first of them ends with the cut itself


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), min_size=2, max_size=80),
    share=st.floats(0.05, 0.95),
    embargo=st.integers(0, 9),
)
def test_rows_of_several_symbols_in_any_order_are_kept_apart(
    rows: list[tuple[int, int]], share: float, embargo: int
) -> None:
    time_ns = np.array([time for time, _ in rows])
    end_ns = np.array([time + span for time, span in rows])
    try:
        split = purged_split(time_ns, end_ns, share, embargo)
    except FxError:
        reject()  # every row on one side; see the last test
    assert set(split.valid.tolist()) == {i for i, (time, _) in enumerate(rows) if time >= split.cut_ns}
    assert set(split.train.tolist()) == {
        i for i, (time, span) in enumerate(rows) if time + span <= split.cut_ns - embargo
    }
    assert (np.diff(time_ns[split.train]) >= 0).all()


@pytest.mark.parametrize(("share", "embargo"), [(0.0, 0), (1.0, 0), (0.2, -1)])
def test_a_senseless_split_is_refused(share: float, embargo: int) -> None:
    with pytest.raises(FxError) as caught:
        purged_split(np.arange(10), np.arange(10) + 1, share, embargo)
    assert caught.value.reason == "BAD_PARAMETER"


@pytest.mark.parametrize("count", [0, 1, 5])
def test_too_few_rows_say_so(count: int) -> None:
    with pytest.raises(FxError) as caught:
        purged_split(np.arange(count), np.arange(count) + 100)
    assert (caught.value.kind, caught.value.reason) == (Kind.FAILED_PRECONDITION, "TRAINING_DATA_TOO_SMALL")
