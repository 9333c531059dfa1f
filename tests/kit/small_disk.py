"""A disk of a few megabytes that can be filled: the real ENOSPC, from a tmpfs of its own."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class SmallDisk:
    """A mounted folder, and a file that takes what is free of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self, *, leave: int = 0) -> None:
        """Take all space but `leave` bytes."""
        with self._ballast.open("ab", buffering=0) as file:
            for piece in (1 << 20, 1 << 12):
                try:
                    while file.write(bytes(piece)) == piece:
                        pass
                except OSError as full:
                    if full.errno != errno.ENOSPC:
                        raise
            file.truncate(max(file.tell() - leave, 0))

    def free(self) -> None:
        """Give it back."""
        self._ballast.unlink()


@contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mounts a tmpfs for the length of a block; fails where that is not allowed."""
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.fail(
            "a full disk is tested on a small tmpfs, which only root may mount: run the tests as root, or in"
            f" `unshare --map-root-user --mount` ({mounted.stderr.strip()})"
        )
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
