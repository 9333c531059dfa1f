"""The folder of a process: its own, writable, or one clear sentence."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.runtime.data_dir import DataDir, storage_failure
from services.runtime.fatal import FatalError


def test_it_is_made_and_left_clean(tmp_path: Path) -> None:
    held = DataDir(tmp_path / "a" / "b")
    assert held.path == tmp_path / "a" / "b"
    assert [each.name for each in held.path.iterdir()] == [".lock"]
    held.close()


def test_a_second_process_is_told_who_has_it(tmp_path: Path) -> None:
    held = DataDir(tmp_path)
    with pytest.raises(FatalError, match=f"in use by process {os.getpid()}"):
        DataDir(tmp_path)
    held.close()
    DataDir(tmp_path).close()


def test_a_killed_process_leaves_it_free(tmp_path: Path) -> None:
    code = (
        f"from pathlib import Path; from services.runtime.data_dir import DataDir; import os, signal; "
        f"d = DataDir(Path({str(tmp_path)!r})); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    DataDir(tmp_path).close()


def test_a_file_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FatalError, match=r"file cannot be used \(File exists\)"):
        DataDir(tmp_path / "file")


def test_a_place_that_takes_no_writes() -> None:
    # /proc takes none from anybody, root included.
    with pytest.raises(FatalError, match="/proc/fxmesh"):
        DataDir(Path("/proc/fxmesh"))


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "the disk of the data folder /data is full: free some space"),
        (errno.EDQUOT, "is full"),
        (errno.EACCES, "cannot be written (Permission denied): correct its rights"),
        (errno.EROFS, "cannot be written (Read-only file system)"),
        (errno.EIO, "cannot be used (Input/output error)"),
    ],
)
def test_each_failure_has_its_sentence(number: int, sentence: str) -> None:
    assert sentence in storage_failure(Path("/data"), OSError(number, os.strerror(number)))
