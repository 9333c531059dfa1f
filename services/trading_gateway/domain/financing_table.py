"""Rates of overnight financing, by symbol and date: `docs/trading.md` has the format of the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from services.errors import FxError
from services.market.instruments import INSTRUMENTS
from services.money.decimals import parse_decimal

PPM = 1_000_000
PERCENT_DIGITS = 4
"""A percentage of four decimals is a whole number of millionths."""
_MOST_PPM = 10 * PPM
HEADER = "symbol,from,long,short"


@dataclass(frozen=True, slots=True)
class Rates:
    """Annual rates of a symbol from a trading day on, in millionths; below zero the holder pays."""

    since: date
    long_ppm: int
    short_ppm: int


@dataclass(frozen=True, slots=True)
class FinancingTable:
    """Rates by symbol, in the order of their dates. A symbol without any is not financed."""

    rates: Mapping[str, tuple[Rates, ...]] = field(default_factory=dict)

    def annual_ppm(self, symbol: str, day: date, size: int) -> int:
        """The rate for a position of that sign on a trading day; 0 where there is none."""
        known = [each for each in self.rates.get(symbol, ()) if each.since <= day]
        if not known:
            return 0
        return known[-1].long_ppm if size > 0 else known[-1].short_ppm


def parse_table(lines: Iterable[str]) -> FinancingTable:
    """The table of a file. Raises ValueError that names the line at fault."""
    found: dict[str, list[Rates]] = {}
    began = False
    for number, raw in enumerate(lines, 1):
        line = raw.partition("#")[0].strip()
        if not line:
            continue
        if not began:
            if line != HEADER:
                raise ValueError(f"line {number}: the first line is {HEADER}")
            began = True
            continue
        try:
            symbol, rates = _row(line)
        except (FxError, ValueError) as failure:
            raise ValueError(f"line {number}: {failure}") from failure
        of_symbol = found.setdefault(symbol, [])
        if of_symbol and of_symbol[-1].since >= rates.since:
            raise ValueError(f"line {number}: dates of {symbol} must grow")
        of_symbol.append(rates)
    return FinancingTable({symbol: tuple(each) for symbol, each in found.items()})


def _row(line: str) -> tuple[str, Rates]:
    cells = [each.strip() for each in line.split(",")]
    if len(cells) != len(HEADER.split(",")):
        raise ValueError(f"expected {HEADER}")
    symbol, since, *shares = cells
    if symbol not in INSTRUMENTS:
        raise ValueError(f"no instrument {symbol}")
    long_ppm, short_ppm = (parse_decimal(each, PERCENT_DIGITS, signed=True) for each in shares)
    if max(abs(long_ppm), abs(short_ppm)) > _MOST_PPM:
        raise ValueError("rates are percent a year, at most 1000")
    return symbol, Rates(date.fromisoformat(since), long_ppm, short_ppm)
