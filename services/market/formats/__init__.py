"""Readers of market data files: ticks for replay, ticks and bars for import.

Pure parsing over lines; only `source` and `bi5_hours` open files. Text becomes scaled integers and
nanoseconds without a float, and whatever is not data becomes a `Reject` with its line and reason. Reading
order: `rejects`, `rows`, `stamps`, `prices`, `source`, `columns`, `lines`, `tick_blocks`, `tick_lines` with
`fast_ticks`, `bar_lines`, `format`, `text_formats`, `oanda_lines`, `bi5_hours`, `bi5_records`, `bi5`,
`registry`, `reading`, `tallies`.
"""

from services.market.formats.bi5_hours import as_one_file
from services.market.formats.format import BarFormat, Format, TickFormat
from services.market.formats.reading import (
    Reading,
    read_bar_blocks,
    read_bars,
    read_tick_blocks,
    read_ticks,
)
from services.market.formats.registry import FORMATS, sniff
from services.market.formats.rejects import Reject
from services.market.formats.rows import BarBlock, BarRow, FileSummary, Ohlc, Tick, TickBlock
from services.market.formats.source import fingerprint

__all__ = [
    "FORMATS",
    "BarBlock",
    "BarFormat",
    "BarRow",
    "FileSummary",
    "Format",
    "Ohlc",
    "Reading",
    "Reject",
    "Tick",
    "TickBlock",
    "TickFormat",
    "as_one_file",
    "fingerprint",
    "read_bar_blocks",
    "read_bars",
    "read_tick_blocks",
    "read_ticks",
    "sniff",
]
