"""What a file format is: a name, a description, a way to recognise it, and a reader.

Formats are values in one table (`registry.FORMATS`); a new one is a module with its own `read` and a row
there. Formats that are not text (Dukascopy .bi5) look at `Head.start` and `Head.path` and read
`Source.chunks` or, as containers, `Source.raw`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from services.market.formats.bar_lines import Side
from services.market.formats.rows import BarBlock, TickBlock
from services.market.formats.source import Source
from services.market.instruments import Instrument


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of a file, from which its format is recognised.

    `start`: the first bytes of the content, decompressed; `lines`: its first whole lines that are not blank
    (a byte that is not UTF-8 shows as U+FFFD).
    """

    path: Path
    start: bytes
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Format:
    """`sniff` counts the lines of a head that look like this format (0: another); the highest count wins.

    `symbol` is what the head says its symbol is, None where the format does not name one. `example` is a
    line, or the header of formats that have one, for messages and help texts.
    """

    name: str
    description: str
    example: str
    sniff: Callable[[Head], int]
    symbol: Callable[[Head], str | None]


@dataclass(frozen=True, slots=True)
class TickFormat(Format):
    """A format of ticks. `read(source, head, instrument, block)` gives blocks made of `block` lines.

    It raises FxError at once when the head already tells that it cannot.
    """

    read: Callable[[Source, Head, Instrument, int], Iterator[TickBlock]]


@dataclass(frozen=True, slots=True)
class BarFormat(Format):
    """A format of bars. `read(source, head, instrument, seconds, side, block)`: blocks of `block` lines.

    `seconds` is the bar length that a head shows, None where it shows none. `sides` is 2, or 1 for files that
    hold either bid or ask without saying which.
    """

    seconds: Callable[[Head], int | None]
    sides: int
    read: Callable[[Source, Head, Instrument, int, Side, int], Iterator[BarBlock]]
