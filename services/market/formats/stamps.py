"""Time text to nanoseconds since 1970 UTC, exactly and without float: what each format means by a timestamp.

Every format's text reduces to `YYYYMMDD?HHMMSS[fraction][zone]` once the characters `-:.` are gone, which is
what lets one fast path serve them all (see `fast_ticks`).
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

from services.market.formats.rejects import BAD_TIMESTAMP, LineError, quoted

SECOND_NS = 1_000_000_000
_DAY_NS = 86_400 * SECOND_NS
_EPOCH = date(1970, 1, 1).toordinal()
_LAST_YEAR = 2261
"""The last whole year whose nanoseconds fit the sint64 columns of the wire."""

# Groups: year month day hour minute second fraction zone. [0-9], not \d: \d takes every script's digits.
_D2, _D4 = "([0-9]{2})", "([0-9]{4})"
TRUEFX = re.compile(rf"{_D4}{_D2}{_D2} {_D2}:{_D2}:{_D2}\.([0-9]{{3}})()")
HISTDATA = re.compile(rf"{_D4}{_D2}{_D2} {_D2}{_D2}{_D2}([0-9]{{3}})()")
ISO = re.compile(
    rf"{_D4}-{_D2}-{_D2}[T ]{_D2}:{_D2}:{_D2}(?:\.([0-9]{{1,9}}))?(Z|[+-][0-9]{{2}}:?[0-9]{{2}})?"
)


class Stamps:
    """Reads the timestamps of a file. `pattern` is one of the above, `example` what messages show as right.

    `behind_utc_s`: how far the file's clock is behind UTC, for formats whose text names no zone (HistData:
    EST without daylight saving, 18,000 s). An ISO time without a zone is UTC.
    """

    def __init__(self, pattern: re.Pattern[str], example: str, behind_utc_s: int = 0) -> None:
        self.pattern = pattern
        self._example = example
        self._behind_ns = behind_utc_s * SECOND_NS

    def parse(self, text: str) -> int:
        """Nanoseconds since 1970 UTC. Raises LineError `BAD_TIMESTAMP`."""
        match = self.pattern.fullmatch(text)
        if match is None:
            raise LineError(BAD_TIMESTAMP, f"the time is {quoted(text)}, expected one like {self._example}")
        year, month, day, hour, minute, second, fraction, zone = match.groups(default="")
        try:
            day_ns = _day_ns(int(year), int(month), int(day))
            clock_ns = _clock_ns(int(hour), int(minute), int(second))
            offset_ns = _offset_ns(zone)
        except ValueError as refused:
            raise LineError(BAD_TIMESTAMP, f"the time {quoted(text)} does not exist: {refused}") from None
        return day_ns + clock_ns + int((fraction + "000000000")[:9]) + self._behind_ns - offset_ns

    def ten_seconds_ns(self, compact: bytes) -> int:
        """Start of the ten seconds `YYYYMMDD?HHMMS` of this file's clock. ValueError when there are none."""
        day_ns = _day_ns(int(compact[:4]), int(compact[4:6]), int(compact[6:8]))
        clock_ns = _clock_ns(int(compact[9:11]), int(compact[11:13]), int(compact[13:14]) * 10)
        return day_ns + clock_ns + self._behind_ns


def iso(time_ns: int) -> str:
    """A time within a sentence: `2014-05-01T00:00:00.292Z`, with as many decimals as it has."""
    days, rest = divmod(time_ns, _DAY_NS)
    seconds, fraction = divmod(rest, SECOND_NS)
    day = date.fromordinal(_EPOCH + days)
    decimals = f".{fraction:09d}".rstrip("0").rstrip(".")
    return f"{day}T{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{decimals}Z"


@lru_cache(maxsize=4096)
def _day_ns(year: int, month: int, day: int) -> int:
    if not 1970 <= year <= _LAST_YEAR:
        raise ValueError(f"years 1970 to {_LAST_YEAR} are known, not {year}")
    return (date(year, month, day).toordinal() - _EPOCH) * _DAY_NS


def _clock_ns(hour: int, minute: int, second: int) -> int:
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError("a day ends at 23:59:59")
    return (hour * 3600 + minute * 60 + second) * SECOND_NS


def _offset_ns(zone: str) -> int:
    if zone in ("", "Z", "+00:00"):
        return 0
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    if hours > 14 or minutes > 59:
        raise ValueError(f"no zone is {zone} from UTC")
    seconds = hours * 3600 + minutes * 60
    return (-seconds if zone[0] == "-" else seconds) * SECOND_NS
