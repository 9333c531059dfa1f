"""Opening a data file and cutting it into lines: gzip by its magic number, damage reported, memory bounded.

With `bi5_hours` the only module here that touches the file system. Errors name the file, never its folder:
they reach callers.
"""

from __future__ import annotations

import gzip
import hashlib
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path

from services.errors import FxError, Kind
from services.market.formats.rejects import FILE_NOT_FOUND, FILE_UNREADABLE, TRUNCATED, Reject, shown

GZIP_MAGIC = b"\x1f\x8b"
UTF8_MARK = b"\xef\xbb\xbf"
CHUNK = 1 << 18
MAX_LINE = 4096
"""A longer line is cut here and refused: no format has lines beyond 200 bytes, one without newlines has."""


@dataclass(frozen=True, slots=True)
class LineBlock:
    """Consecutive lines without their ends. `terminated`: the last one had a newline, so it is whole.

    `damage` reports that the file could not be read beyond these lines.
    """

    first_line: int
    lines: list[bytes]
    terminated: bool = True
    damage: Reject | None = None

    @property
    def last_line(self) -> int:
        """Number of the last line, the one in which a damaged file stops included."""
        return self.damage.line if self.damage else self.first_line + len(self.lines) - 1


@dataclass(slots=True)
class Source:
    """A data file open for reading. `position` of `size` bytes are taken from the disk: for progress bars.

    `damage` is set once reading has come upon it: the reason, and a detail that lacks only where.
    """

    path: Path
    size: int
    _raw: BufferedReader
    _content: BufferedReader | gzip.GzipFile = field(init=False)
    damage: tuple[str, str] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        compressed = self._raw.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        self._raw.seek(0)
        self._content = gzip.GzipFile(fileobj=self._raw, mode="rb") if compressed else self._raw

    @property
    def raw(self) -> BufferedReader:
        """The file as it lies on the disk, for formats that are containers."""
        return self._raw

    @property
    def position(self) -> int:
        """Bytes taken from the disk so far, compressed if the file is."""
        return self.size if self._raw.closed else self._raw.tell()

    def close(self) -> None:
        """Releases the file. Closing twice does nothing."""
        self._content.close()
        self._raw.close()

    def chunks(self) -> Iterator[bytes]:
        """The content, decompressed, in pieces of at most 256 KiB; it ends early where `damage` is."""
        while True:
            try:
                # read1: what was decompressed before the damage is delivered before the error is raised.
                chunk = self._content.read1(CHUNK)
            except EOFError:
                self.damage = TRUNCATED, "the gzip stream ends early"
                return
            except (gzip.BadGzipFile, zlib.error):
                self.damage = FILE_UNREADABLE, "the gzip data is damaged"
                return
            except OSError as failed:
                self.damage = FILE_UNREADABLE, f"reading fails ({failed.strerror})"
                return
            if not chunk:
                return
            yield chunk

    def line_blocks(self, count: int) -> Iterator[LineBlock]:
        """The lines, `count` at a time (the last block has what is left; an empty file has no block).

        A UTF-8 byte order mark is dropped.
        """
        first = 1
        held: list[bytes] = []
        rest: bytes | None = None
        for chunk in self.chunks():
            *lines, rest = _lines(rest, chunk)
            held.extend(lines)
            # One line stays behind: only the end of the file tells whether the last block was terminated.
            ready = max(len(held) - 1, 0) // count * count
            for start in range(0, ready, count):
                yield LineBlock(first + start, held[start : start + count])
            first, held = first + ready, held[ready:]
        yield from self._last_block(first, held, rest or b"")

    def _last_block(self, first: int, held: list[bytes], rest: bytes) -> Iterator[LineBlock]:
        if self.damage:
            reason, detail = self.damage
            line = first + len(held)
            yield LineBlock(
                first, held, damage=Reject(line, reason, f"{detail}, in line {line}", shown(rest))
            )
        elif rest:
            yield LineBlock(first, [*held, rest.removesuffix(b"\r")], terminated=False)
        elif held:
            yield LineBlock(first, held)


def open_source(path: Path) -> Source:
    """Opens a regular file, gzip or not.

    Raises FxError: NOT_FOUND `FILE_NOT_FOUND`; INVALID_ARGUMENT `FILE_UNREADABLE` for a folder, a device or
    pipe, missing permission, and whatever else the system reports.
    """
    name = shown(path.name)
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise FxError(Kind.INVALID_ARGUMENT, FILE_UNREADABLE, f"{name} is a folder, not a file")
        if not stat.S_ISREG(found.st_mode):
            raise FxError(Kind.INVALID_ARGUMENT, FILE_UNREADABLE, f"{name} is a device or pipe, not a file")
        return Source(path, found.st_size, path.open("rb"))
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL character in the path
        raise FxError(Kind.NOT_FOUND, FILE_NOT_FOUND, f"there is no file {name}") from None
    except PermissionError:
        raise FxError(Kind.INVALID_ARGUMENT, FILE_UNREADABLE, f"no permission to read {name}") from None
    except OSError as failed:
        detail = f"{name} cannot be opened: {failed.strerror}"
        raise FxError(Kind.INVALID_ARGUMENT, FILE_UNREADABLE, detail) from None


def fingerprint(path: Path) -> str:
    """SHA-256 of the content in hex, 64 characters: names an import or a feed session after what it read.

    Of the decompressed content, so a file and its gzip are the same data (`zcat FILE | sha256sum` agrees). A
    damaged gzip counts as far as it can be read. Raises FxError as `open_source`.
    """
    digest = hashlib.sha256()
    source = open_source(path)
    try:
        for chunk in source.chunks():
            digest.update(chunk)
    finally:
        source.close()
    return digest.hexdigest()


def _lines(rest: bytes | None, chunk: bytes) -> list[bytes]:
    """What is read so far at its line ends; the last piece has no end yet and is kept no longer than a line
    may be.
    """
    data = chunk.removeprefix(UTF8_MARK) if rest is None else rest + chunk
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    lines = data.split(b"\n")
    if len(lines[-1]) > MAX_LINE:
        lines[-1] = lines[-1][: MAX_LINE + 1]
    return lines
