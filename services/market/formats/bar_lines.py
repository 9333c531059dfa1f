"""Bar lines to blocks: OHLC of both sides or of one, each bar judged against the one before and the calendar.

A bar outside market hours is kept and flagged, never refused: sound files have them (FXCM quotes hours before
the Sunday open), and a whole file of them is how a wrong time zone shows. `strict` readings stop at the
first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from services.market.calendar import calendar
from services.market.formats.columns import SIDE, Columns
from services.market.formats.lines import judged_columns, without_header
from services.market.formats.prices import Prices, check_symbol, parse_size
from services.market.formats.rejects import (
    DUPLICATE_BAR,
    OHLC_INCONSISTENT,
    TIME_BACKWARDS,
    LineError,
    Reject,
)
from services.market.formats.rows import BarBlock, BarRow, Ohlc
from services.market.formats.source import LineBlock, Source
from services.market.formats.stamps import SECOND_NS, iso
from services.market.instruments import Instrument

Side = Literal["bid", "ask"]
_DAYLIGHT_S = 3600
_Places = tuple[tuple[str, int], ...]
"""Names and places of the open, high, low and close of one side; empty when the file lacks that side."""


def read_bar_lines(
    source: Source, columns: Columns, instrument: Instrument, seconds: int, side: Side, block: int
) -> Iterator[BarBlock]:
    """The bars of a text file, `seconds` long each, in blocks of `block` lines.

    `side` is what a one-sided file holds; files of both sides name their columns.
    """
    reader = BarLines(columns, instrument, seconds, side)
    for lines in without_header(source.line_blocks(block)):
        yield reader.read(lines)


class BarLines:
    """Reads the blocks of one file in order; remembers the last accepted bar."""

    def __init__(self, columns: Columns, instrument: Instrument, seconds: int, side: Side) -> None:
        self._columns = columns
        self._symbol = instrument.symbol
        self._prices = Prices(instrument)
        self._calendar = calendar(instrument.calendar)
        self._seconds = seconds
        # Bars of 4 hours and more may be cut in local time, where one a year is an hour short.
        self._least_step_ns = (seconds - _DAYLIGHT_S if seconds > _DAYLIGHT_S else seconds) * SECOND_NS
        self._bid = _places(columns, "bid", side)
        self._ask = _places(columns, "ask", side)
        self._last_ns: int | None = None
        self._last_line = 0

    def read(self, block: LineBlock) -> BarBlock:
        """The bars and rejects of the next block of lines."""
        rows = list(judged_columns(block, self._columns, self._bar))
        return BarBlock(
            symbol=self._symbol,
            digits=self._prices.digits,
            seconds=self._seconds,
            first_line=block.first_line,
            last_line=block.last_line,
            bars=tuple(row for row in rows if isinstance(row, BarRow)),
            rejects=tuple(row for row in rows if isinstance(row, Reject)),
        )

    def _bar(self, line: int, fields: list[str]) -> BarRow:
        places = self._columns.places
        if "symbol" in places:
            check_symbol(fields[places["symbol"]], self._symbol)
        open_ns = self._columns.stamps.parse(fields[places["timestamp"]])
        bid = self._ohlc(fields, self._bid) if self._bid else None
        ask = self._ohlc(fields, self._ask) if self._ask else None
        volume = parse_size(fields[places["volume"]], "volume") if "volume" in places else None
        self._check_order(open_ns)
        self._last_ns, self._last_line = open_ns, line
        return BarRow(line, open_ns, bid, ask, volume, self._outside_hours(open_ns))

    def _ohlc(self, fields: list[str], side: _Places) -> Ohlc:
        parse = self._prices.parse
        opened, high, low, closed = (parse(fields[place], name) for name, place in side)
        if not (low <= opened <= high and low <= closed <= high):
            found = ", ".join(f"{name} {fields[place]}" for name, place in side)
            raise LineError(OHLC_INCONSISTENT, f"{found}: expected low <= open, close <= high")
        return opened, high, low, closed

    def _check_order(self, open_ns: int) -> None:
        if self._last_ns is None or open_ns - self._last_ns >= self._least_step_ns:
            return
        before = f"line {self._last_line} opened at {iso(self._last_ns)}"
        if open_ns < self._last_ns:
            raise LineError(TIME_BACKWARDS, f"{iso(open_ns)} is in the past: {before}, expected a later time")
        detail = f"{iso(open_ns)} lies in a bar read before: {before}, bars are {self._seconds} s long"
        raise LineError(DUPLICATE_BAR, detail)

    def _outside_hours(self, open_ns: int) -> bool:
        """True when no instant of the bar is in the trading week. Some venues trade on holidays: they count.

        A bar is shorter than the week's open or closed part, so its two ends tell (a D1 bar that opens at UTC
        midnight on Sunday holds the first hours of the week).
        """
        in_week = self._calendar.in_week
        return not in_week(open_ns) and not in_week(open_ns + self._seconds * SECOND_NS - 1)


def _places(columns: Columns, wanted: Side, one_side: Side) -> _Places:
    prefix = f"{wanted}_"
    if columns.has(*SIDE):
        if wanted != one_side:
            return ()
        prefix = ""
    return tuple((prefix + each, columns.places[prefix + each]) for each in SIDE)
