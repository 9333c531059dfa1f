"""Who holds a replay up, and since when without getting anything done."""

from __future__ import annotations

from collections.abc import Mapping


class Standstill:
    """Watches the lags of consumers; a lag that shrinks is progress, however slow."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, float]] = {}

    def longest(self, lags: Mapping[str, int], now_s: float) -> tuple[str, float]:
        """The one of `lags` that has stood still longest, and for how many seconds.

        Those that are not among `lags` any more are forgotten. There must be at least one.
        """
        seen: dict[str, tuple[int, float]] = {}
        for name, lag in lags.items():
            before, since_s = self._seen.get(name, (lag, now_s))
            seen[name] = (lag, now_s if lag < before else since_s)
        self._seen = seen
        name = min(seen, key=lambda each: seen[each][1])
        return name, now_s - seen[name][1]
