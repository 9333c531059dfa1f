"""How many orders an account has sent within a second of market time: what its limit of them bounds.

Before anything of a market was heard its time is the clock's, which is ahead of a day that is played again.
So times may go back, and what is counted is told by the newest order: those before it, back to the first that
is not of the second up to it. A gateway that has just started reads exactly those (`of_one_second`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile

SECOND_NS = 1_000_000_000


def of_one_second(newest_first: Iterable[int], until_ns: int) -> Iterator[int]:
    """The times up to the first that is not of the second up to `until_ns`."""
    return takewhile(lambda time_ns: until_ns - SECOND_NS < time_ns <= until_ns, newest_first)


class OrderRate:
    """Times of orders, by account; of each account those of its last second that had any."""

    def __init__(self, placed: Iterable[tuple[str, int]]) -> None:
        """`placed`: (account id, time), oldest first."""
        self._times: dict[str, list[int]] = {}
        """In order, since one before the newest ends what came until then. Some are older than a second."""
        for account_id, time_ns in placed:
            self.count(account_id, time_ns)

    def lately(self, account_id: str, time_ns: int) -> int:
        """Orders in the second up to `time_ns`."""
        times = self._times.get(account_id)
        if not times or times[-1] > time_ns:
            return 0
        return len(times) - _before(times, time_ns)

    def count(self, account_id: str, time_ns: int) -> None:
        """One more."""
        times = self._times.setdefault(account_id, [])
        if times and times[-1] > time_ns:
            times.clear()
        old = _before(times, time_ns)
        if 2 * old > len(times):  # seldom, so that many orders in one second cost no more each than few
            del times[:old]
        times.append(time_ns)


def _before(times: Sequence[int], until_ns: int) -> int:
    """How many are before the second up to `until_ns`."""
    return bisect_right(times, until_ns - SECOND_NS)
