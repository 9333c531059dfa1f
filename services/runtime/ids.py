"""Sources of ids that need only be unique: UUIDv7 for live processes, a counter for replay and tests."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count

from services.runtime.ports import Clock

_COUNTS = tuple(f"7{number:03x}" for number in range(1 << 12))
"""The third group, version and counter, ready to be written."""
_VARIANT = 0b10 << 62  # the two highest bits of the random half


class Uuid7Ids:
    """UUIDv7 (RFC 9562, method 1): milliseconds, then a counter within one, then chance; sorts by time of
    making.

    When the wall clock goes back or a millisecond's counter is used up, the time part stays or runs ahead, so
    ids of one source never go back. The chance is for uniqueness only: such an id is no secret.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._millisecond = 0
        self._time_text = ""
        self._counts: Iterator[str] = iter(())

    def new(self) -> str:
        """A new UUIDv7 in its usual text form."""
        now = self._clock.now_ns() // 1_000_000
        if now > self._millisecond:
            self._begin(now)
        count = next(self._counts, None)
        if count is None:
            self._begin(self._millisecond + 1)
            count = next(self._counts)
        tail = f"{_VARIANT | random.getrandbits(62):x}"
        return f"{self._time_text}{count}-{tail[:4]}-{tail[4:]}"

    def _begin(self, millisecond: int) -> None:
        digits = f"{millisecond:012x}"
        self._millisecond, self._time_text = millisecond, f"{digits[:8]}-{digits[8:]}-"
        self._counts = iter(_COUNTS)


class CountedIds:
    """`prefix-00000001`, …: the same in every run."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._numbers = count(1)

    def new(self) -> str:
        """The next id."""
        return f"{self._prefix}-{next(self._numbers):08d}"
