"""The token of this process, in a file that its issuer renews: read again when it changes.

Kubernetes and the local issuer both replace the file whole, so what is read is never half a token.
"""

from __future__ import annotations

from pathlib import Path

from structlog.typing import FilteringBoundLogger

from services.runtime.fatal import FatalError
from services.runtime.ports import Clock

AUTHORIZATION = "authorization"
"""gRPC metadata key and HTTP header."""
_LOOK_EVERY_S = 1.0


class TokenFile:
    """Gives the metadata entry to send. Raises FatalError at construction when there is no token."""

    def __init__(self, path: Path, clock: Clock, log: FilteringBoundLogger) -> None:
        self._path = path
        self._clock = clock
        self._log = log
        self._stamp = (0, 0)
        self._entry = (AUTHORIZATION, "")
        self._look_at = 0.0
        self._look()
        if not self._entry[1]:
            raise FatalError(f"FXMESH_TOKEN_FILE is {str(path)!r}: there is no token in it")

    def entry(self) -> tuple[str, str]:
        """The metadata entry with the token as it is now; looks at the file once a second at most."""
        if self._clock.monotonic() >= self._look_at:
            self._look()
        return self._entry

    def _look(self) -> None:
        self._look_at = self._clock.monotonic() + _LOOK_EVERY_S
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_ino)
            if stamp == self._stamp:
                return
            token = self._path.read_text(encoding="ascii").strip()
        except (OSError, ValueError) as trouble:
            # Goes on with the last one: it may be good for most of an hour.
            self._log.warning(
                "identity.own_file_unreadable", file=str(self._path), error=type(trouble).__name__
            )
            return
        if token:
            self._stamp, self._entry = stamp, (AUTHORIZATION, f"Bearer {token}")
