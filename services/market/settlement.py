"""Value dates: when a trade settles, and how many days of financing a position kept overnight carries.

Rules, as the market's manuals give them (I. J. Clark, Foreign Exchange Option Pricing, 2011, section 1.5):

- Spot is two business days after the trade (USDCAD one). A day counts on the way when it is a business day of
  the pair's currencies other than the dollar; a holiday of the United States does not hold it up.
- The value date itself is a business day of both currencies and of the United States, for crosses too.
- Keeping a position past 17:00 New York moves its value date to that of the next trading day; the calendar
  days in between are charged. A week has seven of them: with T+2 three fall on Wednesday, with T+1 on
  Thursday; a holiday adds days to an earlier roll and takes them from a later one.

Holidays are those of the country where the currency clears: TARGET for the euro, London for sterling and for
metals, New South Wales, Ontario and Zurich where they differ by province. A holiday that falls on a Saturday
is not moved to Friday by the American banks (Federal Reserve, Holiday Schedule). The tables are those of the
`holidays` package: one-off days (a coronation, a jubilee) are in them, and nobody keeps them up to date here.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache

import holidays

from services.market.calendar import calendar
from services.market.instruments import instrument

_DAY = timedelta(days=1)
_SATURDAY, _FRIDAY = 5, 4
_COUNTRIES: dict[str, tuple[str, str | None]] = {
    "USD": ("US", None),
    "GBP": ("GB", "ENG"),
    "JPY": ("JP", None),
    "CHF": ("CH", "ZH"),
    "AUD": ("AU", "NSW"),
    "NZD": ("NZ", None),
    "CAD": ("CA", "ON"),
    "XAU": ("GB", "ENG"),
    "XAG": ("GB", "ENG"),
}


@lru_cache(maxsize=64)
def bank_holidays(code: str, year: int) -> frozenset[date]:
    """Days of a year on which a currency does not settle, weekends apart. Raises KeyError for a currency
    without a calendar.
    """
    if code == "EUR":
        return frozenset(holidays.financial_holidays("XECB", years=year))
    country, subdivision = _COUNTRIES[code]
    days = frozenset(holidays.country_holidays(country, subdiv=subdivision, years=year))
    if code == "USD":
        return frozenset(each for each in days if not _moved_to_friday(each, days))
    if code == "JPY":  # banks keep three more days round New Year (Banking Act, order of enforcement)
        return days | {date(year, 1, 2), date(year, 1, 3), date(year, 12, 31)}
    return days


def settles(code: str, day: date) -> bool:
    """True for a business day of a currency."""
    return day.weekday() < _SATURDAY and day not in bank_holidays(code, day.year)


@lru_cache(maxsize=4096)
def spot_date(symbol: str, trade_day: date) -> date:
    """The value date of a trade of that trading day. Raises FxError `UNKNOWN_SYMBOL`."""
    of = instrument(symbol)
    on_the_way = {of.base, of.quote} - {"USD"}
    final = {of.base, of.quote, "USD"}
    day = trade_day
    for left in range(of.value_date_lag, 0, -1):
        day += _DAY
        while not all(settles(code, day) for code in (on_the_way if left > 1 else final)):
            day += _DAY
    return day


def financed_dates(symbol: str, day: date) -> tuple[date, date] | None:
    """From and to which value date a position kept past 17:00 New York of `day` moves; None when nothing
    trades on that day. The days between them are charged; there may be none.
    """
    hours = calendar(instrument(symbol).calendar)
    if not hours.is_trading_day(day):
        return None
    following = day + _DAY
    while not hours.is_trading_day(following):
        following += _DAY
    return spot_date(symbol, day), spot_date(symbol, following)


def _moved_to_friday(day: date, days: frozenset[date]) -> bool:
    """A Friday that stands for a holiday on the Saturday after it."""
    return day.weekday() == _FRIDAY and day + _DAY in days
