"""A dead feed is stale, a quiet one is not; an old quote is judged in market time."""

from __future__ import annotations

from services.market.freshness import FeedPulse, over_age
from services.market.instruments import instrument

SECOND = 1_000_000_000


def test_a_feed_never_heard_is_stale() -> None:
    assert FeedPulse().stale(0.0)


def test_two_seconds_of_silence_make_a_feed_stale_and_a_heartbeat_revives_it() -> None:
    pulse = FeedPulse().heard(100.0)
    assert not pulse.stale(101.999)
    assert pulse.stale(102.0)
    assert not pulse.heard(102.0).stale(103.0)


def test_a_reading_from_another_thread_that_comes_late_does_not_age_the_feed() -> None:
    assert not FeedPulse().heard(100.0).heard(98.0).stale(101.0)


def test_the_limit_can_be_longer() -> None:
    assert not FeedPulse(100.0).stale(104.0, limit_s=5.0)


def test_a_quote_is_too_old_only_beyond_its_instruments_limit() -> None:
    limit = instrument("EURUSD").max_price_age_ns
    assert not over_age(0, limit, limit)
    assert over_age(0, limit + 1, limit)
    assert not over_age(5 * SECOND, 3 * SECOND, limit)  # a quote ahead of the clock it is compared with
