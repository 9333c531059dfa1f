"""The text formats: TrueFX and HistData ticks, ticks and bars under a header.

TrueFX and HistData are fixed layouts. CSV files name their columns in a header, in any order and case:
`timestamp` (or time, datetime, open_time), `bid` and `ask`, optionally `bid_size`, `ask_size`, `symbol` (or
instrument, instrument_id, pair); for bars the eight `bid_open` … `ask_close`, or `open`, `high`, `low`,
`close` of one side, optionally `volume`. Other columns are ignored. Times there are ISO 8601; without a zone
they are UTC.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise

from services.market.formats.bar_lines import Side, read_bar_lines
from services.market.formats.columns import BID_ASK, SIDE, Columns, header_columns
from services.market.formats.format import BarFormat, Head, TickFormat
from services.market.formats.prices import symbol_of
from services.market.formats.rejects import LineError
from services.market.formats.rows import BarBlock, TickBlock
from services.market.formats.source import Source
from services.market.formats.stamps import HISTDATA, ISO, SECOND_NS, TRUEFX, Stamps
from services.market.formats.tick_lines import read_tick_lines
from services.market.instruments import Instrument

EST_BEHIND_UTC_S = 5 * 3600
"""HistData stamps its files in EST without daylight saving (its FAQ says so, and the week's opens agree)."""

_TRUEFX_LINE = re.compile(r"[A-Za-z]{3}/?[A-Za-z]{3}[^,]*,[0-9]{8} [0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3},")
_HISTDATA_LINE = re.compile(r"[0-9]{8} [0-9]{9},")
_ISO_EXAMPLE = "2014-05-01T00:00:00.292Z"

ColumnsOf = Callable[[Head], Columns | None]


def _truefx(head: Head) -> Columns:
    stamps = Stamps(TRUEFX, "20140501 00:00:00.292")
    return Columns({"symbol": 0, "timestamp": 1, "bid": 2, "ask": 3}, 4, stamps)


def _histdata(head: Head) -> Columns:
    stamps = Stamps(HISTDATA, "20200101 170000065", EST_BEHIND_UTC_S)
    return Columns({"timestamp": 0, "bid": 1, "ask": 2, "volume": 3}, 4, stamps)


def _with_header(*needed: str) -> ColumnsOf:
    def columns_of(head: Head) -> Columns | None:
        columns = header_columns(head.lines[0], Stamps(ISO, _ISO_EXAMPLE)) if head.lines else None
        return columns if columns and columns.has("timestamp", *needed) else None

    return columns_of


def _looking_like(line: re.Pattern[str]) -> Callable[[Head], int]:
    return lambda head: sum(line.match(each) is not None for each in head.lines)


def _headed(columns_of: ColumnsOf) -> Callable[[Head], int]:
    """A header decides: it speaks for all lines."""
    return lambda head: len(head.lines) if columns_of(head) else 0


def _symbol_in(columns_of: ColumnsOf) -> Callable[[Head], str | None]:
    """The commonest symbol of the head's lines, so that one damaged line does not name the file."""

    def symbol(head: Head) -> str | None:
        columns = columns_of(head)
        place = columns.place("symbol") if columns else None
        if columns is None or place is None:
            return None
        rows = (line.split(",") for line in head.lines[columns.header :])
        found = Counter(symbol_of(row[place]) for row in rows if len(row) == columns.count)
        named = [each for each, _ in found.most_common() if each]
        return named[0] if named else None

    return symbol


def _seconds_in(columns_of: ColumnsOf) -> Callable[[Head], int | None]:
    """The commonest step between the times of consecutive lines: gaps and damaged lines are the exception."""

    def seconds(head: Head) -> int | None:
        columns = columns_of(head)
        if columns is None:
            return None
        times = list(_times(head.lines[1:], columns))
        steps = Counter(
            (later - earlier) // SECOND_NS
            for earlier, later in pairwise(times)
            if later - earlier >= SECOND_NS
        )
        return steps.most_common(1)[0][0] if steps else None

    return seconds


def _times(lines: tuple[str, ...], columns: Columns) -> Iterator[int]:
    for line in lines:
        fields = line.split(",")
        if len(fields) == columns.count:
            try:
                yield columns.stamps.parse(fields[columns.places["timestamp"]])
            except LineError:
                continue  # the reading itself will report this line


def _layout(columns_of: ColumnsOf, head: Head) -> Columns:
    columns = columns_of(head)
    if columns is None:
        raise ValueError("a format reads only heads that it recognises")
    return columns


def _ticks(columns_of: ColumnsOf) -> Callable[[Source, Head, Instrument, int], Iterator[TickBlock]]:
    def read(source: Source, head: Head, instrument: Instrument, block: int) -> Iterator[TickBlock]:
        return read_tick_lines(source, _layout(columns_of, head), instrument, block)

    return read


def _bars(columns_of: ColumnsOf) -> Callable[[Source, Head, Instrument, int, Side, int], Iterator[BarBlock]]:
    def read(
        source: Source, head: Head, instrument: Instrument, seconds: int, side: Side, block: int
    ) -> Iterator[BarBlock]:
        return read_bar_lines(source, _layout(columns_of, head), instrument, seconds, side, block)

    return read


_CSV_TICKS = _with_header("bid", "ask")
_CSV_BARS = _with_header(*BID_ASK)
_CSV_BARS_ONE_SIDE = _with_header(*SIDE)

TRUEFX_TICKS = TickFormat(
    "truefx",
    "TrueFX tick CSV: no header, times in UTC",
    "EUR/USD,20140501 00:00:00.292,1.38676,1.38686",
    _looking_like(_TRUEFX_LINE),
    _symbol_in(_truefx),
    _ticks(_truefx),
)
HISTDATA_TICKS = TickFormat(
    "histdata",
    "HistData ASCII ticks: no header, times in EST without daylight saving",
    "20200101 170000065,1.121200,1.121720,0",
    _looking_like(_HISTDATA_LINE),
    lambda head: None,
    _ticks(_histdata),
)
CSV_TICKS = TickFormat(
    "csv-ticks",
    "tick CSV with a header; ISO times, UTC unless they name a zone",
    "timestamp,bid,ask[,bid_size,ask_size][,symbol]",
    _headed(_CSV_TICKS),
    _symbol_in(_CSV_TICKS),
    _ticks(_CSV_TICKS),
)
CSV_BARS = BarFormat(
    "csv-bars",
    "bar CSV with a header, bid and ask; ISO opening times, UTC unless they name a zone",
    "timestamp,bid_open,bid_high,bid_low,bid_close,ask_open,ask_high,ask_low,ask_close[,volume][,symbol]",
    _headed(_CSV_BARS),
    _symbol_in(_CSV_BARS),
    _seconds_in(_CSV_BARS),
    2,
    _bars(_CSV_BARS),
)
CSV_BARS_ONE_SIDE = BarFormat(
    "csv-bars-one-side",
    "bar CSV with a header, one price series; ISO opening times, UTC unless they name a zone",
    "timestamp,open,high,low,close[,volume][,symbol]",
    _headed(_CSV_BARS_ONE_SIDE),
    _symbol_in(_CSV_BARS_ONE_SIDE),
    _seconds_in(_CSV_BARS_ONE_SIDE),
    1,
    _bars(_CSV_BARS_ONE_SIDE),
)
