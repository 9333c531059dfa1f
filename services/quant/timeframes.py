"""Timeframes of bars and where their buckets begin and end.

Up to one hour a bucket begins at a whole multiple of its length since 1970 UTC. Four hours and one day are
cut from a day origin: 17:00 New York, where the trading day rolls, or midnight UTC, as in some published
files. A New York day has 23 or 25 hours when daylight saving changes, so its end is never start + 24 h.
"""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import Final, Self

from services.errors import VALIDATION_FAILED, invalid_field
from services.market.calendar import civil_day, roll_ns

SECOND_NS: Final = 1_000_000_000
DAY_NS: Final = 86_400 * SECOND_NS

_ONE_DAY: Final = timedelta(days=1)


class DayOrigin(Enum):
    """Where days, and the four-hour buckets within them, begin."""

    NEW_YORK = "new_york"
    """17:00 New York, with daylight saving: the trading day."""
    UTC = "utc"
    """Midnight UTC."""


class Timeframe(Enum):
    """Length of a bar, shortest first. The value is its text: "1m"."""

    S1 = ("1s", 1)
    S5 = ("5s", 5)
    S10 = ("10s", 10)
    S15 = ("15s", 15)
    S30 = ("30s", 30)
    M1 = ("1m", 60)
    M5 = ("5m", 300)
    M15 = ("15m", 900)
    M30 = ("30m", 1_800)
    H1 = ("1h", 3_600)
    H4 = ("4h", 14_400)
    D1 = ("1d", 86_400)

    text: str
    """As written: "1m"."""
    seconds: int
    """Nominal length: the last H4 of a New York day, and that day, are an hour off when the clocks change."""
    ns: int
    """Nominal length in nanoseconds."""

    def __new__(cls, text: str, seconds: int) -> Self:
        member = object.__new__(cls)
        member._value_ = text
        member.text = text
        member.seconds = seconds
        member.ns = seconds * SECOND_NS
        return member

    def __str__(self) -> str:
        return self.text

    @property
    def needs_day_origin(self) -> bool:
        """True where the bucket is cut from a day's beginning: H4 and D1."""
        return self.seconds > 3_600

    @classmethod
    def parse(cls, text: str) -> Timeframe:
        """From "1m" or "M1", exactly so written ("1M" is a month elsewhere: refused).

        Raises FxError INVALID_ARGUMENT `VALIDATION_FAILED`.
        """
        found = _BY_TEXT.get(text)
        if found is None:
            known = ", ".join(each.text for each in cls)
            raise invalid_field(VALIDATION_FAILED, "timeframe", f"{text!r} is none of {known}")
        return found


_BY_TEXT: Final = {each.text: each for each in Timeframe} | {each.name: each for each in Timeframe}


def bucket_bounds(
    timeframe: Timeframe, time_ns: int, origin: DayOrigin = DayOrigin.NEW_YORK
) -> tuple[int, int]:
    """Begin (inclusive) and end (exclusive) of the bucket that holds `time_ns`, ns since 1970 UTC."""
    if timeframe is Timeframe.D1:
        return day_bounds(time_ns, origin)
    length = timeframe.ns
    if not timeframe.needs_day_origin:
        begin = time_ns - time_ns % length
        return begin, begin + length
    day_begin, day_end = day_bounds(time_ns, origin)
    begin = time_ns - (time_ns - day_begin) % length
    # What a 23 or 25 hour day leaves over is its last bucket: none reaches into the next day.
    return begin, min(begin + length, day_end)


def bucket_open(timeframe: Timeframe, time_ns: int, origin: DayOrigin = DayOrigin.NEW_YORK) -> int:
    """Begin of the bucket that holds `time_ns`, ns since 1970 UTC."""
    return bucket_bounds(timeframe, time_ns, origin)[0]


def day_bounds(time_ns: int, origin: DayOrigin = DayOrigin.NEW_YORK) -> tuple[int, int]:
    """Begin (inclusive) and end (exclusive) of the day that holds `time_ns`, ns since 1970 UTC."""
    if origin is DayOrigin.UTC:
        begin = time_ns - time_ns % DAY_NS
        return begin, begin + DAY_NS
    day = civil_day(time_ns)
    return roll_ns(day - _ONE_DAY), roll_ns(day)
