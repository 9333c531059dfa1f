"""The market clock of a session goes forward only; what a follower holds is the latest it heard."""

from __future__ import annotations

from itertools import permutations

import pytest

from services.market.clock import MarketClock

START = MarketClock("s1", 1_000, 1.0, 10)


@pytest.mark.parametrize(("time_ns", "sequence"), [(999, None), (999, 11), (1_000, 9), (2_000, 9)])
def test_neither_time_nor_sequence_goes_back(time_ns: int, sequence: int | None) -> None:
    with pytest.raises(ValueError, match="cannot go back"):
        START.advanced(time_ns, sequence)


def test_two_sessions_have_no_order() -> None:
    with pytest.raises(ValueError, match="clocks of their own"):
        START.precedes(MarketClock("s2", 2_000, 1.0, 11))


def test_a_tick_moves_time_and_sequence_and_a_heartbeat_time_only() -> None:
    assert START.advanced(1_000, 11) == MarketClock("s1", 1_000, 1.0, 11)
    assert START.advanced(1_500) == MarketClock("s1", 1_500, 1.0, 10)


def test_a_late_reading_changes_nothing_and_the_order_of_arrival_neither() -> None:
    readings = [
        START,
        START.advanced(1_000, 11),
        START.advanced(1_500, 12),
        MarketClock("s1", 1_900, 1.0, 12),
    ]
    for order in permutations(readings):
        held = order[0]
        for heard in order[1:]:
            held = held.follow(heard)
        assert held == readings[-1]


def test_a_change_of_speed_at_the_same_time_is_heard() -> None:
    assert START.follow(MarketClock("s1", 1_000, 0.0, 10)).speed == 0.0


def test_another_session_takes_over_even_with_an_earlier_market_time() -> None:
    replay = MarketClock("replay-1", 5, 0.0, 0)
    assert START.follow(replay) is replay
