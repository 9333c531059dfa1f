"""Sources of ids that need only be unique: UUIDv7 for live processes, a counter for replay and tests."""

from __future__ import annotations

import random
from itertools import count

from services.runtime.ports import Clock

_COUNTER_BITS = 12
_VARIANT = 0b10 << 62  # the two highest bits of the random half


class Uuid7Ids:
    """UUIDv7 (RFC 9562, method 1): milliseconds, then a counter within one, then chance; sorts by time of
    making.

    When the wall clock goes back or a millisecond's counter is used up, the time part stays or runs ahead, so
    ids of one source never go back. The chance is for uniqueness only: such an id is no secret.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0
        self._told, self._time_text = -1, ""
        """The millisecond of the last id, and how it is written."""

    def new(self) -> str:
        """A new UUIDv7 in its usual text form."""
        now = (self._clock.now_ns() // 1_000_000) << _COUNTER_BITS
        self._last = max(now, self._last + 1)
        milliseconds, counter = self._last >> _COUNTER_BITS, self._last & 0xFFF
        if milliseconds != self._told:
            digits = f"{milliseconds:012x}"
            self._told, self._time_text = milliseconds, f"{digits[:8]}-{digits[8:]}"
        tail = f"{_VARIANT | random.getrandbits(62):x}"
        return f"{self._time_text}-7{counter:03x}-{tail[:4]}-{tail[4:]}"


class CountedIds:
    """`prefix-00000001`, …: the same in every run."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._numbers = count(1)

    def new(self) -> str:
        """The next id."""
        return f"{self._prefix}-{next(self._numbers):08d}"
