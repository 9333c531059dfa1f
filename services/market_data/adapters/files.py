"""Uploaded tick files in a folder, named by the SHA-256 of their bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from services.errors import FxError, Kind
from services.market.formats import Reading as FormatReading
from services.market.formats import TickBlock, read_tick_blocks
from services.market_data.ports import TickFile
from services.uploads import FolderUpload


class FolderFiles:
    """`ports.TickFiles` over a folder."""

    def __init__(self, folder: Path) -> None:
        self._files = folder / "files"
        self._files.mkdir(parents=True, exist_ok=True)

    def begin(self) -> TickUpload:
        """Take a new file."""
        return TickUpload(self._files)

    def open(self, file_id: str, format_name: str, symbol: str, *, strict: bool, block: int) -> FolderReading:
        """Read an uploaded file."""
        path = self._files / file_id
        if not path.exists():
            raise FxError(Kind.NOT_FOUND, "FILE_NOT_FOUND", f"no uploaded file {file_id}; upload it first")
        return FolderReading(
            read_tick_blocks(path, format_name or None, symbol or None, block=block, strict=strict)
        )


class TickUpload:
    """`ports.Upload`: a temporary file beside the others until it is whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._upload = FolderUpload(folder, "market_data")

    @property
    def size(self) -> int:
        """In bytes."""
        return self._upload.size

    @property
    def sha256(self) -> str:
        """In hexadecimal."""
        return self._upload.sha256

    def write(self, content: bytes) -> None:
        """Append."""
        self._upload.write(content)

    def finish(self) -> TickFile:
        """Move it to its name. A file that is no tick file is refused here, before anyone replays it."""
        path, file_id = self._upload.finish(), self.sha256
        try:
            symbol, name = _recognised(path)
        except FxError as error:
            # The temporary name means nothing to the caller.
            detail = error.detail.replace(path.name, "the file")
            raise FxError(error.kind, error.reason, detail, error.violations) from None
        path.replace(self._folder / file_id)
        return TickFile(file_id, self.size, name, symbol)

    def abandon(self) -> None:
        """Remove what is left."""
        self._upload.abandon()


def _recognised(path: Path) -> tuple[str, str]:
    """Symbol and format of a tick file; the symbol is empty when its lines name none."""
    try:
        reading = read_tick_blocks(path)
    except FxError as error:
        if error.reason != "SYMBOL_REQUIRED":
            raise
        return "", ""
    with reading:
        return reading.instrument.symbol, reading.format.name


class FolderReading:
    """`ports.Reading` over a file of a known format."""

    def __init__(self, reading: FormatReading[TickBlock]) -> None:
        self._reading = reading

    @property
    def format(self) -> str:
        """Name of the format."""
        return self._reading.format.name

    @property
    def symbol(self) -> str:
        """The symbol its ticks belong to."""
        return self._reading.instrument.symbol

    @property
    def bytes_read(self) -> int:
        """Bytes taken from the disk so far."""
        return self._reading.progress[0]

    @property
    def bytes_total(self) -> int:
        """Bytes of the file."""
        return self._reading.progress[1]

    @property
    def damage(self) -> str:
        """Why and where reading had to end."""
        damage = self._reading.summary.damage
        return f"{damage.reason}: {damage.detail}" if damage else ""

    @property
    def refused(self) -> tuple[int, str, str] | None:
        """The bad line that a strict reading stopped at."""
        refused = self._reading.refused
        return None if refused is None else (refused.line, refused.reason, refused.detail)

    def blocks(self) -> Iterator[TickBlock]:
        """Ticks and rejects in file order."""
        return iter(self._reading)

    def close(self) -> None:
        """Release the file."""
        self._reading.close()
