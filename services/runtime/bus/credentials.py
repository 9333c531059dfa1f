"""As whom a process connects to NATS: a user, and the file that holds its password."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.runtime.fatal import FatalError


def inbox_prefix(user: str) -> str:
    """Where answers to a user come, which no other hears."""
    return f"_INBOX_{user}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Read anew for each connection, so that a password may change while the process runs."""

    user: str
    password_file: Path

    @classmethod
    def given(cls, user: str, password_file: Path | None) -> Credentials | None:
        """Of the settings; None for a server that asks for none. Raises FatalError for half of them."""
        if bool(user) != bool(password_file):
            raise FatalError(
                "FXMESH_NATS_USER and FXMESH_NATS_PASSWORD_FILE belong together: set both or none"
            )
        return None if password_file is None else cls(user, password_file)

    def options(self) -> Mapping[str, str]:
        """For nats-py's connect. Raises FatalError when the file cannot be read."""
        try:
            password = self.password_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as failure:
            raise FatalError(
                f"the password of NATS user {self.user} cannot be read from {self.password_file}: {failure}"
            ) from failure
        return {"user": self.user, "password": password, "inbox_prefix": inbox_prefix(self.user)}
