"""Model files in a folder, named by the SHA-256 of their content: equal models are one file."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

from services.disk import disk_full_said
from services.errors import FxError, Kind

CHUNK = 64 * 1024


class FolderArtifacts:
    """`ports.Artifacts`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    async def put(self, content: bytes) -> str:
        """Written beside and renamed, so that a file under a hash is whole."""
        name = hashlib.sha256(content).hexdigest()
        await asyncio.to_thread(self._write, name, content)
        return name

    def _write(self, name: str, content: bytes) -> None:
        part = self._folder / f".{name}.part"
        try:
            with disk_full_said("ml_workbench"):
                part.write_bytes(content)
                part.replace(self._folder / name)
        finally:
            part.unlink(missing_ok=True)

    async def read(self, artifact_hash: str) -> AsyncIterator[bytes]:
        """Checked before the first byte leaves."""
        content = await asyncio.to_thread(self._checked, artifact_hash)
        for start in range(0, len(content), CHUNK):
            yield content[start : start + CHUNK]

    def _checked(self, artifact_hash: str) -> bytes:
        path = self._folder / artifact_hash
        content = path.read_bytes() if path.exists() else b""
        if hashlib.sha256(content).hexdigest() != artifact_hash:
            raise FxError(
                Kind.FAILED_PRECONDITION,
                "ARTIFACT_CORRUPT",
                f"the file of artifact {artifact_hash[:12]} is missing or damaged; train the model again",
            )
        return content
