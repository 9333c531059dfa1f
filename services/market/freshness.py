"""When a feed counts as stale and a quote as too old: two questions on two different clocks.

A feed is alive while ticks or heartbeats come, judged on the receiver's own monotonic clock. A living feed
may be quiet: how old its last quote may be is the instrument's own limit, judged in market time.
"""

from __future__ import annotations

from dataclasses import dataclass

FEED_STALE_AFTER_S = 2.0
"""Two missed heartbeats of the one a second that every feed sends."""


@dataclass(frozen=True, slots=True)
class FeedPulse:
    """When a feed was last heard, in seconds of the receiver's monotonic clock; None before that."""

    heard_s: float | None = None

    def heard(self, now_s: float) -> FeedPulse:
        """After a tick or heartbeat. A reading from before the last one (threads) changes nothing."""
        return FeedPulse(now_s if self.heard_s is None else max(now_s, self.heard_s))

    def stale(self, now_s: float, limit_s: float = FEED_STALE_AFTER_S) -> bool:
        """True when nothing came for `limit_s` seconds or longer, and for a feed never heard."""
        return self.heard_s is None or now_s - self.heard_s >= limit_s


def over_age(quote_ns: int, market_ns: int, max_age_ns: int) -> bool:
    """True when a quote of market time `quote_ns` is older than the limit at market time `market_ns`."""
    return market_ns - quote_ns > max_age_ns
