"""The folder a process keeps its files in: made, proven writable, and held by one process at a time."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import IO

from services.disk import FULL
from services.runtime.fatal import FatalError

_PROBE_BYTES = 64 * 1024  # more than a file system gives to a file for nothing


class DataDir:
    """Holds `path` until `close()`. Raises FatalError when it cannot be used, saying why."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = self._hold()
            try:
                self._probe()
            except OSError:
                self.close()
                raise
        except OSError as failure:
            raise FatalError(storage_failure(self.path, failure)) from failure

    @property
    def identity(self) -> str:
        """A name of this very folder on this machine, the same for each process that holds it in turn."""
        status = self.path.stat()
        place = f"{socket.gethostname()}:{self.path}:{status.st_dev}:{status.st_ino}"
        return hashlib.sha256(place.encode()).hexdigest()[:16]

    def close(self) -> None:
        """Let another process have it."""
        self._lock.close()

    def _hold(self) -> IO[str]:
        lock = (self.path / ".lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
        except BlockingIOError as held:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            lock.close()
            raise FatalError(
                f"the data folder {self.path} is in use by process {owner}: stop it or set FXMESH_DATA_DIR"
            ) from held
        except OSError:
            with suppress(OSError):  # what it still holds back does not fit on the disk
                lock.close()
            raise
        return lock

    def _probe(self) -> None:
        probe = self.path / ".probe"
        try:
            with probe.open("wb") as file:
                file.write(bytes(_PROBE_BYTES))
                file.flush()
                os.fsync(file.fileno())
        finally:
            probe.unlink(missing_ok=True)


def storage_failure(path: Path, failure: OSError) -> str:
    """The sentence about a folder that cannot be written."""
    if failure.errno in FULL:
        return f"the disk of the data folder {path} is full: free some space or set FXMESH_DATA_DIR"
    if failure.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        why = f"cannot be written ({failure.strerror})"
        return f"the data folder {path} {why}: correct its rights or set FXMESH_DATA_DIR"
    return f"the data folder {path} cannot be used ({failure.strerror}): set FXMESH_DATA_DIR"
