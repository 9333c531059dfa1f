"""Tick lines to blocks: the fast path first, and what it declines line by line, each refusal with its reason.

Both paths give the same ticks for the same lines (a test holds them to it).
"""

from __future__ import annotations

from collections.abc import Iterator

from services.market.formats.columns import Columns
from services.market.formats.fast_ticks import FastTicks
from services.market.formats.lines import judged_columns, without_header
from services.market.formats.prices import Prices, check_symbol, parse_size
from services.market.formats.rows import TickBlock
from services.market.formats.source import LineBlock, Source
from services.market.formats.tick_blocks import Row, TickBlocks
from services.market.instruments import Instrument


def read_tick_lines(
    source: Source, columns: Columns, instrument: Instrument, block: int
) -> Iterator[TickBlock]:
    """The ticks of a text file in blocks of `block` lines."""
    reader = TickLines(columns, instrument)
    blocks = source.line_blocks(block)
    for lines in without_header(blocks) if columns.header else blocks:
        yield reader.read(lines)


class TickLines:
    """Reads the blocks of one file in order."""

    def __init__(self, columns: Columns, instrument: Instrument) -> None:
        self._columns = columns
        self._prices = Prices(instrument)
        self._fast = FastTicks(columns, self._prices)
        self._ticks = TickBlocks(instrument)

    def read(self, block: LineBlock) -> TickBlock:
        """The ticks and rejects of the next block of lines."""
        plain = block.lines and block.terminated and not block.damage
        ticks = self._fast.read(block.lines, self._ticks.last_ns) if plain else None
        first, last, columns = block.first_line, block.last_line, self._columns
        if ticks is not None:
            return self._ticks.block(first, last, range(first, last + 1), ticks)
        rows = judged_columns(block, columns, self._tick)
        sized = columns.has("bid_size"), columns.has("ask_size")
        return self._ticks.of_rows(first, last, rows, sized=sized)

    def _tick(self, line: int, fields: list[str]) -> Row:
        places = self._columns.places
        if "symbol" in places:
            check_symbol(fields[places["symbol"]], self._ticks.symbol)
        time_ns = self._columns.stamps.parse(fields[places["timestamp"]])
        bid = self._prices.parse(fields[places["bid"]], "bid")
        ask = self._prices.parse(fields[places["ask"]], "ask")
        sizes = {
            name: parse_size(fields[places[name]], name)
            for name in ("bid_size", "ask_size", "volume")
            if name in places
        }
        self._ticks.accept(line, time_ns)
        return line, time_ns, bid, ask, sizes.get("bid_size", 0), sizes.get("ask_size", 0)
