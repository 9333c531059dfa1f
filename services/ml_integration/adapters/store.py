"""Files of inference: `endpoints.json`, what was served last, and the artifacts it names, by SHA-256.

It is a cache of the workbench, not its truth: what is damaged is told and fetched again, and a disk that
takes nothing more costs only the next start without the workbench.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from services.ml_integration.domain.models import Endpoint, ModelVersion
from services.ml_integration.ports import Log, Pinned
from services.quant.timeframes import Timeframe

TABLE = "endpoints.json"


class FolderStore:
    """`ports.Store`."""

    def __init__(self, folder: Path, log: Log) -> None:
        self._table = folder / TABLE
        self._artifacts = folder / "artifacts"
        self._artifacts.mkdir(parents=True, exist_ok=True)
        self._log = log

    async def pinned(self) -> list[Pinned]:
        """What was served last; nothing when the table is missing or damaged."""
        if not self._table.exists():
            return []
        try:
            return [_pinned(each) for each in json.loads(self._table.read_text())]
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._log.warning("store.table_damaged", file=TABLE, error=type(error).__name__)
            return []

    async def pin(self, table: Sequence[Pinned]) -> None:
        """Replace the table in one step, then remove artifacts that are not in it."""
        content = json.dumps([asdict(each) for each in table], default=str, indent=1)
        if not await asyncio.to_thread(self._write, self._table, content.encode()):
            return
        named = {each.version.artifact_hash for each in table}
        for path in self._artifacts.iterdir():
            if path.name not in named:
                path.unlink()

    async def artifact(self, artifact_hash: str) -> bytes | None:
        """Checked against its name."""
        return await asyncio.to_thread(self._checked, artifact_hash)

    async def keep(self, artifact_hash: str, content: bytes) -> None:
        """Under its hash."""
        await asyncio.to_thread(self._write, self._artifacts / artifact_hash, content)

    async def check(self) -> None:
        """Raises when the folder cannot be written."""
        probe = self._artifacts.parent / ".writable"
        probe.write_bytes(b"\0")
        probe.unlink()

    def _checked(self, artifact_hash: str) -> bytes | None:
        try:
            content = (self._artifacts / artifact_hash).read_bytes()
        except OSError:
            return None
        return content if hashlib.sha256(content).hexdigest() == artifact_hash else None

    def _write(self, path: Path, content: bytes) -> bool:
        """Beside it, then renamed, so that a file is whole or not there."""
        part = path.with_name(f".{path.name}.part")
        try:
            part.write_bytes(content)
            part.replace(path)
        except OSError as error:
            part.unlink(missing_ok=True)
            self._log.warning("store.not_written", file=path.name, error=error.strerror or "")
            return False
        return True


def _pinned(row: dict[str, Any]) -> Pinned:
    endpoint, version = row["endpoint"], row["version"]
    return Pinned(
        Endpoint(**{**endpoint, "timeframe": Timeframe.parse(endpoint["timeframe"])}),
        ModelVersion(
            **{
                **version,
                "timeframe": Timeframe.parse(version["timeframe"]),
                "feature_names": tuple(version["feature_names"]),
                "deciles": tuple(tuple(each) for each in version["deciles"]),
            }
        ),
    )
