"""Tick batches: malformed ones first, then that cutting and joining changes no tick and no identity."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.market.ticks import TickBatch, merge


def batch(
    first: int = 1, count: int = 4, *, session: str = "s1", symbol: str = "EURUSD", sizes: bool = True
) -> TickBatch:
    numbers = range(first, first + count)
    return TickBatch(
        session_id=session,
        symbol=symbol,
        first_sequence=first,
        digits=5,
        times_ns=[number * 1000 for number in numbers],
        bids=[138_000 + number for number in numbers],
        asks=[138_008 + number for number in numbers],
        bid_sizes=[number * 10 for number in numbers] if sizes else (),
        ask_sizes=[number * 20 for number in numbers] if sizes else (),
    )


@pytest.mark.parametrize(
    ("times", "bids", "asks", "sizes"),
    [([1], [], [1], ()), ([1], [1], [1, 2], ()), ([], [1], [1], ()), ([1, 2], [1, 2], [1, 2], [5])],
)
def test_columns_of_unequal_length_are_refused(
    times: list[int], bids: list[int], asks: list[int], sizes: list[int]
) -> None:
    with pytest.raises(ValueError, match="columns"):
        TickBatch("s1", "EURUSD", 1, 5, times, bids, asks, sizes, sizes)


@pytest.mark.parametrize("first", [0, -1])
def test_sequences_start_at_one(first: int) -> None:
    with pytest.raises(ValueError, match="start at 1"):
        TickBatch("s1", "EURUSD", first, 5, [], [], [])


def test_merging_refuses_what_is_not_one_run_of_one_feed() -> None:
    with pytest.raises(ValueError, match="nothing"):
        merge([])
    with pytest.raises(ValueError, match="not consecutive"):
        merge([batch(1), batch(6)])
    with pytest.raises(ValueError, match="not consecutive"):
        merge([batch(1), batch(4)])
    with pytest.raises(ValueError, match="one feed"):
        merge([batch(1), batch(5, session="s2")])
    with pytest.raises(ValueError, match="one feed"):
        merge([batch(1), batch(5, symbol="GBPUSD")])
    with pytest.raises(ValueError, match="size columns"):
        merge([batch(1), batch(5, sizes=False)])


def test_a_step_or_an_empty_split_is_refused() -> None:
    with pytest.raises(ValueError, match="no step"):
        batch()[::2]
    with pytest.raises(ValueError, match="at least one"):
        list(batch().split(0))


def test_the_identity_is_session_symbol_and_sequences() -> None:
    assert batch(101, 100).batch_id == "s1/EURUSD/101-200"
    assert (batch(101, 100).last_sequence, batch(101, 100).sequence(99)) == (200, 200)
    assert (batch(7, 0).last_sequence, len(batch(7, 0))) == (6, 0)


def test_crossed_looks_at_one_tick() -> None:
    ticks = TickBatch("s1", "EURUSD", 1, 5, [1, 2, 3], [10, 12, 11], [11, 11, 11])
    assert [ticks.crossed(index) for index in range(3)] == [False, True, False]


def test_trimming_by_sequence() -> None:
    ticks = batch(11, 4)
    assert ticks.trimmed_after(0) is ticks
    assert ticks.trimmed_after(10) is ticks
    assert ticks.trimmed_after(12) == batch(13, 2)
    for seen in (14, 99):
        nothing = ticks.trimmed_after(seen)
        assert (len(nothing), nothing.first_sequence) == (0, 15)


def test_arrays_are_int64_and_exact() -> None:
    ticks = batch(2**53, 3)
    for array, column in ((ticks.times_array(), ticks.times_ns), (ticks.bids_array(), ticks.bids)):
        assert array.dtype == np.int64 and array.tolist() == list(column)
    assert ticks.asks_array().tolist() == list(ticks.asks)
    assert batch(1, 0).times_array().shape == (0,)


def test_a_service_that_asks_for_no_array_does_not_load_numpy() -> None:
    code = "import sys, services.market.ticks, services.market.quality; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@given(count=st.integers(0, 60), size=st.integers(1, 25), first=st.integers(1, 10**9), sizes=st.booleans())
def test_split_and_merge_are_inverse(count: int, size: int, first: int, sizes: bool) -> None:
    whole = batch(first, count, sizes=sizes)
    parts = list(whole.split(size))
    assert all(1 <= len(part) <= size for part in parts)
    assert sum(map(len, parts)) == count
    if parts:
        joined = merge(parts)
        assert joined.batch_id == whole.batch_id
        assert (joined.times_ns, joined.bids, joined.asks) == (whole.times_ns, whole.bids, whole.asks)
        assert (list(joined.bid_sizes), list(joined.ask_sizes)) == (
            list(whole.bid_sizes),
            list(whole.ask_sizes),
        )


@given(count=st.integers(0, 30), first=st.integers(1, 50), seen=st.integers(0, 100))
def test_trimming_keeps_exactly_the_later_ticks(count: int, first: int, seen: int) -> None:
    whole, rest = batch(first, count), batch(first, count).trimmed_after(seen)
    kept = [whole.sequence(index) for index in range(count) if whole.sequence(index) > seen]
    assert [rest.sequence(index) for index in range(len(rest))] == kept
    assert [rest.bids[index] - 138_000 for index in range(len(rest))] == kept
