"""What is counted goes on from what a store holds, also where time went back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.trading_gateway.domain.order_rate import SECOND_NS, OrderRate, of_one_second

AHEAD = 400 * SECOND_NS
"""How much the clock is ahead of the market."""
steps = st.lists(st.integers(0, SECOND_NS), max_size=30)


def along(begin: int, apart: list[int]) -> list[int]:
    times = [begin]
    for each in apart:
        times.append(times[-1] + each)
    return times


@given(steps, steps, steps)
def test_a_fresh_start_counts_as_if_there_had_been_none(
    early: list[int], before: list[int], after: list[int]
) -> None:
    placed = [*along(AHEAD, early), *along(0, before)] if early else along(0, before)
    lasting = OrderRate(("demo", each) for each in placed)
    newest = placed[-1]
    stored = [newest, *of_one_second(reversed(placed[:-1]), newest)]
    fresh = OrderRate(("demo", each) for each in reversed(stored))
    for time_ns in along(newest, after):
        expected = sum(time_ns - SECOND_NS < each <= time_ns for each in placed)
        assert lasting.lately("demo", time_ns) == fresh.lately("demo", time_ns) == expected
        for rate in (lasting, fresh):
            rate.count("demo", time_ns)
        placed.append(time_ns)
        assert lasting.lately("demo", time_ns) == fresh.lately("demo", time_ns)


@given(st.lists(st.integers(-SECOND_NS // 2, SECOND_NS), max_size=60), st.integers(-SECOND_NS, SECOND_NS))
def test_whichever_way_time_goes_what_is_counted_is_one_second_of_the_newest(
    apart: list[int], later: int
) -> None:
    rate, kept = OrderRate(()), list[int]()
    for time_ns in along(AHEAD, apart):
        rate.count("demo", time_ns)
        kept = [time_ns, *of_one_second(kept, time_ns)]
        for asked in (time_ns, time_ns + later):
            assert rate.lately("demo", asked) == sum(1 for _ in of_one_second(kept, asked))


def test_each_account_has_its_own() -> None:
    rate = OrderRate([("demo", 1), ("demo", 2)])
    assert (rate.lately("demo", 2), rate.lately("other", 2)) == (2, 0)
    assert [rate.lately("demo", time_ns) for time_ns in (SECOND_NS, SECOND_NS + 1, SECOND_NS + 2)] == [
        2,
        1,
        0,
    ]


def test_a_second_is_open_where_it_begins() -> None:
    times = [3 * SECOND_NS, 2 * SECOND_NS + 1, 2 * SECOND_NS]
    assert list(of_one_second(times, 3 * SECOND_NS)) == times[:2]
