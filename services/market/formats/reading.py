"""From a path to rows: recognise, open, read in blocks, keep the running summary, stop when strict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from heapq import merge
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Generic, Self, TypeVar

from services.errors import FxError, Kind
from services.market.formats.bar_lines import Side
from services.market.formats.format import BarFormat, Format, Head, TickFormat
from services.market.formats.registry import format_named, read_head, recognise
from services.market.formats.rejects import (
    EMPTY_FILE,
    OUTSIDE_MARKET_HOURS,
    SYMBOL_REQUIRED,
    TIMEFRAME_REQUIRED,
    UNKNOWN_FORMAT,
    Reject,
    shown,
)
from services.market.formats.rows import BarBlock, BarRow, FileSummary, Tick, TickBlock
from services.market.formats.source import Source, open_source
from services.market.formats.stamps import iso
from services.market.instruments import INSTRUMENTS, Instrument, instrument

Block = TypeVar("Block", TickBlock, BarBlock)
Row = TypeVar("Row", Tick, BarRow)

BLOCK_LINES = 1000


class Reading(Generic[Block]):
    """A file being read: an iterator of blocks, closed at its end, on an error, or as a context manager.

    `summary` tells at any time what became of the lines so far, `progress` the bytes read and to read.
    """

    def __init__(
        self,
        source: Source,
        file_format: Format,
        instrument_: Instrument,
        blocks: Iterator[Block],
        *,
        strict: bool,
    ) -> None:
        self.format = file_format
        self.instrument = instrument_
        self._source = source
        self._blocks: Iterator[Block] = blocks
        self._strict = strict
        self._reasons: Counter[str] = Counter()
        self._last_reject: Reject | None = None
        self.refused: Reject | None = None
        """What a strict reading stopped at."""
        self._notes: Counter[str] = Counter()
        self._summary = FileSummary(shown(source.path.name), file_format.name, instrument_.symbol)

    @property
    def summary(self) -> FileSummary:
        """What became of the lines read so far."""
        reasons, notes = MappingProxyType(dict(self._reasons)), MappingProxyType(dict(self._notes))
        return replace(self._summary, reasons=reasons, notes=notes)

    @property
    def progress(self) -> tuple[int, int]:
        """Bytes of the file read so far, and its size (compressed, if it is)."""
        return self._source.position, self._source.size

    def close(self) -> None:
        """Releases the file; the iterator is at its end. Closing twice does nothing."""
        self._blocks = iter(())
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Block:
        """The next block. Raises FxError: `EMPTY_FILE` at the end of a file without rows; when strict, the
        first reject.
        """
        try:
            block = next(self._blocks)
            self._count(block)
            if self._strict:
                self._refuse_first(block)
        except StopIteration:
            self.close()
            self._finish()
            raise
        except BaseException:
            self.close()
            raise
        return block

    def _count(self, block: Block) -> None:
        self._reasons.update(reject.reason for reject in block.rejects)
        self._last_reject = block.rejects[-1] if block.rejects else self._last_reject
        self._notes.update(note.reason for note in block.notes)
        now, times = self._summary, block.times_ns
        self._summary = replace(
            now,
            lines=block.last_line,
            accepted=now.accepted + len(block),
            rejected=now.rejected + len(block.rejects),
            first_ns=times[0] if times and now.first_ns is None else now.first_ns,
            last_ns=times[-1] if times else now.last_ns,
            crossed=now.crossed + block.crossed,
            outside_hours=now.outside_hours + block.outside_hours,
        )

    def _refuse_first(self, block: Block) -> None:
        found = list(block.rejects[:1])
        if isinstance(block, BarBlock):
            found += [_outside(bar, self.instrument) for bar in block.bars if bar.outside_hours][:1]
        if found:
            first = self.refused = min(found, key=lambda reject: reject.line)
            detail = f"{self._summary.file}, line {first.line}: {first.detail}"
            raise FxError(Kind.INVALID_ARGUMENT, first.reason, detail)

    def _finish(self) -> None:
        if not self._summary.accepted + self._summary.rejected:
            raise FxError(Kind.INVALID_ARGUMENT, EMPTY_FILE, f"{self._summary.file}: it has no rows")
        whole = self._source.damage is None
        # Where reading cannot go on, that is the last reject.
        self._summary = replace(self._summary, whole=whole, damage=None if whole else self._last_reject)


def read_tick_blocks(
    path: Path,
    format: str | None = None,
    symbol: str | None = None,
    *,
    block: int = BLOCK_LINES,
    strict: bool = False,
) -> Reading[TickBlock]:
    """The ticks of a file in blocks made of `block` lines, each with the rejects met in it.

    `format` is a name of `FORMATS` (None: recognised); `symbol` is needed where the format does not name it,
    and where it does, lines of other symbols are rejected. `strict` raises at the first reject.

    Raises FxError here: as `sniff`; `SYMBOL_REQUIRED`; `UNKNOWN_SYMBOL`; `UNKNOWN_FORMAT` for a file of bars.
    While iterating: when strict INVALID_ARGUMENT with reason and line of the first reject; `EMPTY_FILE`.
    """
    head, found = _recognised(path, format)
    if not isinstance(found, TickFormat):
        raise _wrong_kind(head, found, "bars, not ticks")
    of = _instrument(head, found, symbol)
    return _reading(path, found, of, lambda source: found.read(source, head, of, block), strict=strict)


def read_ticks(
    path: Path, format: str | None = None, symbol: str | None = None, *, strict: bool = False
) -> Generator[Tick | Reject, None, None]:
    """Ticks and rejects one by one, in file order: for small files and tests. As `read_tick_blocks`."""
    with read_tick_blocks(path, format, symbol, strict=strict) as blocks:
        for block in blocks:
            yield from _in_order(block.ticks(), block.rejects)


def read_bar_blocks(
    path: Path,
    format: str | None = None,
    symbol: str | None = None,
    *,
    seconds: int | None = None,
    side: Side = "bid",
    block: int = BLOCK_LINES,
    strict: bool = False,
) -> Reading[BarBlock]:
    """The bars of a file in blocks made of `block` lines, each with the rejects met in it.

    `seconds` is the bar length (None: the commonest step between the first 200 bars; see `BarBlock.seconds`);
    `side` is what a one-sided file holds, bid by custom. Strict readings also stop at a bar outside market
    hours (`OUTSIDE_MARKET_HOURS`), others flag it. Else as `read_tick_blocks`, and FxError
    `TIMEFRAME_REQUIRED` when the file shows no bar length.
    """
    head, found = _recognised(path, format)
    if not isinstance(found, BarFormat):
        raise _wrong_kind(head, found, "ticks, not bars")
    of = _instrument(head, found, symbol)
    length = seconds or found.seconds(head)
    if length is None:
        detail = f"{shown(path.name)} has too few bars to tell their length: say the timeframe"
        raise FxError(Kind.INVALID_ARGUMENT, TIMEFRAME_REQUIRED, detail)
    return _reading(
        path, found, of, lambda source: found.read(source, head, of, length, side, block), strict=strict
    )


def read_bars(
    path: Path,
    format: str | None = None,
    symbol: str | None = None,
    *,
    seconds: int | None = None,
    side: Side = "bid",
    strict: bool = False,
) -> Generator[BarRow | Reject, None, None]:
    """Bars and rejects one by one, in file order. As `read_bar_blocks`."""
    with read_bar_blocks(path, format, symbol, seconds=seconds, side=side, strict=strict) as blocks:
        for block in blocks:
            yield from _in_order(block.bars, block.rejects)


def _reading(
    path: Path, found: Format, of: Instrument, read: Callable[[Source], Iterator[Block]], *, strict: bool
) -> Reading[Block]:
    source = open_source(path)
    try:
        return Reading(source, found, of, read(source), strict=strict)
    except BaseException:
        source.close()
        raise


def _recognised(path: Path, name: str | None) -> tuple[Head, Format]:
    head = read_head(path)
    return head, format_named(name, head) if name else recognise(head)


def _instrument(head: Head, found: Format, wanted: str | None) -> Instrument:
    symbol = wanted or found.symbol(head)
    if symbol:
        return instrument(symbol)
    name = shown(head.path.name)
    hints = [each for each in INSTRUMENTS if each.lower() in head.path.name.lower()]
    hint = f"; is it {hints[0]}, after its name?" if len(hints) == 1 else ""
    detail = f"{name} does not say its symbol{hint}"
    raise FxError(Kind.INVALID_ARGUMENT, SYMBOL_REQUIRED, detail)


def _wrong_kind(head: Head, found: Format, what: str) -> FxError:
    return FxError(
        Kind.INVALID_ARGUMENT, UNKNOWN_FORMAT, f"{shown(head.path.name)} holds {what} (format {found.name})"
    )


def _outside(bar: BarRow, of: Instrument) -> Reject:
    detail = f"the bar of {iso(bar.open_ns)} lies in closed hours ({of.calendar}): is its time zone right?"
    return Reject(bar.line, OUTSIDE_MARKET_HOURS, detail, "")


def _in_order(rows: Iterable[Row], rejects: Iterable[Reject]) -> Iterator[Row | Reject]:
    return merge(rows, rejects, key=lambda row: row.line)
