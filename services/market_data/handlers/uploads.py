"""Takes tick files in, chunk by chunk."""

from __future__ import annotations

from collections.abc import AsyncIterator

from services.market_data.ports import TickFile, TickFiles
from services.uploads import Announced, received


class Uploads:
    """Keeps what callers send, under the hash of its content."""

    def __init__(self, files: TickFiles) -> None:
        self._files = files

    async def upload(self, parts: AsyncIterator[Announced | bytes]) -> TickFile:
        """First what the file is to be, then its content.

        FxError INVALID_ARGUMENT when out of order, `UPLOAD_MISMATCH`, or when it is no tick file.
        """
        upload = self._files.begin()
        try:
            await received(parts, upload, lambda header: header)
            return upload.finish()
        finally:
            upload.abandon()
