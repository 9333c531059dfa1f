"""Feed sessions in a folder, a file each; an empty file is an id that was used once."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from structlog.typing import FilteringBoundLogger

from services.disk import disk_full_said
from services.errors import FxError
from services.market_data.ports import SessionRecord

_RECORD = TypeAdapter(SessionRecord)


class FolderSessions:
    """`ports.SessionRecords` over a folder."""

    def __init__(self, folder: Path, log: FilteringBoundLogger) -> None:
        self._folder = folder / "sessions"
        self._folder.mkdir(parents=True, exist_ok=True)
        # Not a session id: those begin with a letter or a digit.
        self._next = self._folder / ".next"
        self._log = log

    def claim(self, record: SessionRecord) -> bool:
        """Take its id for ever."""
        path = self._folder / record.session.session_id
        try:
            with disk_full_said("market_data"):
                path.touch(exist_ok=False)
        except FileExistsError:
            return False
        try:
            self._write(record)
        except FxError:
            path.unlink()
            raise
        return True

    def reserve(self, session_id: str) -> None:
        """Take an id that another instance has used."""
        with suppress(OSError):
            (self._folder / session_id).touch()

    def keep(self, record: SessionRecord) -> None:
        """Note how far it is. It survives the end of the process, not of the machine: ticks need no sync."""
        with suppress(FxError):  # full: a restart then knows of fewer ticks, which those who count them trim
            self._write(record)

    def _write(self, record: SessionRecord) -> None:
        with disk_full_said("market_data"):
            self._next.write_bytes(_RECORD.dump_json(record))
            self._next.replace(self._folder / record.session.session_id)

    def all(self) -> list[SessionRecord]:
        """In the order in which they started."""
        found = (self._read(path) for path in self._folder.glob("[!.]*") if path.stat().st_size)
        return sorted((each for each in found if each), key=lambda each: each.session.started_ns)

    def _read(self, path: Path) -> SessionRecord | None:
        try:
            return _RECORD.validate_json(path.read_bytes())
        except ValidationError as fault:
            self._log.warning("session.unreadable", session=path.name, error=str(fault))
            return None

    def forget(self, session_id: str) -> None:
        """Leave the id alone."""
        os.truncate(self._folder / session_id, 0)
