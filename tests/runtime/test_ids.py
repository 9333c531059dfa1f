"""Ids that need only be unique."""

from __future__ import annotations

from uuid import UUID

from services.runtime.clock import EventClock, WallClock
from services.runtime.ids import CountedIds, Uuid7Ids


def test_they_are_version_7_and_carry_the_time() -> None:
    made = UUID(Uuid7Ids(EventClock(1_700_000_000_123_000_000)).new())
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == 1_700_000_000_123


def test_they_sort_by_time_of_making_even_when_the_clock_stands_still() -> None:
    ids = Uuid7Ids(EventClock(1_700_000_000_000_000_000))
    made = [ids.new() for _ in range(10_000)]  # more than the counter of one millisecond holds
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_they_do_not_go_back_with_the_clock() -> None:
    class Jumping(WallClock):
        def __init__(self) -> None:
            self._times = [2_000_000_000_000, 1_000_000_000_000]

        def now_ns(self) -> int:
            return self._times.pop(0)

    ids = Uuid7Ids(Jumping())
    assert ids.new() < ids.new()


def test_counted_ids_are_the_same_in_every_run() -> None:
    ids = CountedIds("run")
    assert [ids.new(), ids.new()] == ["run-00000001", "run-00000002"]
