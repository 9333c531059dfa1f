"""The table of formats, and which of them a file is in.

To add a format: write its module, put its value into `FORMATS`. Nothing else lists formats.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from services.errors import FxError, Kind
from services.market.formats.bi5 import BI5_TICKS
from services.market.formats.format import Format, Head
from services.market.formats.oanda_lines import OANDA_TICKS
from services.market.formats.rejects import (
    BAD_ENCODING,
    EMPTY_FILE,
    NOT_TEXT,
    UNKNOWN_FORMAT,
    quoted,
    shown,
)
from services.market.formats.source import UTF8_MARK, open_source
from services.market.formats.text_formats import (
    CSV_BARS,
    CSV_BARS_ONE_SIDE,
    CSV_TICKS,
    HISTDATA_TICKS,
    TRUEFX_TICKS,
)

FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        each.name: each
        for each in (
            TRUEFX_TICKS,
            HISTDATA_TICKS,
            BI5_TICKS,
            OANDA_TICKS,
            CSV_TICKS,
            CSV_BARS,
            CSV_BARS_ONE_SIDE,
        )
    }
)
"""All formats by name, in the order in which messages list them."""

_HEAD_BYTES = 1 << 16
_HEAD_LINES = 200

# First bytes of files that people hand over by mistake, and what to tell them.
_OTHER_FILES = (
    (b"PK\x03\x04", "a zip archive without Dukascopy ticks: unpack it first"),
    (b"BZh", "bzip2 data: unpack it first"),
    (b"\xfd7zXZ", "xz data: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "zstd data: unpack it first"),
    (b"PAR1", "a Parquet file"),
    (b"SQLite format 3", "a SQLite database"),
    (b"%PDF", "a PDF document"),
)


def sniff(path: Path) -> Format:
    """The format of a file, recognised by its beginning.

    Raises FxError INVALID_ARGUMENT: `EMPTY_FILE`, `NOT_TEXT`, `BAD_ENCODING` (UTF-16), `UNKNOWN_FORMAT` with
    what was seen and what is known, `TRUNCATED` when not even the first line can be read; and as
    `open_source`.
    """
    return recognise(read_head(path))


def recognise(head: Head) -> Format:
    """The format whose sniff counts most lines of `head`; the errors of `sniff`."""
    counts = {each.name: each.sniff(head) for each in FORMATS.values()}
    best = max(counts, key=lambda name: counts[name])
    if counts[best]:
        return FORMATS[best]
    raise _unknown(head)


def format_named(name: str, head: Head) -> Format:
    """The format of that name, which `head` must look like. FxError INVALID_ARGUMENT `UNKNOWN_FORMAT`."""
    found = FORMATS.get(name)
    if found is None:
        raise _refused(UNKNOWN_FORMAT, f"no format is called {quoted(name)}; known are {', '.join(FORMATS)}")
    if not found.sniff(head):
        first = shown(head.lines[0]) if head.lines else "(no line)"
        detail = f"{shown(head.path.name)} is not {name}: it begins with {first}, expected {found.example}"
        raise _refused(UNKNOWN_FORMAT, detail)
    return found


def read_head(path: Path) -> Head:
    """The beginning of a file. Raises FxError as `open_source`, and `EMPTY_FILE` or damage when nothing is
    there.
    """
    name = shown(path.name)
    start = bytearray()
    source = open_source(path)
    try:
        for chunk in source.chunks():
            start += chunk
            if len(start) >= _HEAD_BYTES:
                break
    finally:
        source.close()
    if not start:
        if source.damage is None:
            raise _refused(EMPTY_FILE, f"{name} holds nothing")
        reason, detail = source.damage
        raise _refused(reason, f"{name}: {detail}")
    lines = bytes(start).removeprefix(UTF8_MARK).splitlines()
    if len(start) >= _HEAD_BYTES and len(lines) > 1:
        del lines[-1]  # it was cut here, not in the file
    texts = [line.decode("utf-8", "replace") for line in lines if line.strip()]
    if not texts:
        raise _refused(EMPTY_FILE, f"{name} holds only blank lines")
    return Head(path, bytes(start), tuple(texts[:_HEAD_LINES]))


def _unknown(head: Head) -> FxError:
    name, start = shown(head.path.name), head.start
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return _refused(BAD_ENCODING, f"{name} is UTF-16 text: save it as UTF-8")
    for magic, what in _OTHER_FILES:
        if start.startswith(magic):
            return _refused(NOT_TEXT, f"{name} is {what}")
    if b"\0" in start:
        return _refused(NOT_TEXT, f"{name} is binary, not text")
    first, known = shown(head.lines[0]), ", ".join(FORMATS)
    return _refused(UNKNOWN_FORMAT, f"{name} is in no known format ({known}): it begins with {first}")


def _refused(reason: str, detail: str) -> FxError:
    return FxError(Kind.INVALID_ARGUMENT, reason, detail)
