"""Sequence tracking: doubled, overlapping and missing ticks give each tick one effect and each gap a name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.market.dedupe import Gap, SequenceTracker
from services.market.ticks import TickBatch


def batch(first: int, last: int, session: str = "s1", symbol: str = "EURUSD") -> TickBatch:
    prices = list(range(first, last + 1))
    return TickBatch(session, symbol, first, 5, prices, prices, prices)


def test_a_batch_delivered_twice_has_no_second_effect() -> None:
    tracker = SequenceTracker()
    assert len(tracker.accept(batch(1, 100)).batch) == 100
    again = tracker.accept(batch(1, 100))
    assert (len(again.batch), again.duplicates, again.gap, again.joined) == (0, 100, None, False)


def test_an_overlap_is_trimmed() -> None:
    tracker = SequenceTracker({("s1", "EURUSD"): 60})
    admission = tracker.accept(batch(1, 100))
    assert (admission.batch.batch_id, admission.duplicates) == ("s1/EURUSD/61-100", 60)
    assert tracker.last("s1", "EURUSD") == 100


def test_missing_ticks_are_named_and_the_rest_is_taken() -> None:
    tracker = SequenceTracker()
    tracker.accept(batch(1, 10))
    admission = tracker.accept(batch(14, 20))
    assert (admission.gap, len(admission.batch)) == (Gap(11, 13), 7)
    assert admission.gap is not None and len(admission.gap) == 3
    assert tracker.accept(batch(22, 25)).gap == Gap(21, 21)
    late = tracker.accept(batch(11, 13))
    assert (len(late.batch), late.duplicates, late.gap) == (0, 3, None)


def test_joining_a_feed_under_way_is_told_apart_from_losing_its_start() -> None:
    tracker = SequenceTracker()
    joined = tracker.accept(batch(501, 510))
    assert (joined.joined, joined.gap) == (True, Gap(1, 500))
    fresh = tracker.accept(batch(1, 5, symbol="GBPUSD"))
    assert (fresh.joined, fresh.gap) == (True, None)
    assert tracker.accept(batch(7, 7, symbol="GBPUSD")).joined is False


def test_an_effect_that_fails_leaves_its_ticks_new() -> None:
    tracker = SequenceTracker()
    assert tracker.examine(batch(1, 5)) == tracker.examine(batch(1, 5))
    assert tracker.last("s1", "EURUSD") == 0
    tracker.commit("s1", "EURUSD", 5)
    assert len(tracker.examine(batch(1, 5)).batch) == 0


def test_a_mark_never_goes_back() -> None:
    tracker = SequenceTracker()
    tracker.commit("s1", "EURUSD", 50)
    tracker.commit("s1", "EURUSD", 20)
    tracker.accept(batch(1, 10))
    assert tracker.last("s1", "EURUSD") == 50


def test_an_empty_batch_is_neither_a_gap_nor_a_step() -> None:
    tracker = SequenceTracker({("s1", "EURUSD"): 5})
    admission = tracker.accept(TickBatch("s1", "EURUSD", 9, 5, [], [], []))
    assert (len(admission.batch), admission.gap, admission.duplicates) == (0, None, 0)
    assert tracker.last("s1", "EURUSD") == 5


def test_sessions_and_symbols_count_apart_and_an_ended_session_can_be_forgotten() -> None:
    tracker = SequenceTracker()
    for session, symbol in (("s2", "EURUSD"), ("s1", "GBPUSD"), ("s1", "EURUSD")):
        assert len(tracker.accept(batch(1, 3, session, symbol)).batch) == 3
    assert list(tracker) == [(("s1", "EURUSD"), 3), (("s1", "GBPUSD"), 3), (("s2", "EURUSD"), 3)]
    tracker.forget("s1")
    assert list(tracker) == [(("s2", "EURUSD"), 3)]
    assert SequenceTracker(dict(tracker)).last("s2", "EURUSD") == 3


DELIVERIES = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 30)), max_size=20)


@given(DELIVERIES)
def test_however_a_run_is_cut_and_repeated_each_tick_has_one_effect(
    deliveries: list[tuple[int, int]],
) -> None:
    """At least once, in order: a delivery starts so many ticks back of the next new one and is so long."""
    tracker, reached = SequenceTracker(), 0
    effects: list[int] = []
    for back, length in deliveries:
        first = max(1, reached + 1 - back)
        admission = tracker.accept(batch(first, first + length - 1))
        assert admission.gap is None
        effects += admission.batch.bids
        reached = max(reached, first + length - 1)
    assert effects == list(range(1, reached + 1))


def test_a_gap_has_a_size() -> None:
    with pytest.raises(AttributeError):
        Gap(1, 2).first = 3  # type: ignore[misc]
    assert len(Gap(5, 5)) == 1
