"""Overnight financing: what keeping a position past 17:00 New York costs or brings.

    amount = |size| × closing price × annual rate × days / 365        in the quote currency

converted and rounded as profit is. Rates come from a dated table, one for long and one for short positions,
above zero where the holder receives; days are those between the value dates (`services/market/settlement`).
A roll carries the rates and days that were in force when it fired, so that its journal entry says all.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from services.errors import FxError
from services.market.calendar import civil_day
from services.market.instruments import instrument
from services.market.settlement import financed_dates
from services.money.conversion import Conversion, convert
from services.money.decimals import format_trimmed
from services.trading_gateway.domain import bookkeeping, valuation
from services.trading_gateway.domain.accounts import Account
from services.trading_gateway.domain.book import Book
from services.trading_gateway.domain.bookkeeping import Occasion
from services.trading_gateway.domain.events import PositionChanged
from services.trading_gateway.domain.financing_table import PERCENT_DIGITS, PPM
from services.trading_gateway.domain.inputs import DayRolled, OvernightRate
from services.trading_gateway.domain.positions import Position
from services.trading_gateway.domain.values import LedgerKind

DAYS_A_YEAR = 365


def due(book: Book, account_id: str, time_ns: int) -> DayRolled:
    """The roll of an account at 17:00 New York, with the rates and days of what it holds."""
    day = civil_day(time_ns - 1)
    found: list[OvernightRate] = []
    if not book.account(account_id).on_paper:
        return DayRolled(time_ns, account_id)  # another venue charges by its own rates
    for position in book.holdings.open(account_id):
        dates = financed_dates(position.symbol, day)
        ppm = book.rules.financing.annual_ppm(position.symbol, day, position.size)
        if dates is not None and dates[0] != dates[1] and ppm:
            days = (dates[1] - dates[0]).days
            value_from, value_to = (each.isoformat() for each in dates)
            rate = OvernightRate(position.symbol, ppm, days, value_from, value_to, position.position_id)
            found.append(rate)
    return DayRolled(time_ns, account_id, tuple(found))


def post(book: Book, account: Account, rolled: DayRolled) -> Account:
    """The account after the financing of a roll, one entry a position; positions and account are told."""
    for rate in rolled.rates:
        position = book.position(account.account_id, rate.symbol, rate.position_id)
        conversion = _amount(book, account, position, rate)
        if conversion is not None:
            account = _posted(book, account, position, rate, conversion, rolled.time_ns)
    return account


def _amount(book: Book, account: Account, position: Position, rate: OvernightRate) -> Conversion | None:
    """What is charged or paid; None where nothing can be valued: no quote was ever seen, or none leads to the
    account's currency. A position that was traded has both.
    """
    price = valuation.closing_price(book, account.session_id, position.symbol, position.size)
    if price is None:
        return None
    of = instrument(position.symbol)
    share = Fraction(rate.annual_ppm * rate.days, PPM * DAYS_A_YEAR)
    amount = bookkeeping.finely(abs(position.size) * price * share, valuation.cost_digits(of), of.quote)
    try:
        return convert(amount, account.currency, book.markets.rates(account.session_id))
    except FxError:
        return None


def _posted(
    book: Book,
    account: Account,
    position: Position,
    rate: OvernightRate,
    conversion: Conversion,
    time_ns: int,
) -> Account:
    roll_day = civil_day(time_ns - 1).isoformat()
    ticket = f" {rate.position_id}" if rate.position_id else ""
    occasion = Occasion(
        f"{rate.symbol} {roll_day}{ticket}", rate.symbol, time_ns, detail=_detail(position, rate)
    )
    account = bookkeeping.charge(book, account, LedgerKind.FINANCING, conversion, 1, occasion)
    amount = conversion.money.raw
    financed = replace(
        position,
        financing=position.financing + amount,
        updated_ns=max(position.updated_ns, time_ns),
        revision=position.revision + 1,
    )
    kept = book.put_position(financed)
    book.tell(PositionChanged(valuation.position_view(book, kept), by_fill=False))
    return replace(account, financing=account.financing + amount)


def _detail(position: Position, rate: OvernightRate) -> str:
    of = instrument(position.symbol)
    size = of.size_text(abs(position.size))
    side = "long" if position.size > 0 else "short"
    days = f"{rate.days} day{'s' if rate.days > 1 else ''}"
    percent = format_trimmed(rate.annual_ppm, PERCENT_DIGITS)
    return f"{side} {size} at {percent} % a year, {days}: {rate.value_from} to {rate.value_to}"
