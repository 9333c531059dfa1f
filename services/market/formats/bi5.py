"""Dukascopy's `.bi5` ticks as a format: one hourly file, or a .zip of many in order of time as one file.

A line is a record here, numbered through all hours. A missing hour is a gap that is noted, an empty file an
hour without ticks; a damaged file gives what can be read, then a reject that names it and the record.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext

from services.errors import FxError, Kind
from services.market.formats.bi5_hours import PATH, Hour, archived, gaps, hour_at
from services.market.formats.bi5_records import Records, Unpacked
from services.market.formats.format import Head, TickFormat
from services.market.formats.rejects import SYMBOL_REQUIRED, WRONG_SYMBOL, Reject, shown
from services.market.formats.rows import TickBlock
from services.market.formats.source import CHUNK, Source
from services.market.formats.tick_blocks import TickBlocks
from services.market.instruments import Instrument

_ZIP_MAGIC = b"PK\x03\x04"
_LZMA_MAGIC = b"]\x00\x00"


class Bi5Hours:
    """Reads hours in order of time; remembers the last accepted tick and the last record."""

    def __init__(self, source: Source, instrument: Instrument, block: int, *, archive: bool) -> None:
        self._source = source
        self._archive = archive
        self._instrument = instrument
        self._block = block
        self._ticks = TickBlocks(instrument)
        self._line = 0

    def read(self, hours: Sequence[Hour]) -> Iterator[TickBlock]:
        """The blocks of all hours, a gap between them as a block of its own."""
        missing = dict(gaps(hours, self._instrument))
        with zipfile.ZipFile(self._source.raw) if self._archive else nullcontext() as entries:
            for index, hour in enumerate(hours):
                if index in missing:
                    yield self._notice(note=missing[index])
                yield from self._hour(hour, entries)
        if len(hours) in missing:
            yield self._notice(note=missing[len(hours)])

    def _hour(self, hour: Hour, entries: zipfile.ZipFile | None) -> Iterator[TickBlock]:
        before = self._line
        content = Unpacked(self._source.chunks() if entries is None else _pieces(entries, hour))
        for data in content.records(self._block):
            yield self._records(hour, before, Records.parse(data, self._instrument, hour.start_ns))
        damage = content.damage or (self._source.damage if entries is None else None)
        if damage:
            self._source.damage = damage
            self._line += 1
            detail = f"{damage[1]}, in record {self._line - before} of {hour.name}"
            yield self._notice(reject=Reject(self._line, damage[0], detail, ""))

    def _records(self, hour: Hour, before: int, records: Records) -> TickBlock:
        first = self._line + 1
        faults = records.faults(self._ticks.last_ns)
        bad = {index for index, _, _ in faults}
        count = len(records.columns)
        self._line += count
        good = [index for index in range(count) if index not in bad] if bad else slice(None)
        times, bids, asks, bid_sizes, ask_sizes = (
            column[good].tolist()
            for column in (
                records.times,
                records.prices("bid"),
                records.prices("ask"),
                records.sizes("bid"),
                records.sizes("ask"),
            )
        )
        rejects = tuple(
            Reject(
                first + index,
                reason,
                f"record {first + index - before} of {hour.name}: {records.text(index)} - {detail}",
                records.text(index),
            )
            for index, reason, detail in faults
        )
        lines = range(first, self._line + 1) if isinstance(good, slice) else [first + index for index in good]
        ticks = times, bids, asks, bid_sizes, ask_sizes
        return self._ticks.block(first, self._line, lines, ticks, rejects)

    def _notice(self, *, reject: Reject | None = None, note: Reject | None = None) -> TickBlock:
        """A block without ticks that carries what is to be said at this place."""
        first = reject.line if reject else self._line + 1
        rejects = (reject,) if reject else ()
        notes = (Reject(first, note.reason, note.detail, note.text),) if note else ()
        return self._ticks.block(first, self._line, (), ((), (), (), (), ()), rejects, notes)


def _pieces(entries: zipfile.ZipFile, hour: Hour) -> Iterator[bytes]:
    with entries.open(hour.place) as entry:
        while piece := entry.read(CHUNK):
            yield piece


def _is_archive(head: Head) -> bool:
    return head.start.startswith(_ZIP_MAGIC)


def _hours(head: Head) -> list[Hour]:
    return archived(head.path) if _is_archive(head) else [hour_at(str(head.path.resolve()))]


def _sniff(head: Head) -> int:
    if _is_archive(head):
        return len(archived(head.path))
    return int(head.start.startswith(_LZMA_MAGIC))


def _symbol(head: Head) -> str | None:
    symbols = sorted({hour.symbol for hour in _hours(head)})
    if len(symbols) == 1:
        return symbols[0]
    several = ", ".join(symbols[:8])
    detail = f"{shown(head.path.name)} holds several symbols ({several}): say which"
    raise FxError(Kind.INVALID_ARGUMENT, SYMBOL_REQUIRED, detail)


def _read(source: Source, head: Head, instrument: Instrument, block: int) -> Iterator[TickBlock]:
    hours = _hours(head)
    wanted = [hour for hour in hours if hour.symbol == instrument.symbol]
    if not wanted:
        held = ", ".join(sorted({hour.symbol for hour in hours})[:8])
        detail = f"{shown(head.path.name)} holds {held}, not {instrument.symbol}"
        raise FxError(Kind.INVALID_ARGUMENT, WRONG_SYMBOL, detail)
    return Bi5Hours(source, instrument, block, archive=_is_archive(head)).read(wanted)


BI5_TICKS = TickFormat(
    "bi5",
    "Dukascopy hourly ticks: a folder, a .zip or one file of them; times in UTC, months from 00",
    f"{PATH}, alone, in its folders or in a .zip",
    _sniff,
    _symbol,
    _read,
)
