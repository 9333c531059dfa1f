"""Timers: cancelled and moved ones do not fire, due ones fire before the tick that passes them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.market.timers import Timers


def fired(timers: Timers[str], now_ns: int) -> list[str]:
    return [key for _, key, _ in timers.due(now_ns)]


def test_an_empty_queue_has_nothing_due() -> None:
    timers: Timers[str] = Timers()
    assert (timers.next_due(), fired(timers, 10**18), len(timers), timers.cancel("none")) == (
        None,
        [],
        0,
        False,
    )


def test_a_cancelled_timer_does_not_fire() -> None:
    timers: Timers[str] = Timers()
    timers.set("a", 10, "")
    timers.set("b", 20, "")
    assert timers.cancel("a") is True
    assert (timers.next_due(), len(timers)) == (20, 1)
    assert fired(timers, 100) == ["b"]
    assert timers.cancel("b") is False


def test_a_moved_timer_fires_once_at_its_new_time() -> None:
    timers: Timers[str] = Timers()
    timers.set("a", 10, "old")
    timers.set("a", 30, "new")
    assert list(timers.due(29)) == []
    assert list(timers.due(30)) == [(30, "a", "new")]
    timers.set("a", 50, "later")
    timers.set("a", 40, "sooner")
    assert list(timers.due(60)) == [(40, "a", "sooner")]


def test_a_timer_due_at_the_very_time_of_a_tick_fires_before_it() -> None:
    timers: Timers[str] = Timers()
    timers.set("bar", 60, "")
    assert fired(timers, 59) == []
    assert fired(timers, 60) == ["bar"]


def test_equal_times_fire_in_the_order_in_which_they_were_set() -> None:
    timers: Timers[str] = Timers()
    for key in "zay":
        timers.set(key, 10, "")
    timers.set("z", 10, "")  # moved: to the back
    assert fired(timers, 10) == ["a", "y", "z"]


def test_a_timer_set_while_another_fires_takes_part_in_its_turn() -> None:
    timers: Timers[str] = Timers()
    timers.set("first", 10, "")
    timers.set("third", 30, "")
    order = []
    for due_ns, key, _ in timers.due(30):
        order.append(key)
        if key == "first":
            timers.set("second", due_ns + 10, "")
            timers.cancel("third")
            timers.set("fourth", 31, "")
    assert order == ["first", "second"]
    assert timers.next_due() == 31


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 20), st.booleans()), max_size=40))
def test_the_queue_agrees_with_a_sorted_list_and_rebuilds_from_what_is_stored(
    steps: list[tuple[str, int, bool]],
) -> None:
    timers: Timers[int] = Timers()
    model: dict[str, tuple[int, int]] = {}
    for count, (key, due_ns, cancel) in enumerate(steps):
        if cancel:
            assert timers.cancel(key) is (model.pop(key, None) is not None)
        else:
            timers.set(key, due_ns, count)
            model[key] = (due_ns, count)
    expected = [(due, key, count) for due, count, key in sorted((d, c, k) for k, (d, c) in model.items())]
    assert timers.pending() == expected
    rebuilt: Timers[int] = Timers()
    for due_ns, key, item in timers.pending():
        rebuilt.set(key, due_ns, item)
    assert list(rebuilt.due(20)) == list(timers.due(20)) == expected
    assert len(timers) == 0
