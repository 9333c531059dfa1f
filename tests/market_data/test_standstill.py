"""Who holds a replay up."""

from services.market_data.domain.standstill import Standstill


def test_a_lag_that_shrinks_is_progress_and_one_that_grows_is_not() -> None:
    watch = Standstill()
    assert watch.longest({"a": 500, "b": 400}, 0.0)[1] == 0.0
    assert watch.longest({"a": 499, "b": 410}, 10.0) == ("b", 10.0)
    assert watch.longest({"a": 499, "b": 405}, 15.0) == ("a", 5.0)


def test_who_kept_up_meanwhile_begins_anew() -> None:
    watch = Standstill()
    watch.longest({"a": 500, "b": 500}, 0.0)
    watch.longest({"b": 500}, 5.0)
    assert watch.longest({"a": 500}, 8.0) == ("a", 0.0)
