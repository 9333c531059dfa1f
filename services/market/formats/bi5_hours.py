"""Dukascopy's hourly tick files, by the path that alone tells their symbol and hour.

`EURUSD/2019/01/04/13h_ticks.bi5` holds 4 February 2019, 13:00 to 14:00 UTC: months count from zero. Files
come alone, as a folder, or as a .zip of either; `as_one_file` makes of a folder the .zip that travels.
"""

from __future__ import annotations

import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from services.errors import FxError, Kind
from services.market.calendar import HOUR_NS, calendar
from services.market.formats.rejects import (
    DATE_REQUIRED,
    FILE_UNREADABLE,
    MISSING_HOUR,
    UNKNOWN_FORMAT,
    Reject,
    shown,
)
from services.market.formats.stamps import iso
from services.market.instruments import Instrument

PATH = "SYMBOL/YYYY/MM/DD/HHh_ticks.bi5"
_PATH = re.compile(r"(?:.*/)?([A-Z]{6})/([0-9]{4})/([0-9]{2})/([0-9]{2})/([0-9]{2})h_ticks\.bi5")
_TICKS = "h_ticks.bi5"
_DAY_HOURS = 24
_MONTHS = 12
_ENCRYPTED = 1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# Of every entry, whatever the file's own date: the same ticks make the same bytes, hence the same import.
_ENTRY_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True, order=True)
class Hour:
    """One file. `place` is its path as found, `name` what messages show and an archive calls it."""

    start_ns: int
    symbol: str
    place: str

    @property
    def name(self) -> str:
        """The path from the symbol on."""
        return "/".join(self.place.split("/")[-5:])


def hour_at(place: str) -> Hour:
    """The hour of the file at a path.

    Raises FxError INVALID_ARGUMENT `DATE_REQUIRED`, or `UNKNOWN_FORMAT` for Dukascopy's candles.
    """
    name = shown(Path(place).name)
    if "_candles_" in name:
        detail = f"{name} holds candles, not ticks: of Dukascopy's files only HHh_ticks.bi5 are read"
        raise FxError(Kind.INVALID_ARGUMENT, UNKNOWN_FORMAT, detail)
    found = _PATH.fullmatch(place.replace("\\", "/"))
    if found is None:
        detail = (
            f"{name} does not say its symbol, day and hour: keep Dukascopy's path {PATH}"
            " (months from 00), in its folders or in a .zip of them"
        )
        raise FxError(Kind.INVALID_ARGUMENT, DATE_REQUIRED, detail)
    return Hour(_start_ns(found), found[1], found[0])


def _start_ns(path: re.Match[str]) -> int:
    year, month, day, hour = map(int, path.groups()[1:])
    try:
        return int(datetime(year, month + 1, day, hour, tzinfo=UTC).timestamp()) * 1_000_000_000
    except ValueError:
        if hour >= _DAY_HOURS:
            wrong = f"there is no hour {hour}: hours go from 00 to 23"
        elif month >= _MONTHS:
            wrong = f"there is no month {month}: Dukascopy's folders count months from 00 to 11"
        else:
            wrong = f"there is no {year:04d}-{month + 1:02d}-{day:02d}, and months count from 00 to 11"
        detail = f"{'/'.join(path.groups()[:4])} holds {Path(path[0]).name}, but {wrong}"
        raise FxError(Kind.INVALID_ARGUMENT, DATE_REQUIRED, detail) from None


def archived(path: Path) -> list[Hour]:
    """The hours in a .zip by time; empty when it holds none.

    Raises FxError as `hour_at`, and INVALID_ARGUMENT `FILE_UNREADABLE`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [each for each in archive.infolist() if each.filename.endswith(_TICKS)]
    except (zipfile.BadZipFile, OSError, ValueError):
        detail = f"{shown(path.name)} is a damaged or cut zip archive"
        raise FxError(Kind.INVALID_ARGUMENT, FILE_UNREADABLE, detail) from None
    if any(each.flag_bits & _ENCRYPTED or each.compress_type not in _METHODS for each in entries):
        detail = f"{shown(path.name)} is an encrypted zip archive, or of a rare kind: unpack it first"
        raise FxError(Kind.INVALID_ARGUMENT, FILE_UNREADABLE, detail)
    return sorted(hour_at(each.filename) for each in entries)


def _in_folder(folder: Path) -> list[Hour]:
    hours = sorted(hour_at(str(path.resolve())) for path in folder.rglob(f"*{_TICKS}") if path.is_file())
    if not hours:
        detail = f"{shown(folder.name)} holds no Dukascopy ticks: expected {PATH} (months from 00)"
        raise FxError(Kind.INVALID_ARGUMENT, UNKNOWN_FORMAT, detail)
    return hours


@contextmanager
def as_one_file(path: Path) -> Iterator[Path]:
    """The path itself; of a folder or a single `.bi5` file a temporary .zip, which keeps dates on the way.

    Raises FxError INVALID_ARGUMENT `DATE_REQUIRED`, or `UNKNOWN_FORMAT` for a folder without ticks, and
    OSError when a file cannot be read.
    """
    if not path.is_dir() and path.suffix != ".bi5":
        yield path
        return
    hours = _in_folder(path) if path.is_dir() else [hour_at(str(path.resolve()))]
    with tempfile.NamedTemporaryFile(prefix="fxmesh-", suffix=".zip") as file:
        _pack(hours, file)
        file.flush()
        yield Path(file.name)


def _pack(hours: Sequence[Hour], into: IO[bytes]) -> None:
    """Uncompressed, and equal bytes for equal content."""
    with zipfile.ZipFile(into, "w", zipfile.ZIP_STORED) as archive:
        for hour in hours:
            archive.writestr(zipfile.ZipInfo(hour.name, _ENTRY_DATE), Path(hour.place).read_bytes())


def gaps(hours: Sequence[Hour], of: Instrument) -> Iterator[tuple[int, Reject]]:
    """Hours of open market for which there is no file, one note a gap: (index of the hour after it, note).

    Several hours are taken for whole days, so a day that lacks its first or last hours has a gap; a single
    hour was meant to be one. The line of a note is filled in by who counts lines.
    """
    if len(hours) < 2:
        return
    day_ns = _DAY_HOURS * HOUR_NS
    ends = [hours[0].start_ns // day_ns * day_ns, *(hour.start_ns + HOUR_NS for hour in hours)]
    starts = [*(hour.start_ns for hour in hours), -(-ends[-1] // day_ns) * day_ns]
    open_between = calendar(of.calendar).open_between
    for index, (end, start) in enumerate(zip(ends, starts, strict=True)):
        if start > end and open_between(end, start):
            detail = f"there is no file for {iso(end)} to {iso(start)}, and the market was open"
            yield index, Reject(0, MISSING_HOUR, detail, "")
