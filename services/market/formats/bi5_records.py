"""The records of one `.bi5` file: LZMA, 20 bytes big-endian each, read as columns and judged as columns.

A record is milliseconds of the hour, ask and bid in points, ask and bid volume in millions (float32). Volumes
become whole units. LZMA of this kind has no checksum, so damage shows as records that make no sense or as a
stream that stops; what was read before stays.
"""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from services.market.calendar import HOUR_NS
from services.market.formats.rejects import (
    BAD_SIZE,
    BAD_TIMESTAMP,
    FILE_UNREADABLE,
    NON_POSITIVE_PRICE,
    PRICE_IMPLAUSIBLE,
    TIME_BACKWARDS,
    TRUNCATED,
)
from services.market.instruments import Instrument
from services.money.decimals import format_trimmed

if TYPE_CHECKING:  # numpy costs a service that never reads such files 0.1 s and 15 MB at start
    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

RECORD = 20
_DTYPE = [("ms", ">u4"), ("ask", ">u4"), ("bid", ">u4"), ("ask_volume", ">f4"), ("bid_volume", ">f4")]
_HOUR_MS = HOUR_NS // 1_000_000
_MILLION = 1_000_000
_MAX_SIZE = 10**15
# Decoded at once: what a damaged stream gave before the damage is lost in one such step at most.
_STEP = 64 * RECORD
# Dukascopy's streams ask for 4 MiB; a header may ask for gigabytes.
_MEMORY = 64 << 20


@dataclass(slots=True)
class Unpacked:
    """The content of a `.bi5` file; `damage` is set once reading has come upon it: reason and detail."""

    pieces: Iterator[bytes]
    damage: tuple[str, str] | None = field(default=None, init=False)

    def records(self, count: int) -> Iterator[bytes]:
        """Whole records, `count` at a time; what is left at the end that is no record is damage."""
        held = b""
        for step in self._steps():
            held += step
            while len(held) >= count * RECORD:
                yield held[: count * RECORD]
                held = held[count * RECORD :]
        whole = len(held) // RECORD * RECORD
        if whole:
            yield held[:whole]
        if len(held) > whole and not self.damage:
            self.damage = TRUNCATED, f"{len(held) - whole} bytes are left, a record has {RECORD}"

    def _steps(self) -> Iterator[bytes]:
        stream, empty = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_MEMORY), True
        try:
            for piece in self.pieces:
                data, empty = piece, False
                while not stream.eof and (data or not stream.needs_input):
                    yield stream.decompress(data, _STEP)
                    data = b""
        except lzma.LZMAError:
            self.damage = FILE_UNREADABLE, "the LZMA data is damaged"
            return
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError):
            self.damage = FILE_UNREADABLE, "the archive that holds it is damaged"
            return
        if not stream.eof and not empty and not self.damage:
            self.damage = TRUNCATED, "the LZMA stream ends early"


def points_digits(of: Instrument) -> int:
    """Decimals of Dukascopy's point: 3 for yen pairs and metals, otherwise 5."""
    return 3 if of.quote == "JPY" or of.calendar == "metals" else 5


@dataclass(frozen=True, slots=True)
class Records:
    """Consecutive records as columns: times in ns, prices raw at the instrument's digits, sizes in units."""

    of: Instrument
    start_ns: int
    columns: Any

    @classmethod
    def parse(cls, data: bytes, of: Instrument, start_ns: int) -> Records:
        """Of whole records."""
        import numpy as np

        return cls(of, start_ns, np.frombuffer(data, _DTYPE))

    @property
    def times(self) -> Ints:
        """Nanoseconds since 1970 UTC."""
        return self.start_ns + self._ints("ms") * 1_000_000

    def prices(self, side: str) -> Ints:
        """`bid` or `ask`."""
        point: int = 10 ** (self.of.digits - points_digits(self.of))
        return self._ints(side) * point

    def sizes(self, side: str) -> Ints:
        """`bid` or `ask`; 0 where the volume is no number of units."""
        import numpy as np

        units = self._units(side)
        return np.asarray(np.where(_is_size(units), units, 0), dtype=np.int64)

    def faults(self, after_ns: int) -> list[tuple[int, str, str]]:
        """(index, reason, detail) of each record that is no tick; detail lacks only where. None of the others
        is before `after_ns` or before one that precedes it.
        """
        import numpy as np

        late = self._ints("ms") >= _HOUR_MS
        bid, ask = self.prices("bid"), self.prices("ask")
        zero = (bid == 0) | (ask == 0)
        low, high = np.minimum(bid, ask), np.maximum(bid, ask)
        strange = (low < self.of.price_low) | (high > self.of.price_high)
        sizes = ~(_is_size(self._units("bid")) & _is_size(self._units("ask")))
        good = ~(late | zero | strange | sizes)
        before = np.maximum.accumulate(np.concatenate(([after_ns], np.where(good, self.times, 0))))[:-1]
        checks = (
            (late, BAD_TIMESTAMP, f"a record of an hour is before {_HOUR_MS} ms"),
            (zero, NON_POSITIVE_PRICE, "expected prices above zero"),
            (strange, PRICE_IMPLAUSIBLE, self._band()),
            (sizes, BAD_SIZE, "expected volumes of at least 0"),
            (self.times < before, TIME_BACKWARDS, "it is before an earlier one"),
        )
        found: dict[int, tuple[int, str, str]] = {}
        for mask, reason, detail in checks:
            for index in np.flatnonzero(mask).tolist():
                found.setdefault(index, (index, reason, detail))
        return sorted(found.values())

    def text(self, index: int) -> str:
        """A record as its fields."""
        values = zip(self.columns.dtype.names, self.columns[index].tolist(), strict=True)
        return ", ".join(
            f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in values
        )

    def _ints(self, name: str) -> Ints:
        import numpy as np

        return np.asarray(self.columns[name], dtype=np.int64)

    def _units(self, side: str) -> Any:
        """float32 has 24 bits, so a volume below 16.7 million is meant to the unit."""
        import numpy as np

        return np.rint(self.columns[f"{side}_volume"].astype(np.float64) * _MILLION)

    def _band(self) -> str:
        low, high = (format_trimmed(each, self.of.digits) for each in (self.of.price_low, self.of.price_high))
        return f"expected prices of {low} to {high} for {self.of.symbol}: are they of another symbol?"


def _is_size(units: Any) -> Any:
    """False also for what is not a number."""
    return (units >= 0) & (units < _MAX_SIZE)
