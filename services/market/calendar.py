"""When a market is open, and which trading day a time belongs to.

A trading day runs from 17:00 New York to 17:00 New York and bears the date on which it ends; both ends follow
New York's daylight saving. Times are nanoseconds since 1970 UTC. `holidays` says what is closed and why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from zoneinfo import ZoneInfo

from services.errors import VALIDATION_FAILED, invalid_field
from services.market.holidays import fx_closed, metals_closed, never_closed

NEW_YORK = ZoneInfo("America/New_York")
ROLL_HOUR = 17
HOUR_NS = 3_600 * 1_000_000_000
_DAY_NS = 24 * HOUR_NS
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_ONE_DAY = timedelta(days=1)
_WEEKDAYS = frozenset(range(5))
_ALL_DAYS = frozenset(range(7))


@lru_cache(maxsize=4096)
def roll_ns(day: date) -> int:
    """17:00 New York on `day`: the end of the trading day of that date."""
    local = datetime(day.year, day.month, day.day, ROLL_HOUR, tzinfo=NEW_YORK)
    return int(local.timestamp()) * 1_000_000_000


def civil_day(ns: int) -> date:
    """The date whose 17:00 New York comes next after `ns`, be it a trading day or not."""
    day = date.fromordinal(_EPOCH_ORDINAL + ns // _DAY_NS)
    # 17:00 New York is 21:00 or 22:00 UTC of the same date.
    return day if ns < roll_ns(day) else day + _ONE_DAY


class Calendar:
    """Opening hours of one class of instruments. Without state beyond a memo, so one may be shared."""

    def __init__(
        self,
        name: str,
        trading_weekdays: frozenset[int],
        closed: Callable[[date], bool],
        pause_hours: int = 0,
    ) -> None:
        """A trading day opens `pause_hours` after its 17:00 start (metals 1), until the next 17:00."""
        self.name = name
        self._weekdays = trading_weekdays
        self._closed = closed
        self._pause_ns = pause_hours * HOUR_NS
        self._always = trading_weekdays == _ALL_DAYS and not pause_hours and closed is never_closed
        # The answer of the last `is_open` and the times for which it holds: ticks ask in order, so one is
        # enough. Replaced whole, never changed, hence safe to share between threads.
        self._memo: tuple[int, int, bool] = (0, 0, False)

    def is_open(self, ns: int) -> bool:
        """True when the market trades at `ns`. An opening time is open, a closing time is closed."""
        start, end, answer = self._memo
        if start <= ns < end:
            return answer
        self._memo = start, end, answer = self._constant_around(ns)
        return answer

    def in_week(self, ns: int) -> bool:
        """Like `is_open` but blind to holidays: for judging files, since some venues did trade on them."""
        day = civil_day(ns)
        return day.weekday() in self._weekdays and ns >= roll_ns(day - _ONE_DAY) + self._pause_ns

    def is_trading_day(self, day: date) -> bool:
        """True when the trading day of that date exists."""
        return day.weekday() in self._weekdays and not self._closed(day)

    def trading_day(self, ns: int) -> date:
        """The trading day that `ns` belongs to; while closed, the next one to come."""
        day = civil_day(ns)
        while not self.is_trading_day(day):
            day += _ONE_DAY
        return day

    def next_open(self, ns: int) -> int | None:
        """The first opening after `ns` (not at it); None for a market that never closes."""
        if self._always:
            return None
        day, before = civil_day(ns), self._hours(civil_day(ns) - _ONE_DAY)
        while True:
            hours = self._hours(day)
            if hours and hours[0] > ns and not (before and before[1] == hours[0]):
                return hours[0]
            day, before = day + _ONE_DAY, hours

    def next_close(self, ns: int) -> int | None:
        """The first closing after `ns` (not at it); None for a market that never closes."""
        if self._always:
            return None
        day = civil_day(ns)
        while True:
            hours, following = self._hours(day), self._hours(day + _ONE_DAY)
            if hours and not (following and following[0] == hours[1]):
                return hours[1]
            day += _ONE_DAY

    def next_change(self, ns: int) -> int | None:
        """When open turns to closed or closed to open, after `ns`; None if never."""
        return self.next_close(ns) if self.is_open(ns) else self.next_open(ns)

    def open_between(self, start_ns: int, end_ns: int) -> int:
        """Nanoseconds of open market from `start_ns` to `end_ns`; 0 when they are the wrong way round."""
        memo_start, memo_end, answer = self._memo
        if self._always or (answer and memo_start <= start_ns <= end_ns < memo_end):
            return max(end_ns - start_ns, 0)
        total, day = 0, civil_day(start_ns)
        while roll_ns(day - _ONE_DAY) < end_ns:
            hours = self._hours(day)
            if hours:
                total += max(min(hours[1], end_ns) - max(hours[0], start_ns), 0)
            day += _ONE_DAY
        return total

    def _hours(self, day: date) -> tuple[int, int] | None:
        """Opening and closing of the trading day of that date, None if there is none."""
        if not self.is_trading_day(day):
            return None
        return roll_ns(day - _ONE_DAY) + self._pause_ns, roll_ns(day)

    def _constant_around(self, ns: int) -> tuple[int, int, bool]:
        """A span around `ns` within one civil day in which the market is all open or all closed."""
        day = civil_day(ns)
        start, end = roll_ns(day - _ONE_DAY), roll_ns(day)
        hours = self._hours(day)
        if hours is None:
            return start, end, False
        if ns < hours[0]:
            return start, hours[0], False
        return hours[0], end, True


CALENDARS: Mapping[str, Calendar] = MappingProxyType(
    {
        each.name: each
        for each in (
            Calendar("fx", _WEEKDAYS, fx_closed),
            Calendar("metals", _WEEKDAYS, metals_closed, pause_hours=1),
            Calendar("always_open", _ALL_DAYS, never_closed),
        )
    }
)
"""fx: Sunday 17:00 to Friday 17:00. metals: the same without 17:00-18:00. always_open: the synthetic feed."""


def calendar(name: str) -> Calendar:
    """The calendar of that name. Raises FxError INVALID_ARGUMENT `VALIDATION_FAILED`."""
    found = CALENDARS.get(name)
    if found is None:
        known = ", ".join(CALENDARS)
        raise invalid_field(VALIDATION_FAILED, "calendar", f"must be one of {known}, not {name[:20]!a}")
    return found
