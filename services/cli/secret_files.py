"""Files that only the owner of the platform may read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write(path: Path, content: str | bytes) -> None:
    """Put `content` there at once and whole, readable by the owner alone, whatever was there before."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.parent.chmod(0o700)
    trial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(trial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        trial.replace(path)
    except BaseException:
        trial.unlink(missing_ok=True)
        raise
