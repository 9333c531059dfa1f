"""Trading days that do not exist because the market stays closed, per class of instruments.

Currencies: 25 December and 1 January. Seen in OANDA's hourly EURUSD bars: from 2010 to 2014 neither trading
day has a bar (trading stops at 17:00 New York the evening before and is back at 17:00), from 2007 to 2009
OANDA still quoted parts of both. FXCM's bars for the same days agree. Metals: also Good Friday, when COMEX is
closed. A holiday on a weekend is not moved. Early closings (24 and 31 December) differ by venue and are not
modelled.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache


def fx_closed(day: date) -> bool:
    """True for Christmas Day and New Year's Day."""
    return (day.month, day.day) in ((12, 25), (1, 1))


def metals_closed(day: date) -> bool:
    """True for the currency holidays and Good Friday."""
    return fx_closed(day) or day == good_friday(day.year)


def never_closed(day: date) -> bool:
    """No holidays: the synthetic feed."""
    return False


@lru_cache(maxsize=256)
def good_friday(year: int) -> date:
    """Two days before Easter Sunday of the Gregorian calendar (Meeus/Jones/Butcher)."""
    golden = year % 19
    century, of_century = divmod(year, 100)
    leap, rest = divmod(century, 4)
    correction = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + century - leap - correction + 15) % 30
    quarter, odd = divmod(of_century, 4)
    weekday = (32 + 2 * rest + 2 * quarter - epact - odd) % 7
    late = (golden + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * late + 114, 31)
    return date(year, month, day + 1) - timedelta(days=2)
