"""Files that callers send in chunks: taken only when they are what their header announced.

A stream that its sender cut or cancelled can look like one that ended: without the announcement, half a file
would pass for a file.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, TypeVar

from services.disk import disk_full_said
from services.errors import FxError, Kind, invalid_field

Header = TypeVar("Header")


@dataclass(frozen=True, slots=True)
class Announced:
    """Size in bytes and SHA-256 (hexadecimal) of a file as it is sent."""

    size: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """What to announce of a file."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return cls(file.tell(), digest)


class Sink(Protocol):
    """Where content goes; `size` and `sha256` are of what it was given so far."""

    @property
    def size(self) -> int:
        """In bytes."""

    @property
    def sha256(self) -> str:
        """In hexadecimal."""

    def write(self, content: bytes) -> None:
        """Append."""


async def received(
    parts: AsyncIterator[Header | bytes], sink: Sink, announced: Callable[[Header], Announced]
) -> Header:
    """Write the content that follows one header to `sink`; the header.

    FxError INVALID_ARGUMENT for any other order, `UPLOAD_MISMATCH` for another file than was `announced`.
    """
    header: Header | None = None
    async for part in parts:
        if isinstance(part, bytes):
            if header is None:
                raise invalid_field("VALIDATION_FAILED", "part", "one header first, then content")
            sink.write(part)
            _require_no_more(sink, announced(header))
        elif header is None:
            header = part
        else:
            raise invalid_field("VALIDATION_FAILED", "part", "one header first, then content")
    if header is None:
        raise invalid_field("VALIDATION_FAILED", "part", "nothing was sent; a header comes first")
    _require_whole(sink, announced(header))
    return header


def _require_no_more(sink: Sink, announced: Announced) -> None:
    if sink.size > announced.size:
        raise _mismatch(f"more than the {announced.size} bytes that the header names came")


def _require_whole(sink: Sink, announced: Announced) -> None:
    if sink.size < announced.size:
        raise _mismatch(f"{sink.size} of the {announced.size} bytes that the header names came")
    if sink.sha256 != announced.sha256:
        raise _mismatch("the content has another SHA-256 than the header names")


def _mismatch(what: str) -> FxError:
    return FxError(Kind.INVALID_ARGUMENT, "UPLOAD_MISMATCH", f"{what}: nothing was kept, send the file again")


class FolderUpload:
    """A temporary file of `service` in a folder; `size` and `sha256` are of what was written so far."""

    def __init__(self, folder: Path, service: str) -> None:
        handle, name = tempfile.mkstemp(dir=folder, prefix=".upload-")
        self._path = Path(name)
        self._service = service
        self._file = os.fdopen(handle, "wb")
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """In hexadecimal."""
        return self._hash.hexdigest()

    def write(self, content: bytes) -> None:
        """Append. FxError RESOURCE_EXHAUSTED `DISK_FULL`; ValueError after `finish`."""
        with disk_full_said(self._service):
            self._file.write(content)
        self._hash.update(content)
        self.size += len(content)

    def finish(self) -> Path:
        """The whole file; it stays until `abandon`. FxError as `write`."""
        with disk_full_said(self._service):
            self._file.close()
        return self._path

    def abandon(self) -> None:
        """Remove it; twice does nothing."""
        with suppress(OSError):  # what a full disk did not take is flushed again here, and is not wanted
            self._file.close()
        self._path.unlink(missing_ok=True)
